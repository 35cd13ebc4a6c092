"""What a reader must know before believing a comparison: records, and the one function that words them.

warnings_of(comparison)          -> the warnings that follow from compare.json alone, each with its kind and numbers
warnings_of(comparison, beside)  -> all of them: what the scores say that compare.json does not hold
words(warning)                   -> its sentence, as compare.json holds it
sentences_besides(comparison, UnbeatenBaselines)  -> a comparison's sentences but those of some kinds
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from luthier.results.comparison import Comparison
from luthier.stats.intervals import MIN_UNITS
from luthier.verdicts.align import Table


@dataclass(frozen=True)
class ExamplesLeftOut:
    """Examples are left out for every arm, because one has no value for them."""

    arm: str
    metric: str
    reasons: Mapping[str, int]  # reason -> on how many examples


@dataclass(frozen=True)
class FewUnits:
    """Too few units for a verdict."""

    n: int


@dataclass(frozen=True)
class RowsOfOneUnit:
    """Several rows make one unit."""

    examples: int
    n: int
    most: int  # rows of one unit


@dataclass(frozen=True)
class SeveralReferences:
    """Several references make one score."""

    fewest: int  # references of one example
    most: int
    rule: str  # how ROUGE makes one score of them


@dataclass(frozen=True)
class LaterLook:
    """Verdicts at a counted look need more confidence."""

    look: int
    alpha: float


@dataclass(frozen=True)
class OptimisticBest:
    """The highest of several means is higher than the arm is."""

    arm: str
    arms: int


@dataclass(frozen=True)
class NoEquivalence:
    """No pair could be found equivalent, however alike its arms are."""

    n: int
    margin: float


@dataclass(frozen=True)
class SameScores:
    """Two arms score the same in everything."""

    a: str
    b: str


@dataclass(frozen=True)
class AbsentBaselines:
    """Baselines that are none of the arms."""

    baselines: tuple[str, ...]


@dataclass(frozen=True)
class UnbeatenBaselines:
    """An arm is not shown to beat these."""

    arm: str
    baselines: tuple[str, ...]


Evident = (  # follows from compare.json alone
    ExamplesLeftOut | FewUnits | LaterLook | OptimisticBest | NoEquivalence | SameScores | UnbeatenBaselines
)
Caution = Evident | RowsOfOneUnit | SeveralReferences | AbsentBaselines


@dataclass(frozen=True)
class Beside:
    """What warnings need and compare.json does not hold."""

    most_rows: int  # of one unit
    references: tuple[int, int]  # of an example: the fewest, the most
    rule: str  # how ROUGE makes one score of several references
    absent: tuple[str, ...]  # baselines that are none of the arms


def beside(table: Table, baselines: Sequence[str]) -> Beside:
    """What of the aligned scores and the declared baselines a warning may speak of."""
    counts = {score.reference_count for score in next(iter(table.scores.values()))}
    absent = tuple(name for name in baselines if name not in table.scores)
    return Beside(max(Counter(table.units).values()), (min(counts), max(counts)), table.references, absent)


def warnings_of(found: Comparison, more: Beside | None = None) -> list[Caution]:
    """The warnings in the order in which they are said; without `more` those that follow from compare.json alone."""
    return [
        *_left_out(found),
        *([FewUnits(found.n)] if found.n < MIN_UNITS else []),
        *(_taken_together(found, more) if more else []),
        *([] if found.look is None else [LaterLook(found.look, found.alpha)]),
        *(_of_several_arms(found) if found.comparisons else []),
        *(SameScores(pair.a, pair.b) for pair in found.pairs if pair.identical),
        *([AbsentBaselines(more.absent)] if more and more.absent else []),
        *_unbeaten(found),
    ]


def _left_out(found: Comparison) -> Iterator[Caution]:
    for arm, rows in found.excluded.items():
        yield ExamplesLeftOut(arm, found.deciding, Counter(row.reason for row in rows))


def _taken_together(found: Comparison, more: Beside) -> Iterator[Caution]:
    """What was taken together before anything was counted: rows of one unit, references of one example."""
    if found.n < found.examples:
        yield RowsOfOneUnit(found.examples, found.n, more.most_rows)
    if more.references[1] > 1:
        yield SeveralReferences(*more.references, more.rule)


def _of_several_arms(found: Comparison) -> Iterator[Caution]:
    yield OptimisticBest(found.best.arm, len(found.arms))
    if not found.power.equivalence_possible:
        yield NoEquivalence(found.n, found.margin)


def _unbeaten(found: Comparison) -> Iterator[Caution]:
    baselines = found.baseline_names()
    for arm, rows in found.baselines.items():
        unbeaten = tuple(name for name, row in rows.items() if not row.beats)
        if arm not in baselines and unbeaten:
            yield UnbeatenBaselines(arm, unbeaten)


def sentences_besides(found: Comparison, *kinds: type[Evident]) -> list[str]:
    """The sentences of a comparison's warnings, without those of some kinds."""
    left = {words(warning) for warning in warnings_of(found) if isinstance(warning, kinds)}
    return [sentence for sentence in found.warnings if sentence not in left]


def words(warning: Caution) -> str:
    """The sentence of a warning."""
    match warning:
        case ExamplesLeftOut(arm, metric, reasons):
            why = ", ".join(f"{reason} ({times})" for reason, times in reasons.items())
            return (
                f"{sum(reasons.values())} examples are left out for every arm: {arm} has no {metric} for them: {why}."
            )
        case FewUnits(n):
            return f"Only {n} independent units: below {MIN_UNITS} every verdict is 'cannot tell'."
        case RowsOfOneUnit(examples, n, most):
            return f"{examples} examples are {n} independent units (of up to {most} rows); intervals count units."
        case SeveralReferences(fewest, most, rule):
            many = f"{most} references" if fewest == most else f"{fewest} to {most} references"
            return f"Examples have {many}, which make one score, not several units (ROUGE: {rule})."
        case LaterLook(look, alpha) if alpha < 1e-6:  # which would be called 100 % confidence
            return (
                f"This is look {look} at this test set, so verdicts may err once in {1 / alpha:,.0f} times, and "
                "hardly any difference can be shown; draw a new test set."
            )
        case LaterLook(look, alpha):
            return (
                f"This is look {look} at this test set, so verdicts need {100 * (1 - alpha):.5g} % confidence: each "
                "look may err half as often as the one before it."
            )
        case OptimisticBest(arm, arms):
            several = f"the highest of {arms}"
            return f"The mean of {arm} is optimistic, being {several}: quote its simultaneous interval."
        case NoEquivalence(n, margin):
            return f"With n = {n} and a margin of {margin:.3f} no pair of arms can be found equivalent."
        case SameScores(a, b):
            return f"{a} and {b} score the same in everything; most likely they answer the same."
        case AbsentBaselines(baselines):
            return f"Not among the arms, so that nobody knows whether an arm beats it: {', '.join(baselines)}."
        case UnbeatenBaselines(arm, baselines):
            return f"{arm} is not shown to beat the baseline {', '.join(baselines)}."
