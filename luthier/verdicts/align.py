"""Arms aligned by example: the examples that all arms have scores for, and the examples left out, with reasons.

Arms are compared on the same examples only. An example without a value for one arm is left out for every arm, and
listed under the arm that lacks it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luthier.errors import DataError
from luthier.metrics import CLASS_METRICS, DESCRIPTIVE, LIKELIHOOD, METRICS, SUMMED
from luthier.records import Score
from luthier.results.comparison import LeftOut
from luthier.scoring.words import ENGLISH, Reading

Arms = Mapping[str, Sequence[Score]]


@dataclass(frozen=True)
class Table:
    """The scores, a column for each arm and a row for each example; every cell has a value of the deciding metric."""

    ids: list[str]
    units: list[str]  # (rows,)
    scores: dict[str, list[Score]]  # arm -> (rows,)
    excluded: dict[str, tuple[LeftOut, ...]]  # arm -> the examples left out for every arm because of this one
    references: str = "mean"  # how ROUGE against several references became one score
    reading: Reading = ENGLISH  # what a word is, and BLEU's tokenizer


def align(arms: Arms, deciding: str) -> Table:
    """Keeps the examples that every arm has a value for; means over different examples are not comparable.

    Raises DataError when an id stands twice in an arm, when arms disagree about an example's unit or about the rule for
    several references or the reading of texts, when an arm lacks more than half of the examples, or when none is left.
    """
    by_id = {name: _scores_by_id(name, scores) for name, scores in arms.items()}
    units = _units(by_id)
    excluded = {name: _lacking(scores, list(units), deciding) for name, scores in by_id.items()}
    for name, rows in excluded.items():
        if 2 * len(rows) > len(units):
            raise DataError(
                f"arm '{name}' has no {deciding} for {len(rows)} of {len(units)} examples "
                f"('{rows[0].id}': {rows[0].reason}); leave the arm out, or let it answer the same examples"
            )
    gone = {row.id for rows in excluded.values() for row in rows}
    ids = [id for id in units if id not in gone]
    if not ids:
        raise DataError(f"there is no example for which every arm has a {deciding}; compare arms on the same examples")
    scores = {name: [own[id] for id in ids] for name, own in by_id.items()}
    named = {name: rows for name, rows in excluded.items() if rows}
    return Table(ids, [units[id] for id in ids], scores, named, _references(scores), _reading(scores))


def _references(scores: Mapping[str, Sequence[Score]]) -> str:
    rules = {score.references for own in scores.values() for score in own}
    if len(rules) > 1:
        raise DataError(f"some scores are the {' and some the '.join(sorted(rules))} over references; score all alike")
    return rules.pop()


def _reading(scores: Mapping[str, Sequence[Score]]) -> Reading:
    ways = {(score.words, score.bleu, score.reasoning) for own in scores.values() for score in own}
    if len(ways) > 1:
        told = " and some by ".join(", ".join(way) for way in sorted(ways))
        raise DataError(f"some scores are read by {told}; score all alike")
    words, bleu, reasoning = ways.pop()
    return Reading(words, bleu, reasoning)  # type: ignore[arg-type]


def _scores_by_id(name: str, scores: Sequence[Score]) -> dict[str, Score]:
    for id, times in Counter(score.id for score in scores).items():
        if times > 1:
            raise DataError(f"arm '{name}' has {times} scores for example '{id}'; keep one")
    return {score.id: score for score in scores}


def _units(by_id: Mapping[str, Mapping[str, Score]]) -> dict[str, str]:
    """The unit of every example that any arm has, in order of first appearance."""
    units: dict[str, str] = {}
    for name, scores in by_id.items():
        for id, score in scores.items():
            if units.setdefault(id, score.unit) != score.unit:
                raise DataError(
                    f"example '{id}' belongs to unit '{units[id]}' in one arm and to '{score.unit}' in arm '{name}'; "
                    "score both from the same task"
                )
    return units


def _lacking(scores: Mapping[str, Score], ids: Sequence[str], metric: str) -> tuple[LeftOut, ...]:
    """The examples for which an arm has no answer, or an answer without a value, each with the reason."""
    lacking = [id for id in ids if id not in scores or not has_value(scores[id], metric)]
    return tuple(
        LeftOut(id=id, reason=scores[id].reasons.get(metric, "no reason was given") if id in scores else "no answer")
        for id in lacking
    )


def has_value(score: Score, metric: str) -> bool:
    """Whether the metric has a value, and its counts if it is a corpus metric."""
    return score.values.get(metric) is not None and (metric not in SUMMED or metric in score.statistics)


def metrics_of(table: Table) -> list[str]:
    """The metrics that any score holds, in their usual order."""
    seen = {metric for scores in table.scores.values() for score in scores for metric in score.values}
    return [metric for metric in (*METRICS, *CLASS_METRICS, *DESCRIPTIVE, LIKELIHOOD) if metric in seen]


def missing(table: Table, metrics: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """arm -> metric -> reason -> the number of compared examples without a value of the metric."""
    counted = {}
    for name, scores in table.scores.items():
        own = {score.id: score for score in scores}
        counts = {metric: Counter(row.reason for row in _lacking(own, table.ids, metric)) for metric in metrics}
        counted[name] = {metric: dict(count) for metric, count in counts.items() if count}
    return {name: counts for name, counts in counted.items() if counts}
