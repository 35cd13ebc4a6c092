"""Answers of another tool: columns of a csv or jsonl file become Answers and Examples.

    file --from_columns--> arms {column: [Answer]}, [Example] --score--> --compare--> Comparison, as compare.json holds

An arm has the name of its column. Texts are scored as they are written, without cleaning or cutting. Where rows repeat
an input, the user has to say whether they form one unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from luthier.errors import DataError, SettingsError
from luthier.files import sha256_of_text
from luthier.metrics import CLASS_METRICS, DECIDING, DECIDING_LABELS, MARGIN
from luthier.progress import bar
from luthier.records import Answer, Example, Score
from luthier.results.comparison import ArmMetric, Comparison
from luthier.results.looks import count_look
from luthier.results.record import Part, plain
from luthier.task.examples import Cells, unit_of
from luthier.task.rows import Row, read_rows

Arms = dict[str, list[Answer]]
Look = int | Literal["count"] | None

NO_CLUSTER = "none"  # instead of a column: every row is a unit of its own
LONG = 40  # characters; a shorter text may be repeated by chance
REPEATED = 0.1  # share of rows; fewer hardly change an interval
MANY_ANSWERS, BLOCK = 5_000, 500  # from so many on a bar is shown, which moves by blocks


def from_columns(
    path: str | Path,
    *,
    reference: str,
    answers: Sequence[str],
    cluster: str | None = None,
    id: str | None = None,
    input: str | None = None,
) -> tuple[Arms, list[Example]]:
    """The answers of each column in `answers`, and the examples they answer, one a row.

    Rows equal in `cluster` form one statistical unit (one dialogue may have several rows). With "none", or where no
    input repeats, each row is a unit. An empty answer scores 0. In jsonl a reference may be a list of several.

    Raises DataError for a file that cannot be read, a missing column, an empty reference or a repeated id. Without a
    cluster it also raises DataError for rows that repeat their input, or (in REPEATED of the rows or more) a long text
    of another column. Raises SettingsError when one column is named twice.
    """
    _refuse_same_column(reference, answers)
    arms: Arms = {name: [] for name in answers}
    examples, row_of = [], dict[str, int]()
    rows = list(read_rows(path))
    if cluster is None:
        _refuse_repeats(Path(path), rows, input, {reference, *answers, *([id] if id else [])})
    for row in _taken(rows):
        cells = Cells(Path(path), row)
        example = _example(cells, reference, cluster, id, input)
        if (earlier := row_of.setdefault(example.id, row.number)) != row.number:
            raise cells.refused(str(id), f"'{example.id}' is already the id of row {earlier}; make ids unique")
        examples.append(example)
        for name, given in arms.items():
            given.append(Answer(example.id, cells.text(name)))
    return arms, examples


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
    level: float = 0.95,
    seed: int = 0,
) -> ColumnScores:
    """Every metric of one column: {file, reference, answer, n, examples, level, metrics, signatures, unknown}.

    labels: references and answers are labels, scored by accuracy and macro-F1.
    `metrics` is name -> {mean, low, high, n}; `unknown` is name -> reason -> answers without a value.
    Raises what `from_columns` raises.
    """
    from luthier.verdicts.compare import comparison

    arms, examples = from_columns(path, reference=reference, answers=[answer], cluster=cluster, id=id, input=input)
    scores = _scores(arms, examples, references, labels)
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
    level: float = 0.95,
    look: Look = None,
    seed: int = 0,
) -> Comparison:
    """Compares columns as a study compares its arms; the result is what compare.json would hold.

    metric: with accuracy or macro_f1 references and answers are labels.
    references: how ROUGE against several becomes one value, "mean" or "max". look: the number of this look at these
    references; "count" counts it in the user's cache, where the same comparison of the same texts is the same look.

    Raises what `from_columns`, `score` and `compare` raise, and SettingsError for a baseline that is no column.
    """
    from luthier.verdicts.compare import check_settings, comparison

    _refuse_same_column(reference, answers)
    if isinstance(look, str) and look != "count":
        raise SettingsError(f"look '{look}' is none; give its number, 'count' or None")
    # Before the scoring, which takes a while.
    check_settings(answers, metric, margin, level=level, seed=seed, look=None if look == "count" else look)
    if unknown := [name for name in baselines if name not in answers]:
        raise SettingsError(f"the baseline '{unknown[0]}' is none of the answer columns: {', '.join(answers)}")
    arms, examples = from_columns(path, reference=reference, answers=answers, cluster=cluster, id=id, input=input)
    scores = _scores(arms, examples, references, labels=metric in CLASS_METRICS)

    def compared(look: int | None) -> Comparison:
        return comparison(
            scores, deciding=metric, margin=margin, baselines=baselines, level=level, look=look, seed=seed
        )

    if not isinstance(look, str):
        return compared(look)
    first = compared(1)  # before it is counted: a comparison that fails is no look
    counted = _counted(arms, examples, metric, repr(margin), repr(level), references, repr(seed))
    return first if counted == 1 else compared(counted)


score_columns = plain(scores_of_column, "score_columns")
compare_columns = plain(comparison_of_columns, "compare_columns")


def _scores(arms: Arms, examples: Sequence[Example], references: str, labels: bool) -> dict[str, list[Score]]:
    from luthier.scoring.score import refuse_unequal, score

    words = sorted({text for example in examples for text in example.references}) if labels else []
    if references == "max":
        refuse_unequal(examples)  # of all, since they are scored block by block
    many = len(arms) * len(examples)
    scores: dict[str, list[Score]] = {name: [] for name in arms}
    with bar("scoring", many, "answers") if many >= MANY_ANSWERS else nullcontext() as progress:
        for name, given in arms.items():
            for start in range(0, len(examples), BLOCK):
                block = slice(start, start + BLOCK)
                scores[name] += score(given[block], examples[block], references=references, labels=words)
                if progress is not None:
                    progress.advance(len(given[block]))
    return scores


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


def _example(cells: Cells, reference: str, cluster: str | None, id: str | None, input: str | None) -> Example:
    references = tuple(cells.texts(reference))
    if not references or not all(text.strip() for text in references):
        raise cells.refused(
            reference, "the reference is empty, so no answer can be scored; write one or leave out the row"
        )
    name = cells.key(id) if id else f"row-{cells.row.number}"
    text = cells.text(input) if input else ""
    unit = name if cluster in (None, NO_CLUSTER) else cells.key(cluster)
    return Example(id=name, input=text, references=references, unit=unit, row=cells.row.number)
