"""Warnings about a comparison: records, and the one function that words them.

warnings_of(comparison)         -> the warnings that follow from compare.json alone, each a record with its numbers
warnings_of(comparison, facts)  -> all warnings; `facts` are ScoreFacts, which compare.json does not hold
words(warning)                  -> its sentence, as compare.json holds it
sentences_besides(comparison, UnbeatenBaselines)  -> the sentences of a comparison without those of some kinds
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
    """Several rows form one unit."""

    examples: int
    n: int
    most: int  # rows of one unit


@dataclass(frozen=True)
class SeveralReferences:
    """Several references give one score."""

    fewest: int  # references of one example
    most: int
    rule: str  # how ROUGE forms one score from them


@dataclass(frozen=True)
class LaterLook:
    """Verdicts at a counted look need more confidence."""

    look: int
    alpha: float


@dataclass(frozen=True)
class OptimisticBest:
    """The highest of several means overestimates its arm."""

    arm: str
    arms: int


@dataclass(frozen=True)
class NoEquivalence:
    """The test set is too small to show any pair equivalent."""

    n: int
    margin: float


@dataclass(frozen=True)
class SameScores:
    """All scores of two arms are equal."""

    a: str
    b: str


@dataclass(frozen=True)
class NoneDiffers:
    """Two arms score the same on every example, which does not yet show them equivalent."""

    a: str
    b: str
    n: int
    may_differ: float  # share of further examples
    margin: float
    more: int  # examples that would show it, if none of them differs either


@dataclass(frozen=True)
class AbsentBaselines:
    """Declared baselines that are not among the arms."""

    baselines: tuple[str, ...]


@dataclass(frozen=True)
class UnbeatenBaselines:
    """An arm is not shown to beat these."""

    arm: str
    baselines: tuple[str, ...]


Evident = (  # follows from compare.json alone
    ExamplesLeftOut
    | FewUnits
    | LaterLook
    | OptimisticBest
    | NoEquivalence
    | SameScores
    | NoneDiffers
    | UnbeatenBaselines
)
Warned = Evident | RowsOfOneUnit | SeveralReferences | AbsentBaselines


@dataclass(frozen=True)
class ScoreFacts:
    """Facts about the scores that warnings need and compare.json does not hold."""

    most_rows: int  # of one unit
    references: tuple[int, int]  # of an example: the fewest, the most
    rule: str  # how ROUGE forms one score from several references
    absent: tuple[str, ...]  # baselines that are not among the arms


def score_facts(table: Table, baselines: Sequence[str]) -> ScoreFacts:
    """The facts about the aligned scores and the declared baselines that warnings need."""
    counts = {score.reference_count for score in next(iter(table.scores.values()))}
    absent = tuple(name for name in baselines if name not in table.scores)
    return ScoreFacts(max(Counter(table.units).values()), (min(counts), max(counts)), table.references, absent)


def warnings_of(comparison: Comparison, facts: ScoreFacts | None = None) -> list[Warned]:
    """The warnings in order; without `facts` only those that follow from compare.json."""
    return [
        *_left_out(comparison),
        *([FewUnits(comparison.n)] if comparison.n < MIN_UNITS else []),
        *(_taken_together(comparison, facts) if facts else []),
        *([] if comparison.look is None else [LaterLook(comparison.look, comparison.alpha)]),
        *(_of_several_arms(comparison) if comparison.comparisons else []),
        *(SameScores(pair.a, pair.b) for pair in comparison.pairs if pair.identical),
        *_none_differs(comparison),
        *([AbsentBaselines(facts.absent)] if facts and facts.absent else []),
        *_unbeaten(comparison),
    ]


def _left_out(comparison: Comparison) -> Iterator[Warned]:
    for arm, rows in comparison.excluded.items():
        yield ExamplesLeftOut(arm, comparison.deciding, Counter(row.reason for row in rows))


def _taken_together(comparison: Comparison, facts: ScoreFacts) -> Iterator[Warned]:
    """Warnings about rows that form one unit, and references that form one score."""
    if comparison.n < comparison.examples:
        yield RowsOfOneUnit(comparison.examples, comparison.n, facts.most_rows)
    if facts.references[1] > 1:
        yield SeveralReferences(*facts.references, facts.rule)


def _of_several_arms(comparison: Comparison) -> Iterator[Warned]:
    yield OptimisticBest(comparison.best.arm, len(comparison.arms))
    if not comparison.power.equivalence_possible:
        yield NoEquivalence(comparison.n, comparison.margin)


def _none_differs(comparison: Comparison) -> Iterator[Warned]:
    for pair in comparison.pairs:
        if pair.verdict == "cannot tell" and pair.may_differ is not None and pair.examples_needed:
            share, more = pair.may_differ, pair.examples_needed.more
            yield NoneDiffers(pair.a, pair.b, pair.n, share, comparison.margin, more)


def _unbeaten(comparison: Comparison) -> Iterator[Warned]:
    baselines = comparison.baseline_names()
    for arm, rows in comparison.baselines.items():
        unbeaten = tuple(name for name, row in rows.items() if not row.beats)
        if arm not in baselines and unbeaten:
            yield UnbeatenBaselines(arm, unbeaten)


def sentences_besides(comparison: Comparison, *kinds: type[Evident]) -> list[str]:
    """The sentences of a comparison's warnings, without those of some kinds."""
    left = {words(warning) for warning in warnings_of(comparison) if isinstance(warning, kinds)}
    return [sentence for sentence in comparison.warnings if sentence not in left]


def words(warning: Warned) -> str:
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
        case NoneDiffers(a, b, n, share, margin, more):
            return (
                f"The scores of {a} and {b} differ on none of {n} examples, so they may differ on up to "
                f"{100 * share:.2g} % of further ones; {more} more on which they do not would show them equivalent "
                f"within {margin:g}."
            )
        case AbsentBaselines(baselines):
            return f"Not among the arms, so that nobody knows whether an arm beats it: {', '.join(baselines)}."
        case UnbeatenBaselines(arm, baselines):
            return f"{arm} is not shown to beat the baseline {', '.join(baselines)}."
