"""Arms aligned by example key -> verdicts: the one function `compare`, which returns what compare.json holds.

    align      the examples that every arm has a value of the deciding metric for; all others are listed, by arm
    estimate   for each metric: each arm, and each pair *on the same units*, by t, Wilson or bootstrap
    judge      pairs on the deciding metric alone, from simultaneous intervals; other metrics are descriptive
    ship       Hsu: the cheapest arm whose lower bound against the best of the others is above -margin
    warn       what a reader must know before believing any of it

Everything follows from scores, a seed and what was declared: no text, model or clock, so two runs give the same file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from luthier import stats
from luthier.align import Arms, Row, Table, align, known, metrics_of, missing
from luthier.errors import SettingsError
from luthier.records import Score
from luthier.score import CORPUS, LIKELIHOOD, METRICS, corpus_value, signature
from luthier.stats import Estimate, Floats, Interval

Cost = Mapping[str, Sequence[float]]
Pair = tuple[str, str]

RESAMPLES = 1_000
RESAMPLES_DECIDING = 10_000  # simultaneous levels read the outermost percentiles, of which 1,000 draws know little
POWER = 0.8
CAN_DECIDE = tuple(metric for metric in METRICS if metric != "length_ratio")  # more must mean better


def compare(
    arms: Arms,
    *,
    deciding: str = "rouge1",
    margin: float = 0.02,
    cost: Cost | None = None,
    level: float = 0.95,
    baselines: Sequence[str] = ("copy-3", "zero-shot"),
    seed: int = 0,
    look: int | None = None,
) -> Row:
    """Compares all pairs of arms on the examples they share. Plain JSON values; None for what is not known.

    arms: name -> its scores; a pair (a, b) follows the order of the names, and its difference is mean a - mean b.
    deciding: the metric that verdicts come from; margin: the smallest difference in it that matters (0.02 is 2 points).
    Both are declared before the test split is opened. cost: name -> numbers, smaller is cheaper, the first counts most.
    level: confidence of the intervals. look: this is the k-th look at this test set, whose verdicts spend
    (1 - level) / 2^k; None for no correction. seed: of the bootstrap for bleu and chrf.

    Raises SettingsError for an option out of its range, DataError when the arms do not share their examples.
    """
    check_settings(arms, deciding, margin, cost, level)
    table = align(arms, deciding)
    columns = {metric: _column(table, metric, deciding, seed) for metric in metrics_of(table)}
    strict = level if look is None else 1 - stats.alpha_at_look(look, 1 - level)
    rule = _Rule(deciding, margin, level, strict, comparisons=math.comb(len(arms), 2))

    decider = columns[deciding]
    pairs = [_pair_row(table, columns[metric], pair, rule) for pair in combinations(arms, 2) for metric in columns]
    judged = {(row["a"], row["b"]): row for row in pairs if row["metric"] == deciding}
    result: Row = {
        "deciding": deciding,
        "margin": margin,
        "level": level,
        "look": look,
        "alpha": round(1 - strict, 12),  # 0.05, not 0.050000000000000044
        "n": len(set(table.units)),
        "examples": len(table.ids),
        "comparisons": rule.comparisons,
        "seed": seed,
        "signatures": {metric: signature(metric) for metric in columns},
        "arms": {name: {m: _arm_row(columns[m].arms.get(name), level) for m in columns} for name in arms},
        "best": _best(decider, rule),
        "pairs": pairs,
        "power": _power(decider, rule),
        "baselines": _baselines(list(arms), judged, baselines),
        "ship": _ship(decider, judged, rule, cost),
        "excluded": table.excluded,
        "missing": missing(table, list(columns)),
    }
    return {**result, "warnings": _warnings(result, baselines)}


@dataclass(frozen=True)
class _Rule:
    """What was declared before looking."""

    deciding: str
    margin: float
    level: float  # of descriptive intervals
    strict: float  # of verdicts: `level`, or above it at a later look
    comparisons: int  # the family: all pairs of arms


def check_settings(
    arms: Collection[str], deciding: str, margin: float, cost: Cost | None = None, level: float = 0.95
) -> None:
    """Refuses with SettingsError what `compare` cannot do; `arms` are names, so nothing need be scored beforehand."""
    if not arms:
        raise SettingsError("there are no arms to compare; give at least one")
    if deciding not in CAN_DECIDE:
        raise SettingsError(f"'{deciding}' cannot decide between arms; choose one of {', '.join(CAN_DECIDE)}")
    if not 0 < margin < 1:
        raise SettingsError(f"margin {margin} is not between 0 and 1; scores are on 0 to 1, so 2 points are 0.02")
    if not 0.5 <= level < 1:
        raise SettingsError(f"level {level} is not in 0.5 to 1; 95 % confidence is 0.95")
    if unpriced := [name for name in arms if cost is not None and name not in cost]:
        raise SettingsError(f"no cost is given for {', '.join(unpriced)}; give one for every arm, or none at all")


# ------------------------------------------------------------------------------------------------------- estimate


@dataclass(frozen=True)
class _Column:
    """One metric: an estimate for each arm and each pair; absent where no example has a value."""

    metric: str
    arms: dict[str, Estimate]
    pairs: dict[Pair, Estimate]


def _column(table: Table, metric: str, deciding: str, seed: int) -> _Column:
    if metric in CORPUS:
        return _corpus_column(table, metric, RESAMPLES_DECIDING if metric == deciding else RESAMPLES, seed)
    return _mean_column(table, metric)


def _mean_column(table: Table, metric: str) -> _Column:
    """An arm over the examples where it has a value, a pair over those where both have one; units count equally."""
    one, two = (stats.share_of, stats.paired_shares) if metric == "stopped" else (stats.mean_of, stats.paired)
    values = {
        name: np.array([score.values.get(metric) for score in scores], dtype=float)  # None becomes nan, only in here
        for name, scores in table.scores.items()
    }

    def unit_means(*names: str) -> list[Floats]:
        rows = np.flatnonzero(np.logical_and.reduce([np.isfinite(values[name]) for name in names]))
        units = [table.units[row] for row in rows]
        return [stats.by_unit(values[name][rows], units)[0] for name in names] if units else []

    arms = {name: one(*found) for name in values if (found := unit_means(name))}
    pairs = {pair: two(*found) for pair in combinations(values, 2) if (found := unit_means(*pair))}
    return _Column(metric, arms, pairs)


def _corpus_column(table: Table, metric: str, resamples: int, seed: int) -> _Column:
    """Counts are summed first and the metric is formed last, in the data and in every resample of units.

    A unit of several rows is drawn whole, and weighs as much as its text is long: that is how corpus metrics are made.
    """
    names = list(table.scores)
    rows = [i for i in range(len(table.ids)) if all(known(table.scores[name][i], metric) for name in names)]
    if not rows:
        return _Column(metric, {}, {})
    sums = _unit_sums(table, metric, rows)
    n, drawn = len(sums), stats.resampled_sums(sums.reshape(len(sums), -1), resamples, seed)
    drawn = np.vstack([sums.sum(axis=0).reshape(1, -1), drawn]).reshape(-1, *sums.shape[1:])  # first row: the data
    formed = {a: np.array([corpus_value(metric, row) for row in drawn[:, i].tolist()]) for i, a in enumerate(names)}

    def estimate(values: Floats, changed: NDArray[np.bool_]) -> Estimate:
        return stats.resampled_estimate(float(values[0]), values[1:], n, int(changed.any(axis=1).sum()))

    arms = {name: estimate(formed[name], sums[:, i] > 0) for i, name in enumerate(names)}
    pairs = {
        (a, b): estimate(formed[a] - formed[b], sums[:, i] != sums[:, j])
        for (i, a), (j, b) in combinations(enumerate(names), 2)
    }
    return _Column(metric, arms, pairs)


def _unit_sums(table: Table, metric: str, rows: Sequence[int]) -> NDArray[np.int64]:
    """(units, arms, counts): the statistics of each unit's rows, added up."""
    units, index = stats.unit_index([table.units[i] for i in rows])
    counts = np.array([[scores[i].statistics[metric] for scores in table.scores.values()] for i in rows])
    sums = np.zeros((len(units), *counts.shape[1:]), dtype=np.int64)
    np.add.at(sums, index, counts)
    return sums


# ---------------------------------------------------------------------------------------------------------- judge


def _arm_row(estimate: Estimate | None, level: float) -> Row:
    if estimate is None:
        return {"mean": None, "low": None, "high": None, "n": 0}
    return {"mean": estimate.value, **_ends(estimate.interval(level)), "n": estimate.n}


def _pair_row(table: Table, column: _Column, pair: Pair, rule: _Rule) -> Row:
    """One pair on one metric: an unadjusted interval on all metrics, a verdict on the deciding one."""
    row: Row = {"a": pair[0], "b": pair[1], "metric": column.metric}
    if (estimate := column.pairs.get(pair)) is None:
        return row | {"difference": None, "low": None, "high": None, "n": 0, "verdict": None}
    row |= {"difference": estimate.value, **_ends(estimate.interval(rule.level)), "n": estimate.n, "verdict": None}
    if estimate.p is not None:
        row["mcnemar_p"] = estimate.p
    return row | _judged(table, estimate, pair, rule) if column.metric == rule.deciding else row


def _judged(table: Table, estimate: Estimate, pair: Pair, rule: _Rule) -> Row:
    ends = estimate.interval(stats.simultaneous_level(rule.strict, rule.comparisons))
    verdict = stats.verdict(ends, margin=rule.margin, n=estimate.n, nonzero=estimate.nonzero)
    more = stats.more_needed(estimate, rule.margin, rule.comparisons, level=rule.strict, power=POWER)
    a, b = (table.scores[name] for name in pair)
    return {
        "verdict": verdict,
        **_ends(ends, "simultaneous_"),
        "within_margin": -rule.margin < ends.low and ends.high < rule.margin,
        "sd": _plain(estimate.sd),
        "nonzero": estimate.nonzero,
        "identical": all(_what_was_said(x) == _what_was_said(y) for x, y in zip(a, b, strict=True)),
        "examples_needed": more if verdict == "cannot tell" else None,
    }


def _what_was_said(score: Score) -> Row:
    """All that depends on the text of an answer, and not on how it ended: the same text may be given or generated."""
    return {**score.values, **score.statistics, "stopped": None, LIKELIHOOD: None}


def _best(column: _Column, rule: _Rule) -> Row:
    """The highest mean, with an interval that holds for whichever arm turns out highest (Bonferroni over the arms)."""
    name = max(column.arms, key=lambda arm: column.arms[arm].value)
    ends = column.arms[name].interval(stats.simultaneous_level(rule.strict, len(column.arms)))
    return {"arm": name, "mean": column.arms[name].value, **_ends(ends, "simultaneous_")}


def _power(column: _Column, rule: _Rule) -> Row:
    """What this test set can show on the deciding metric, from the smallest and the largest sd among the pairs."""
    spreads = [(pair.sd, pair.n) for pair in column.pairs.values() if pair.n > 1]
    if not spreads:
        return {"power": POWER, "sd_range": None, "detectable": None, "equivalence_possible": False}
    (least, n), (most, _) = min(spreads), max(spreads)
    return {
        "power": POWER,
        "sd_range": [least, most],
        "detectable": stats.detectable_difference(n, most, rule.comparisons, level=rule.strict, power=POWER),
        "equivalence_possible": stats.equivalence_possible(n, least, rule.margin, rule.comparisons, level=rule.strict),
    }


def _baselines(names: Sequence[str], judged: Mapping[Pair, Row], baselines: Sequence[str]) -> Row:
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


def _ship(column: _Column, judged: Mapping[Pair, Row], rule: _Rule, cost: Cost | None) -> Row:
    """Hsu's rule: the cheapest arm whose lower bound against the best of the others is above -margin.

    It replaces "the cheapest that is not significantly worse", which on a small test set ships almost anything.
    """
    means = {name: estimate.value for name, estimate in column.arms.items()}
    bounds = stats.against_the_best(list(means), column.pairs, rule.strict)
    best = max(means, key=means.__getitem__)
    enough = column.arms[best].n >= stats.MIN_UNITS and len(means) > 1
    close = [name for name in means if enough and bounds[name].low > -rule.margin]
    arm = min(close, key=lambda name: (tuple(cost[name]) if cost else (), -means[name]), default=None)
    rivals = [name for name in means if not enough or bounds[name].high > 0]
    open_pairs = [row for pair, row in judged.items() if best in pair and set(pair) <= set(rivals)]
    more = [row["examples_needed"]["more"] for row in open_pairs if row["examples_needed"]]
    row: Row = {
        "verdict": "cannot tell" if arm is None else "ship",
        "arm": arm,
        "provisional": best,
        "may_be_best": rivals,
        "lower_bounds": {name: _plain(bounds[name].low) for name in means},
        "more_examples": max(more) if arm is None and more else None,
    }
    return row | {"sentence": _ship_sentence(row, column.arms, rule)}


def _ship_sentence(row: Row, arms: Mapping[str, Estimate], rule: _Rule) -> str:
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


# ----------------------------------------------------------------------------------------------------------- warn


def _warnings(result: Row, baselines: Sequence[str]) -> list[str]:
    """What a reader must know before believing the numbers, one sentence each."""
    n, metric, best, margin = result["n"], result["deciding"], result["best"], result["margin"]
    found = []
    for arm, rows in result["excluded"].items():
        reasons = ", ".join(f"{reason} ({times})" for reason, times in Counter(r["reason"] for r in rows).items())
        found.append(f"{len(rows)} examples are left out for every arm: {arm} has no {metric} for them: {reasons}.")
    if n < stats.MIN_UNITS:
        found.append(f"Only {n} independent units: below {stats.MIN_UNITS} every verdict is 'cannot tell'.")
    if n < result["examples"]:
        found.append(f"{result['examples']} examples are {n} independent units; intervals count units.")
    if result["comparisons"]:
        several = f"the highest of {len(result['arms'])}"
        found.append(f"The mean of {best['arm']} is optimistic, being {several}: quote its simultaneous interval.")
    if result["comparisons"] and not result["power"]["equivalence_possible"]:
        found.append(f"With n = {n} and a margin of {margin:.3f} no pair of arms can be found equivalent.")
    for row in result["pairs"]:
        if row.get("identical"):
            found.append(f"{row['a']} and {row['b']} score the same in everything; most likely they answer the same.")
    if absent := [name for name in baselines if name not in result["arms"]]:
        found.append(f"Not among the arms, so that nobody knows whether an arm beats it: {', '.join(absent)}.")
    for arm, rows in result["baselines"].items():
        if arm not in baselines and (unbeaten := [name for name, row in rows.items() if not row["beats"]]):
            found.append(f"{arm} is not shown to beat the baseline {', '.join(unbeaten)}.")
    return found


def _ends(interval: Interval, prefix: str = "") -> Row:
    return {f"{prefix}low": _plain(interval.low), f"{prefix}high": _plain(interval.high)}


def _plain(number: float) -> float | None:
    """A number that JSON can hold: an infinite bound or an unknown spread is None."""
    return number if math.isfinite(number) else None
