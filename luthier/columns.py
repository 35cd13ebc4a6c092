"""Answers that another tool made enter here: columns of a csv or jsonl become Answers and Examples.

    file --from_columns--> arms {column: [Answer]}, [Example] --score--> --compare--> a dict, as compare.json holds

An arm is called like its column. Texts are scored as they are written: nothing is cleaned, cut or guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luthier.data import Cells, read_rows, unit_of
from luthier.errors import SettingsError
from luthier.records import Answer, Example, Score

Arms = dict[str, list[Answer]]


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

    Rows equal in `cluster` are one statistical unit (several rows may belong to one dialogue); without it rows of equal
    `input` are, and without that each row is. An empty answer is an answer, and scores 0. In jsonl a reference may be
    a list of several. Raises DataError for a file that cannot be read, a column that is not there, an empty reference,
    a repeated id; SettingsError when one column is named for two things.
    """
    _refuse_twins(reference, answers)
    arms: Arms = {name: [] for name in answers}
    examples, row_of = [], dict[str, int]()
    for row in read_rows(path):
        cells = Cells(Path(path), row)
        example = _example(cells, reference, cluster, id, input)
        if (earlier := row_of.setdefault(example.id, row.number)) != row.number:
            raise cells.refused(str(id), f"'{example.id}' is already the id of row {earlier}; make ids unique")
        examples.append(example)
        for name, given in arms.items():
            given.append(Answer(example.id, cells.text(name)))
    return arms, examples


def score_columns(
    path: str | Path,
    *,
    reference: str,
    answer: str,
    cluster: str | None = None,
    id: str | None = None,
    input: str | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Every metric of one column: {file, reference, answer, n, examples, level, metrics, signatures, unknown}.

    `metrics` is name -> {mean, low, high, n}; `unknown` is name -> reason -> how many answers have no value for it.
    Raises what `from_columns` raises.
    """
    from luthier.compare import compare

    scores = _scores(path, reference, [answer], cluster, id, input)
    # chrF decides because it has a value wherever there is a reference: nothing is left out for want of another metric.
    result = compare(scores, deciding="chrf", level=level, baselines=(), seed=seed)
    return {
        "file": str(path),
        "reference": reference,
        "answer": answer,
        **{key: result[key] for key in ("n", "examples", "level")},
        "metrics": result["arms"][answer],
        "signatures": result["signatures"],
        "unknown": result["missing"].get(answer, {}),
    }


def compare_columns(
    path: str | Path,
    *,
    reference: str,
    answers: Sequence[str],
    cluster: str | None = None,
    id: str | None = None,
    input: str | None = None,
    metric: str = "rouge1",
    margin: float = 0.02,
    baselines: Sequence[str] = (),
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The columns compared as a study compares its arms: what compare.json holds.

    Raises what `from_columns` and `compare` raise, and SettingsError for a baseline that is none of the columns.
    """
    from luthier.compare import check_settings, compare

    _refuse_twins(reference, answers)
    check_settings(answers, metric, margin, level=level)  # scoring takes a while; a misspelt metric need not wait
    if unknown := [name for name in baselines if name not in answers]:
        raise SettingsError(f"the baseline '{unknown[0]}' is none of the answer columns: {', '.join(answers)}")
    scores = _scores(path, reference, answers, cluster, id, input)
    return compare(scores, deciding=metric, margin=margin, baselines=baselines, level=level, seed=seed)


def _scores(
    path: str | Path, reference: str, answers: Sequence[str], cluster: str | None, id: str | None, input: str | None
) -> dict[str, list[Score]]:
    from luthier.score import score

    arms, examples = from_columns(path, reference=reference, answers=answers, cluster=cluster, id=id, input=input)
    return {name: score(given, examples) for name, given in arms.items()}


def _refuse_twins(reference: str, answers: Sequence[str]) -> None:
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
    unit = cells.key(cluster) if cluster else unit_of(text) if text.strip() else name
    return Example(id=name, input=text, references=references, unit=unit, row=cells.row.number)
