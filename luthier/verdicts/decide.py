"""Verdicts: pairs and arms on the deciding metric -> the rows of compare.json, and the decision which arm to ship.

    judge      pairs on the deciding metric alone, from simultaneous intervals; other metrics are descriptive
    ship       Hsu: the cheapest arm whose lower bound against the best of the others is above -margin
    recipe     what several seeds say beside it, without a verdict

A row holds plain JSON values: a number that is not known, or has no bound, is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from luthier.metrics import LIKELIHOOD
from luthier.records import Score
from luthier.stats import intervals, power, simultaneous
from luthier.stats.intervals import Estimate, Floats, ends_of, known
from luthier.stats.seeds import MIN_SEEDS, Recipe, recipe_difference, recipe_mean
from luthier.verdicts.align import Row, Table
from luthier.verdicts.measure import Column, Pair

Cost = Mapping[str, Sequence[float]]

POWER = 0.8


@dataclass(frozen=True)
class Rule:
    """What was declared before looking, and what the family of all pairs makes of it."""

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


def arm_row(estimate: Estimate | None, level: float) -> Row:
    """One arm on one metric, with an interval for it alone."""
    if estimate is None:
        return {"mean": None, "low": None, "high": None, "n": 0}
    return {"mean": estimate.value, **ends_of(estimate.interval(level)), "n": estimate.n}


def pair_row(table: Table, column: Column, pair: Pair, rule: Rule) -> Row:
    """One pair on one metric: an unadjusted interval on all metrics, a verdict on the deciding one."""
    row: Row = {"a": pair[0], "b": pair[1], "metric": column.metric}
    if (estimate := column.pairs.get(pair)) is None:
        return row | {"difference": None, "low": None, "high": None, "n": 0, "verdict": None}
    row |= {"difference": estimate.value, **ends_of(estimate.interval(rule.level)), "n": estimate.n, "verdict": None}
    if estimate.p is not None:
        row["mcnemar_p"] = estimate.p
    return row | _judged(table, estimate, pair, rule) if column.metric == rule.deciding else row


def _judged(table: Table, estimate: Estimate, pair: Pair, rule: Rule) -> Row:
    ends, bounds = estimate.interval(rule.each), estimate.interval(rule.within)
    verdict = simultaneous.verdict(ends, margin=rule.margin, n=estimate.n, nonzero=estimate.nonzero, bounds=bounds)
    more = power.more_needed(estimate, rule.margin, level=rule.each, power=POWER)
    a, b = (table.scores[name] for name in pair)
    return {
        "verdict": verdict,
        **ends_of(ends, "simultaneous_"),
        **ends_of(bounds, "one_sided_"),
        "within_margin": -rule.margin < bounds.low and bounds.high < rule.margin,
        "sd": known(estimate.sd),
        "nonzero": estimate.nonzero,
        "identical": all(_what_was_said(x) == _what_was_said(y) for x, y in zip(a, b, strict=True)),
        "examples_needed": more if verdict == "cannot tell" else None,
    }


def _what_was_said(score: Score) -> Row:
    """All that depends on the text of an answer, and not on how it ended: the same text may be given or generated."""
    return {**score.values, **score.statistics, "stopped": None, LIKELIHOOD: None}


def best_row(column: Column, rule: Rule) -> Row:
    """The highest mean, with an interval that holds for whichever arm turns out highest: all arms' at once."""
    name = max(column.arms, key=lambda arm: column.arms[arm].value)
    ends = column.arms[name].interval(simultaneous.joint_level(list(column.arms.values()), rule.strict))
    return {"arm": name, "mean": column.arms[name].value, **ends_of(ends, "simultaneous_")}


def power_row(column: Column, rule: Rule) -> Row:
    """What this test set can show on the deciding metric, from the smallest and the largest sd among the pairs."""
    spread = sorted((pair for pair in column.pairs.values() if pair.n > 1), key=lambda pair: pair.sd)
    if not spread:
        return {"power": POWER, "sd_range": None, "detectable": None, "equivalence_possible": False}
    least, most = spread[0], spread[-1]
    return {
        "power": POWER,
        "sd_range": [least.sd, most.sd],
        "detectable": power.detectable_difference(
            most.n, most.sd, level=rule.each, power=POWER, squared_skewness=most.squared_skewness
        ),
        "equivalence_possible": power.equivalence_possible(
            least.n, least.sd, rule.margin, level=rule.each, squared_skewness=least.squared_skewness
        ),
    }


def group_rows(column: Column, judged: Mapping[Pair, Row]) -> list[list[str]]:
    """The groups of arms that are not separated, in order of their means. Caption them so: they are never equal."""
    by_mean = sorted(column.arms, key=lambda name: -column.arms[name].value)
    separated = {frozenset(pair) for pair, row in judged.items() if row["verdict"] in ("better", "worse")}
    return simultaneous.not_separated(by_mean, separated)


def baseline_rows(names: Sequence[str], judged: Mapping[Pair, Row], baselines: Sequence[str]) -> Row:
    """arm -> baseline -> the arm's verdict against it, and whether it beats it (only *better* does)."""
    turned = {"better": "worse", "worse": "better"}
    verdicts = {pair: row["verdict"] for pair, row in judged.items()}
    verdicts |= {(b, a): turned.get(verdict, verdict) for (a, b), verdict in verdicts.items()}
    return {
        arm: {
            other: {"verdict": verdicts[arm, other], "beats": verdicts[arm, other] == "better"}
            for other in baselines
            if other in names and other != arm
        }
        for arm in names
    }


# ----------------------------------------------------------------------------------------------------------- ship


def ship_row(column: Column, judged: Mapping[Pair, Row], rule: Rule, cost: Cost | None) -> Row:
    """Hsu's rule: the cheapest arm whose lower bound against the best of the others is above -margin.

    It replaces "the cheapest that is not significantly worse", which on a small test set ships almost anything.
    """
    means = {name: estimate.value for name, estimate in column.arms.items()}
    bounds = simultaneous.against_the_best(list(means), column.pairs, rule.strict)
    best = max(means, key=means.__getitem__)
    enough = column.arms[best].n >= intervals.MIN_UNITS and len(means) > 1
    close = simultaneous.close_to_the_best(bounds, rule.margin) if enough else []
    arm = min(close, key=lambda name: (tuple(cost[name]) if cost else (), -means[name]), default=None)
    rivals = [name for name in means if not enough or bounds[name].high > 0]
    open_pairs = [row for pair, row in judged.items() if best in pair and set(pair) <= set(rivals)]
    more = [row["examples_needed"]["more"] for row in open_pairs if row["examples_needed"]]
    row: Row = {
        "verdict": "cannot tell" if arm is None else "ship",
        "arm": arm,
        "provisional": best,
        "may_be_best": rivals,
        "lower_bounds": {name: known(bounds[name].low) for name in means},
        "more_examples": max(more) if arm is None and more else None,
    }
    return row | {"sentence": _ship_sentence(row, column.arms, rule)}


def _ship_sentence(row: Row, arms: Mapping[str, Estimate], rule: Rule) -> str:
    """The decision with its numbers, for someone who reads nothing else."""
    best, metric, margin = arms[row["provisional"]], rule.deciding, f"{rule.margin:.3f}"
    if len(arms) == 1:
        return f"{row['provisional']} has nothing to be compared with; its {metric} is {best.value:.3f} (n = {best.n})."
    if arm := row["arm"]:
        below = -row["lower_bounds"][arm]
        lead = f"more than {below:.3f} better (allowed: {margin}; " if below else "better ("
        return (
            f"Ship {arm}: its {metric} is {arms[arm].value:.3f}, and with {100 * rule.strict:.4g} % confidence "
            f"no other arm is {lead}n = {best.n})."
        )
    more = row["more_examples"]
    return (
        f"Cannot tell which arm to ship: with n = {best.n} none is shown to be within {margin} {metric} of the best. "
        f"The best may be {' or '.join(row['may_be_best'])}; {row['provisional']} has the highest mean "
        f"({best.value:.3f}) and is the provisional choice"
        + (f"; about {more} more examples would tell differences of {margin} apart." if more else ".")
    )


# --------------------------------------------------------------------------------------------------------- recipe


def recipe_rows(tables: Mapping[str, Floats], level: float) -> tuple[dict[str, Row | None], dict[Pair, Row | None]]:
    """What several seeds say of each arm and each pair, descriptive; None where too few seeds allow no claim.

    tables: arm -> (seeds, units) scores. Of a pair at least one arm has enough seeds, and the other as many or one.
    """

    def row(name: str, found: Recipe) -> Row:
        ends = ends_of(found.interval(level))
        return {
            name: found.value,
            **ends,
            "seeds": found.seeds,
            "seed_share": found.seed_share,
            "seed_sd": found.seed_sd,
        }

    enough = {name: len(scores) >= MIN_SEEDS for name, scores in tables.items()}
    arms = {name: row("mean", recipe_mean(scores)) if enough[name] else None for name, scores in tables.items()}
    pairs: dict[Pair, Row | None] = {}
    for a, b in combinations(tables, 2):
        counts = {len(tables[a]), len(tables[b])}
        claim = max(counts) >= MIN_SEEDS and (len(counts) == 1 or 1 in counts)
        pairs[a, b] = row("difference", recipe_difference(tables[a], tables[b])) if claim else None
    return arms, pairs


def claims(row: Row, recipe: Row | None, arm: str, seeds: int, metric: str, level: float) -> Row:
    """Two sentences about an arm: this model, whose examples alone are random, and this recipe, seeds random too.

    row: the arm's mean, low, high, n; recipe: the same over seeds, or None where there are fewer than three.
    """
    percent = f"{100 * level:.4g} %"
    model = (
        f"This model: {arm} has {metric} {row['mean']:.3f}, between {_shown(row['low'])} and {_shown(row['high'])} "
        f"with {percent} confidence over examples like these {row['n']}."
    )
    if recipe is None:
        count = "one seed" if seeds == 1 else f"{seeds} seeds"
        return {"model": model, "recipe": f"This recipe: {count}: no claim about the recipe."}
    return {
        "model": model,
        "recipe": f"This recipe: trained again with another seed, {arm} has {metric} {recipe['mean']:.3f} in the mean, "
        f"between {_shown(recipe['low'])} and {_shown(recipe['high'])} with {percent} confidence over seeds and "
        f"examples ({seeds} seeds).",
    }


def _shown(number: float | None) -> str:
    return "unknown" if number is None else f"{number:.3f}"
