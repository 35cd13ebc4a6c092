"""Answers of another tool: columns of a csv or jsonl file become Answers and Examples.

    file --from_columns--> arms {column: [Answer]}, [Example] --score--> --compare--> Comparison, as compare.json holds

An arm has the name of its column. Texts are scored as they are written, without cleaning or cutting; what a word is
follows from the references where nobody says it, and labels are the same by the rule of a task (scoring/labels.py).
Where rows repeat an input, the user has to say whether they form one unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from luthier.errors import DataError, SettingsError
from luthier.files import sha256_of_text
from luthier.metrics import CLASS_METRICS, DECIDING, DECIDING_LABELS, MARGIN
from luthier.records import Answer, Example
from luthier.results.comparison import ArmMetric, Comparison
from luthier.results.looks import count_look
from luthier.results.record import Part, plain
from luthier.scoring.labels import FOLDS, Fold
from luthier.scoring.words import ENGLISH, unread
from luthier.task.examples import Cells, name_of, unit_of
from luthier.task.opened import AS_FOUND, Format
from luthier.task.rows import Row, read_rows
from luthier.task.texts import Cleaning
from luthier.verdicts.column_texts import Arms, texts_of

Look = int | Literal["count"] | None

NO_CLUSTER = "none"  # instead of a column: every row is a unit of its own
LONG = 40  # characters; a shorter text may be repeated by chance
REPEATED = 0.1  # share of rows; fewer hardly change an interval


@dataclass(frozen=True)
class Given:
    """The columns of a file, and what was found about it: sentences for the user."""

    arms: Arms
    examples: list[Example]
    found: list[str]


def from_columns(
    path: str | Path,
    *,
    reference: str,
    answers: Sequence[str],
    cluster: str | None = None,
    id: str | None = None,
    input: str | None = None,
    format: Format = AS_FOUND,
    labelled: bool = False,
) -> tuple[Arms, list[Example]]:
    """The answers of each column in `answers`, and the examples they answer, one a row.

    Rows equal in `cluster` form one statistical unit (one dialogue may have several rows). With "none", or where no
    input repeats, each row is a unit. An empty answer scores 0. In jsonl a reference may be a list of several.
    format: how the file is written. labelled: references and answers are labels, which may be numbers, true or false.

    Raises DataError for a file that cannot be read, a missing column, an empty reference or a repeated id. Without a
    cluster it also raises DataError for rows that repeat their input, or (in REPEATED of the rows or more) a long text
    of another column. Raises SettingsError when one column is named twice.
    """
    given = read_columns(Path(path), reference, answers, cluster, id, input, format, labelled)
    return given.arms, given.examples


def read_columns(
    path: Path,
    reference: str,
    answers: Sequence[str],
    cluster: str | None,
    id: str | None,
    input: str | None,
    format: Format,
    labelled: bool,
) -> Given:
    """`from_columns`, with what was found about the file."""
    _refuse_same_column(reference, answers)
    arms: Arms = {name: [] for name in answers}
    examples, row_of, cleaning = [], dict[str, int](), Cleaning()
    read = read_rows(path, format)
    rows = list(read)
    if cluster is None:
        _refuse_repeats(Path(path), rows, input, {reference, *answers, *([id] if id else [])})
    for row in _taken(rows):
        cells = Cells(Path(path), row)
        example = _example(cells, reference, cluster, id, input, labelled)
        if (earlier := row_of.setdefault(example.id, row.number)) != row.number:
            raise cells.refused(str(id), f"'{example.id}' is already the id of row {earlier}; make ids unique")
        examples.append(example)
        for name, given in arms.items():
            given.append(Answer(example.id, _answer(cells, name, labelled)))
        for text in (*example.references, *(given[-1].text for given in arms.values())):
            cleaning.look(text, row.number)
    found = [f"{sentence}." for sentence in cleaning.notes(path.name, len(rows), read.said).sentences()]
    return Given(arms, examples, found)


def _answer(cells: Cells, column: str, labelled: bool) -> str:
    name = name_of(cells.value(column)) if labelled else None
    return cells.text(column) if name is None else name


def _taken(rows: list[Row]) -> Iterator[Row]:
    """The rows in order, each let go once it is read: columns that nobody named need not stay in memory."""
    rows.reverse()
    while rows:
        yield rows.pop()


class ColumnScores(Part):
    """One column of answers, scored."""

    file: str
    reference: str  # the column
    answer: str  # the column
    n: int  # units
    examples: int  # rows
    level: float  # confidence of the intervals
    metrics: dict[str, ArmMetric]
    signatures: dict[str, str]  # metric -> library, version and options
    unknown: dict[str, dict[str, int]]  # metric -> reason -> answers without a value
    notes: list[str]  # how the file and its texts were read, what was folded, what cannot be read


def scores_of_column(
    path: str | Path,
    *,
    reference: str,
    answer: str,
    cluster: str | None = None,
    id: str | None = None,
    input: str | None = None,
    references: str = "mean",
    labels: bool = False,
    fold: Sequence[Fold] = FOLDS,
    words: str | None = None,
    bleu: str | None = None,
    reasoning: str = "keep",
    level: float = 0.95,
    seed: int = 0,
    format: Format = AS_FOUND,
) -> ColumnScores:
    """Every metric of one column: {file, reference, answer, n, examples, level, metrics, signatures, unknown, notes}.

    format: how the file is written, where that is not to be found.

    labels: references and answers are labels, scored by accuracy and macro-F1; fold: the differences between texts
    that make no other label. words and bleu: what a word is, and BLEU's tokenizer; None: as the references ask for.
    reasoning: "keep" or "leave out" reasoning blocks of answers.
    `metrics` is name -> {mean, low, high, n}; `unknown` is name -> reason -> answers without a value.
    Raises what `from_columns` raises, and SettingsError for a word or a tokenizer that is not there.
    """
    from luthier.verdicts.compare import comparison

    given = read_columns(Path(path), reference, [answer], cluster, id, input, format, labels)
    read = texts_of(Path(path), given.examples, reference, labels, fold, (words, bleu, reasoning))
    scores = read.scores(given.arms, references)
    # chrF decides because it has a value wherever there is a reference, so no example is left out.
    deciding = DECIDING_LABELS if labels else "chrf"
    compared = comparison(scores, deciding=deciding, level=level, baselines=(), seed=seed)
    return ColumnScores(
        file=str(path),
        reference=reference,
        answer=answer,
        n=compared.n,
        examples=compared.examples,
        level=level,
        metrics=compared.arms[answer],
        signatures=compared.signatures,
        unknown=compared.missing.get(answer, {}),
        notes=[*given.found, *read.notes(given.arms)],
    )


def comparison_of_columns(
    path: str | Path,
    *,
    reference: str,
    answers: Sequence[str],
    cluster: str | None = None,
    id: str | None = None,
    input: str | None = None,
    metric: str = DECIDING,
    margin: float = MARGIN,
    references: str = "mean",
    baselines: Sequence[str] = (),
    fold: Sequence[Fold] = FOLDS,
    words: str | None = None,
    bleu: str | None = None,
    reasoning: str = "keep",
    level: float = 0.95,
    look: Look = None,
    seed: int = 0,
    format: Format = AS_FOUND,
) -> Comparison:
    """Compares columns as a study compares its arms; the result is what compare.json would hold.

    metric: with accuracy or macro_f1 references and answers are labels.
    references: how ROUGE against several becomes one value, "mean" or "max". look: the number of this look at these
    references; "count" counts it in the user's cache, where the same comparison of the same texts is the same look.
    format: how the file is written, where that is not to be found; what is found stands among the warnings.
    fold, words, bleu, reasoning: as in `scores_of_column`.

    Raises what `from_columns`, `score` and `compare` raise, SettingsError for a baseline that is no column, and
    DataError for a metric that does not read the references.
    """
    from luthier.verdicts.compare import check_settings, comparison

    _refuse_same_column(reference, answers)
    if isinstance(look, str) and look != "count":
        raise SettingsError(f"look '{look}' is none; give its number, 'count' or None")
    # Before the scoring, which takes a while.
    check_settings(answers, metric, margin, level=level, seed=seed, look=None if look == "count" else look)
    if unknown := [name for name in baselines if name not in answers]:
        raise SettingsError(f"the baseline '{unknown[0]}' is none of the answer columns: {', '.join(answers)}")
    labels = metric in CLASS_METRICS
    given = read_columns(Path(path), reference, answers, cluster, id, input, format, labels)
    arms, examples = given.arms, given.examples
    read = texts_of(Path(path), examples, reference, labels, fold, (words, bleu, reasoning))
    if problem := unread(metric, read.reading, read.references):
        raise DataError(problem, file=path, field=reference)
    scores = read.scores(arms, references)
    notes = (*given.found, *read.notes(arms))

    def compared(look: int | None) -> Comparison:
        result = comparison(
            scores, deciding=metric, margin=margin, baselines=baselines, level=level, look=look, seed=seed
        )
        return result.model_copy(update={"warnings": (*result.warnings, *notes)})

    if not isinstance(look, str):
        return compared(look)
    first = compared(1)  # before it is counted: a comparison that fails is no look
    as_told = [repr(read.reading)] if read.reading != ENGLISH else []  # else looks counted before would count again
    counted = _counted(arms, examples, metric, repr(margin), repr(level), references, repr(seed), *as_told)
    return first if counted == 1 else compared(counted)


score_columns = plain(scores_of_column, "score_columns")
compare_columns = plain(comparison_of_columns, "compare_columns")


def _counted(arms: Arms, examples: Sequence[Example], *options: str) -> int:
    """The number of this look at these references; the answers, the units and the options identify it."""
    test = sha256_of_text(*sorted(reference for example in examples for reference in example.references))
    answers = [part for name, given in arms.items() for part in (name, *(answer.text for answer in given))]
    return count_look(test, sha256_of_text(*options, *(example.unit for example in examples), *answers)[:16])


def _refuse_repeats(path: Path, rows: Sequence[Row], input: str | None, named: Collection[str]) -> None:
    """Raises DataError when rows repeat an input and nobody said whether they belong together."""
    for column in [input] if input else [name for name in rows[0].values if name not in named]:
        texts = [row.values.get(column) for row in rows]
        keys = [unit_of(text) if isinstance(text, str) and text.strip() else None for text in texts]
        times = Counter(key for key in keys if key)
        repeated = sum(count - 1 for count in times.values())
        if not repeated or (not input and not _looks_like_inputs(texts, times, repeated)):
            continue
        key = next(key for key in keys if key and times[key] > 1)
        first, second = [row.number for row, own in zip(rows, keys, strict=True) if own == key][:2]
        raise DataError(
            f"rows {first} and {second} hold the same text, as {repeated} rows repeat another's; name the column whose "
            f"equal rows are one unit with --cluster (--cluster {column} would do), or say --cluster {NO_CLUSTER}",
            file=path,
            field=column,
        )


def _looks_like_inputs(texts: Sequence[Any], times: Counter[str], repeated: int) -> bool:
    """Whether an unnamed column seems to hold inputs: long texts, many of them repeated, and not all the same."""
    long = all(isinstance(text, str) and len(text) >= LONG for text in texts)
    return long and len(times) > 1 and repeated >= REPEATED * len(texts)


def _refuse_same_column(reference: str, answers: Sequence[str]) -> None:
    if not answers:
        raise SettingsError("no column of answers is named; name at least one")
    if twice := next((name for name in answers if list(answers).count(name) > 1), None):
        raise SettingsError(f"the answer column '{twice}' is named twice; name each column once")
    if reference in answers:
        raise SettingsError(f"'{reference}' is named as reference and as answer; name two different columns")


def _example(
    cells: Cells, reference: str, cluster: str | None, id: str | None, input: str | None, labelled: bool
) -> Example:
    references = tuple(cells.texts(reference, labelled))
    if not references or not all(text.strip() for text in references):
        raise cells.refused(
            reference, "the reference is empty, so no answer can be scored; write one or leave out the row"
        )
    name = cells.key(id) if id else f"row-{cells.row.number}"
    text = cells.text(input) if input else ""
    unit = name if cluster in (None, NO_CLUSTER) else cells.key(cluster)
    return Example(id=name, input=text, references=references, unit=unit, row=cells.row.number)
