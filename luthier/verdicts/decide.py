"""Verdicts on the deciding metric, the decision which arm to ship, and results over seeds: the parts of a Comparison.

    pairs      verdicts of the deciding metric, from simultaneous intervals; other metrics are descriptive
    ship       Hsu: the cheapest arm whose lower bound against the best of the others is above -margin
    seeds      means and differences over training seeds, without a verdict

An unknown number or an infinite bound is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from luthier.metrics import LIKELIHOOD
from luthier.records import Score
from luthier.results.comparison import (
    AgainstBaseline,
    ArmMetric,
    ArmRecipe,
    Best,
    Claims,
    Decision,
    ExamplesNeeded,
    Mean,
    Pair,
    PairRecipe,
    Power,
    turned,
)
from luthier.stats import intervals, power, simultaneous
from luthier.stats.intervals import Estimate, Floats, ends_of, finite_or_none, inside
from luthier.stats.seeds import MIN_SEEDS, OverSeeds, difference_over_seeds, mean_over_seeds
from luthier.verdicts.align import Table
from luthier.verdicts.measure import Column, PairOfArms

Cost = Mapping[str, Sequence[float]]
Judged = Mapping[PairOfArms, Pair]

POWER = 0.8


@dataclass(frozen=True)
class Rule:
    """The declared metric, margin and levels, and the levels of intervals for the family of all pairs."""

    deciding: str
    margin: float
    level: float  # of descriptive intervals
    strict: float  # of verdicts: `level`, or above it at a later look
    each: float  # of one pair's interval, so that all pairs hold at once with `strict`
    within: float  # of one pair's interval whose ends are one-sided bounds that hold at once with `strict`


def rule_of(column: Column, deciding: str, margin: float, level: float, strict: float) -> Rule:
    """The rule for a family of all pairs on the deciding metric."""
    each, within = simultaneous.verdict_levels(list(column.pairs.values()), strict)
    return Rule(deciding, margin, level, strict, each, within)


def mean_of(estimate: Estimate | None, level: float) -> Mean:
    """An estimate with an interval for it alone."""
    if estimate is None:
        return Mean(mean=None, low=None, high=None, n=0)
    return Mean(mean=estimate.value, **ends_of(estimate.interval(level)), n=estimate.n)


def arm_metric(estimate: Estimate | None, level: float) -> ArmMetric:
    """One arm on one metric."""
    return ArmMetric(**mean_of(estimate, level).as_json())


def pair_of(table: Table, column: Column, arms: PairOfArms, rule: Rule) -> Pair:
    """One pair on one metric: an unadjusted interval on all metrics, a verdict on the deciding one."""
    a, b = arms
    if (estimate := column.pairs.get(arms)) is None:
        return Pair(a=a, b=b, metric=column.metric, difference=None, low=None, high=None, n=0, verdict=None)
    more: dict[str, Any] = {"verdict": None}
    if estimate.p is not None:
        more["mcnemar_p"] = estimate.p
    if column.metric == rule.deciding:
        more |= _judged(table, estimate, arms, rule)
    ends = ends_of(estimate.interval(rule.level))
    return Pair(a=a, b=b, metric=column.metric, difference=estimate.value, **ends, n=estimate.n, **more)


def _judged(table: Table, estimate: Estimate, arms: PairOfArms, rule: Rule) -> dict[str, Any]:
    """The fields of a Pair that only the deciding metric has."""
    ends, bounds = estimate.interval(rule.each), estimate.interval(rule.within)
    few = simultaneous.cautious(estimate, rule.each)
    verdict = simultaneous.verdict(
        ends, margin=rule.margin, n=estimate.n, nonzero=estimate.nonzero, bounds=bounds, few=few
    )
    more = power.more_needed(estimate, rule.margin, level=rule.each, power=POWER)
    a, b = (table.scores[name] for name in arms)
    return {
        "verdict": verdict,
        **ends_of(ends, "simultaneous_"),
        **ends_of(bounds, "one_sided_"),
        "within_margin": -rule.margin < bounds.low and bounds.high < rule.margin,
        "sd": finite_or_none(estimate.sd),
        "nonzero": estimate.nonzero,
        **({"may_differ": few.high} if not estimate.nonzero and estimate.is_mean else {}),
        "identical": all(_text_scores(x) == _text_scores(y) for x, y in zip(a, b, strict=True)),
        "examples_needed": ExamplesNeeded(**more) if more and verdict == "cannot tell" else None,
    }


def _text_scores(score: Score) -> dict[str, Any]:
    """The scores that depend only on the text of an answer, not on how it ended or on the model."""
    return {**score.values, **score.statistics, "stopped": None, LIKELIHOOD: None}


def best_of(column: Column, rule: Rule) -> Best:
    """The highest mean, with an interval that holds for whichever arm turns out highest: all arms' at once."""
    name = max(column.arms, key=lambda arm: column.arms[arm].value)
    ends = column.arms[name].interval(simultaneous.joint_level(list(column.arms.values()), rule.strict))
    return Best(arm=name, mean=column.arms[name].value, **ends_of(ends, "simultaneous_"))


def power_of(column: Column, rule: Rule) -> Power:
    """The power on the deciding metric, from the smallest and the largest sd among the pairs."""
    spread = sorted((pair for pair in column.pairs.values() if pair.n > 1), key=lambda pair: pair.sd)
    if not spread:
        return Power(power=POWER, sd_range=None, detectable=None, equivalence_possible=False)
    least, most = spread[0], spread[-1]
    return Power(
        power=POWER,
        sd_range=(least.sd, most.sd),
        detectable=power.detectable_difference(
            most.n, most.sd, level=rule.each, power=POWER, squared_skewness=most.squared_skewness
        ),
        equivalence_possible=power.equivalence_possible(
            least.n, least.sd, rule.margin, level=rule.each, squared_skewness=least.squared_skewness
        ),
    )


def groups_of(column: Column, judged: Judged) -> tuple[tuple[str, ...], ...]:
    """The groups of arms that are not separated, in order of their means. They are not shown to be equal."""
    by_mean = sorted(column.arms, key=lambda name: -column.arms[name].value)
    separated = {pair.arms for pair in judged.values() if pair.separated}
    return tuple(map(tuple, simultaneous.not_separated(by_mean, separated)))


def against_baselines(
    names: Sequence[str], judged: Judged, baselines: Sequence[str]
) -> dict[str, dict[str, AgainstBaseline]]:
    """arm -> baseline -> the arm's verdict against it, and whether it beats it (only *better* does)."""
    verdicts = {arms: pair.verdict for arms, pair in judged.items() if pair.verdict}
    verdicts |= {(b, a): turned(verdict) for (a, b), verdict in verdicts.items()}
    return {
        arm: {
            other: AgainstBaseline(verdict=verdicts[arm, other], beats=verdicts[arm, other] == "better")
            for other in baselines
            if other in names and other != arm
        }
        for arm in names
    }


# ----------------------------------------------------------------------------------------------------------- ship


def decision_of(
    column: Column, judged: Judged, rule: Rule, cost: Cost | None, barred: Mapping[str, str] | None = None
) -> Decision:
    """Hsu's rule: the cheapest arm whose lower bound against the best of the others is above -margin.

    It speaks of the arms that are not `barred` (arm -> why).

    "The cheapest that is not significantly worse" would ship almost any arm on a small test set.
    """
    barred = {name: why for name, why in (barred or {}).items() if name in column.arms}
    free = {name: estimate for name, estimate in column.arms.items() if name not in barred}
    means = {name: estimate.value for name, estimate in free.items()}
    bounds = simultaneous.against_the_best(list(means), column.pairs, rule.strict)
    best = max(means, key=means.__getitem__)
    enough = column.arms[best].n >= intervals.MIN_UNITS and len(means) > 1
    close = simultaneous.close_to_the_best(bounds, rule.margin) if enough else []
    arm = min(close, key=lambda name: (tuple(cost[name]) if cost else (), -means[name]), default=None)
    rivals = [name for name in means if not enough or bounds[name].high > 0]
    open_pairs = [pair for pair in judged.values() if best in pair.arms and pair.arms <= set(rivals)]
    more = [pair.examples_needed.more for pair in open_pairs if pair.examples_needed]
    decision = Decision(
        verdict="cannot tell" if arm is None else "ship",
        arm=arm,
        provisional=best,
        may_be_best=tuple(rivals),
        lower_bounds={name: finite_or_none(bounds[name].low) for name in means},
        more_examples=max(more) if arm is None and more else None,
        sentence="",
    )
    sentence = _ship_sentence(decision, bounds, free, rule)
    if barred:
        named = ", ".join(f"{name} ({why})" for name, why in barred.items())
        sentence += f" Not shown to have kept what the base could do, so not considered: {named}."
        decision = decision.model_copy(update={"barred": barred})
    return decision.model_copy(update={"sentence": sentence})


def _ship_sentence(
    decision: Decision, bounds: Mapping[str, intervals.Interval], arms: Mapping[str, Estimate], rule: Rule
) -> str:
    """The decision with its numbers, in one sentence."""
    best, metric, margin = arms[decision.provisional], rule.deciding, f"{rule.margin:.3f}"
    if len(arms) == 1:
        return (
            f"{decision.provisional} has nothing to be compared with; its {metric} is {best.value:.3f} (n = {best.n})."
        )
    if arm := decision.arm:
        below = -bounds[arm].low
        lead = f"more than {below:.3f} better (allowed: {margin}; " if below else "better ("
        return (
            f"Ship {arm}: its {metric} is {arms[arm].value:.3f}, and with {100 * rule.strict:.4g} % confidence "
            f"no other arm is {lead}n = {best.n})."
        )
    more = decision.more_examples
    return (
        f"Cannot tell which arm to ship: with n = {best.n} none is shown to be within {margin} {metric} of the best. "
        f"The best may be {' or '.join(decision.may_be_best)}; {decision.provisional} has the highest mean "
        f"({best.value:.3f}) and is the provisional choice"
        + (f"; about {more} more examples would tell differences of {margin} apart." if more else ".")
    )


# --------------------------------------------------------------------------------------------------------- seeds


@dataclass(frozen=True)
class SeedResults:
    """Results over seeds for each arm and pair, descriptive; None where there are too few seeds."""

    arms: dict[str, ArmRecipe | None]
    pairs: dict[PairOfArms, PairRecipe | None]
    seeds: dict[str, int]  # arm -> seeds that were trained


def seed_results_of(tables: Mapping[str, Floats], level: float, ends: tuple[float, float]) -> SeedResults:
    """Results over seeds from tables, arm -> (seeds, units) scores; `ends` are those of the metric's scale.

    A pair has a result where one arm has MIN_SEEDS seeds or more, and the other as many or one.
    """

    def fields_of(estimate: OverSeeds, scale: tuple[float, float]) -> dict[str, Any]:
        spread = {"seeds": estimate.seeds, "seed_share": estimate.seed_share, "seed_sd": estimate.seed_sd}
        return {**ends_of(inside(estimate.interval(level), scale)), **spread}

    low, high = ends
    means = {name: mean_over_seeds(scores) for name, scores in tables.items() if len(scores) >= MIN_SEEDS}
    arms = {
        name: ArmRecipe(mean=means[name].value, **fields_of(means[name], ends)) if name in means else None
        for name in tables
    }
    pairs: dict[PairOfArms, PairRecipe | None] = {}
    for a, b in combinations(tables, 2):
        counts = {len(tables[a]), len(tables[b])}
        pairs[a, b] = None
        if max(counts) >= MIN_SEEDS and (len(counts) == 1 or 1 in counts):
            difference = difference_over_seeds(tables[a], tables[b])
            pairs[a, b] = PairRecipe(difference=difference.value, **fields_of(difference, (low - high, high - low)))
    return SeedResults(arms, pairs, {name: len(scores) for name, scores in tables.items()})


def claims_of(arm: str, row: ArmMetric, seeds: int, metric: str, level: float) -> Claims:
    """Two sentences about an arm: on this model (only examples are random), and on its training (seeds too)."""
    percent = f"{100 * level:.4g} %"
    model = (
        f"This model: {arm} has {metric} {_shown(row.mean)}, between {_shown(row.low)} and {_shown(row.high)} "
        f"with {percent} confidence over examples like these {row.n}."
    )
    if (recipe := row.recipe) is None:
        count = "one seed" if seeds == 1 else f"{seeds} seeds"
        return Claims(model=model, recipe=f"This recipe: {count}: no claim about the recipe.")
    return Claims(
        model=model,
        recipe=f"This recipe: trained again with another seed, {arm} has {metric} {recipe.mean:.3f} in the mean, "
        f"between {_shown(recipe.low)} and {_shown(recipe.high)} with {percent} confidence over seeds and "
        f"examples ({seeds} seeds).",
    )


def _shown(number: float | None) -> str:
    return "unknown" if number is None else f"{number:.3f}"
