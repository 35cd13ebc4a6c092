"""Several comparisons at once: one error rate for a family of pairs, verdicts, the best arm, arms not separated.

    estimates of all pairs --joint_level--> level of each interval --verdict--> better, worse, equivalent, cannot tell

With many pairs, an error rate for each pair finds some pair of equal arms *better* far too often. Here the error rate
belongs to the whole family of pairs. Below JOINT_FROM units it is divided by Bonferroni. From there on the estimated
correlation of the differences (they share arms) gives slightly narrower intervals.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.optimize import brentq

from luthier.errors import SettingsError
from luthier.records import Verdict
from luthier.stats.intervals import MIN_NONZERO, MIN_UNITS, Estimate, Floats, Interval, t_quantile

JOINT_FROM = 60  # units from which the estimated correlation of the differences is trusted
HALVED_UNTIL = 20  # looks; halved further, the level would soon be 1 in a float, where no interval has an end
LEAST_RATE = 1e-12  # what a look may always spend: the level can be told from 1 for 120 pairs too
DRAWS = 2**15  # directions; with another seed the critical value changes by a few thousandths, for 16 arms too

Pairs = Mapping[tuple[str, str], Estimate]


# ---------------------------------------------------------------------------------------------- one error rate


def simultaneous_level(level: float, comparisons: int) -> float:
    """The level of each of several intervals so that all of them hold at once with `level` (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def joint_level(
    estimates: Sequence[Estimate], level: float = 0.95, *, one_sided: bool = False, draws: int = DRAWS
) -> float:
    """The level that `Estimate.interval` needs, so that all intervals hold at once with `level`.

    From the critical value of max |t| (Hothorn, Bretz & Westfall 2008, "Simultaneous Inference in General Parametric
    Models"), and never beyond Bonferroni's. `one_sided`: only the low ends, or only the high ends, hold at once with
    `level`; the sign of each estimate then matters. Below JOINT_FROM units and for corpus metrics
    it is Bonferroni alone: their percentile ends rest on a few resamples, and no simulation supports anything narrower.
    """
    sides, alpha = (1 if one_sided else 2), 1 - level
    bonferroni = alpha / sides / max(len(estimates), 1)  # of one tail
    columns = [e.values for e in estimates if e.values is not None and e.sd > 0]
    joint = len(columns) > 1 and all(e.values is not None for e in estimates)
    if not joint or len({len(column) for column in columns}) > 1 or len(columns[0]) < JOINT_FROM:
        return 1 - 2 * bonferroni
    df = len(columns[0]) - 1
    critical = critical_value(np.corrcoef(columns), df, level, one_sided=one_sided, draws=draws)
    return 1 - 2 * max(bonferroni, float(special.stdtr(df, -critical)))


def critical_value(
    correlation: Floats, df: int, level: float = 0.95, *, one_sided: bool = False, draws: int = DRAWS
) -> float:
    """c with P(max_i |T_i| <= c) = level (max T_i when one-sided) for a multivariate t with this (m, m) correlation.

    T = R U / S with a direction U on the sphere of rank r, and R^2 / (r S^2) distributed as F(r, df). The radius is
    integrated exactly, P = E_U F((c / h(U))^2 / r) with h the largest projection of U, and only directions are drawn:
    the spherical-radial transform (Genz & Bretz 2009, "Computation of Multivariate Normal and t Probabilities").
    """
    sides = 1 if one_sided else 2
    values, vectors = np.linalg.eigh(correlation)
    kept = values > 1e-9 * values[-1]  # m differences of k arms have rank k - 1
    projected = _directions(int(kept.sum()), draws) @ (vectors[:, kept] * np.sqrt(values[kept])).T
    if one_sided:  # U and -U are equally likely: use both
        reach = np.maximum(np.concatenate([projected.max(axis=1), -projected.min(axis=1)]), 1e-12)
    else:
        reach = np.abs(projected).max(axis=1)
    rank = int(kept.sum())
    radii, distribution = _radius(rank, df)

    def excess(c: float) -> float:
        return float(np.interp(c / reach, radii, distribution).mean()) - level

    least = t_quantile(1 - (1 - level) / sides, df)
    most = t_quantile(1 - (1 - level) / sides / len(correlation), df)
    low, high = 0.99 * least, 1.01 * most  # Bonferroni's bound, and a little room for what the draws miss
    return low if excess(low) > 0 else high if excess(high) < 0 else float(brentq(excess, low, high, xtol=1e-4))


@lru_cache(maxsize=64)
def _radius(rank: int, df: int) -> tuple[Floats, Floats]:
    """The distribution function of the radius R / S on a fine grid; computing F for every direction would be slow."""
    radii = np.linspace(0, math.sqrt(rank * special.fdtri(rank, df, 1 - 1e-9)), 2**13)
    return radii, special.fdtr(rank, df, radii**2 / rank)


@lru_cache(maxsize=4)
def _directions(rank: int, draws: int) -> Floats:
    """(draws, rank) directions, uniform on the sphere; the same in every run."""
    points = np.random.default_rng(rank).normal(size=(draws, rank))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def alpha_at_look(k: int, alpha: float = 0.05) -> float:
    """The error rate that the k-th look at one test set may spend, k = 1, 2, ...; it is never 0.

    alpha / 2^k up to h = HALVED_UNTIL, so that however often one looks the rates never add up to more than alpha. What
    is left then, alpha / 2^(h-1) at look h, goes on by 1 / ((k - h + 1) (k - h + 2)), which adds up to 1 as well and
    falls more slowly. After some hundred looks each spends LEAST_RATE, which adds nothing that anybody could notice.
    Raises SettingsError for k below 1.
    """
    if k < 1:
        raise SettingsError(f"look {k}: looks at a test set are counted from 1")
    later = k - HALVED_UNTIL
    if later <= 0:
        return float(alpha / 2**k)
    return max(LEAST_RATE, alpha / 2 ** (HALVED_UNTIL - 1) / ((later + 1) * (later + 2)))


# ----------------------------------------------------------------------------------------------------- verdicts


def verdict(
    interval: Interval,
    *,
    margin: float,
    n: int,
    nonzero: int,
    bounds: Interval | None = None,
    few: Interval | None = None,
) -> Verdict:
    """'better', 'worse', 'equivalent' or 'cannot tell' of a - b, from its *simultaneous* interval.

    Better or worse when the interval excludes 0, even if the difference is smaller than the margin. Equivalent when it
    holds 0 and both one-sided `bounds`, each with the full error rate, lie inside (-margin, margin): one of the two at
    most can be wrong, so this errs no more often than one test does (two one-sided tests, Schuirmann 1987). Without
    `bounds` the interval itself has to lie inside. Cannot tell otherwise, or with too few units. Where too few differ
    for a spread to be known, the difference is equivalent when `few` (`cautious`) lies inside the margin: 200 units
    that do not differ leave little room for one.
    """
    if n < MIN_UNITS:
        return "cannot tell"
    if nonzero < MIN_NONZERO:
        return "equivalent" if few and -margin < few.low and few.high < margin else "cannot tell"
    if interval.low > 0 or interval.high < 0:
        return "better" if interval.low > 0 else "worse"
    low, high = bounds or interval
    return "equivalent" if -margin < low and high < margin else "cannot tell"


def verdict_levels(pairs: Sequence[Estimate], level: float = 0.95, *, draws: int = DRAWS) -> tuple[float, float]:
    """The levels of a family's intervals: of those that decide better or worse, and of those inside the margin.

    The second asks for one side of each pair, the one towards equality, so each difference is taken with its sign.
    """
    signed = [pair if pair.value >= 0 else pair.turned() for pair in pairs]
    return joint_level(pairs, level, draws=draws), joint_level(signed, level, one_sided=True, draws=draws)


def not_separated(arms: Sequence[str], separated: Collection[frozenset[str]]) -> list[list[str]]:
    """The largest groups of arms without a *better* between any two; an arm may stand in several groups.

    arms: in order of their means, which is also the order within and of the groups. separated: the pairs with a verdict
    of better or worse. They are the maximal cliques of the other pairs (Bron & Kerbosch 1973), with the pivot of
    Tomita, Tanaka & Takahashi (2006, section 3). Not separated does not mean equal.
    """
    together = {a: {b for b in arms if b != a and frozenset((a, b)) not in separated} for a in arms}
    groups: list[set[str]] = []

    def grow(group: set[str], candidates: set[str], tried: set[str]) -> None:
        if not candidates and not tried:
            groups.append(group)
            return
        pivot = max(sorted(candidates | tried), key=lambda arm: len(candidates & together[arm]))
        for arm in sorted(candidates - together[pivot]):
            grow(group | {arm}, candidates & together[arm], tried & together[arm])
            candidates, tried = candidates - {arm}, tried | {arm}

    grow(set(), set(arms), set())
    ordered = [[arm for arm in arms if arm in group] for group in groups]
    return sorted(ordered, key=lambda group: [arms.index(arm) for arm in group])


# ------------------------------------------------------------------------------------------------- the best arm


def against_the_best(
    names: Sequence[str], pairs: Pairs, level: float = 0.95, *, draws: int = DRAWS
) -> dict[str, Interval]:
    """For each arm, simultaneous bounds on (arm - best of the others): Hsu's multiple comparisons with the best.

    `pairs` holds a - b for each a before b in `names`. U_ij are the one-sided upper bounds of i - j that hold at once
    over the k - 1 others j of one reference i. The high end of i is max(0, min_j U_ij); arms whose high end is above 0
    may be the best; the low end of i is min(0, min_j -U_ji) over those j. All ends hold at once with `level`, although
    only k - 1 comparisons are paid for: when the k - 1 that involve the true best arm hold, so do all bounds (Hsu 1981;
    Edwards & Hsu 1983 for bounds of unequal width). So low = 0 reads "is the best", and high = 0 reads "is not the
    best". One arm alone has no others: (-inf, inf).
    """
    if len(names) < 2:
        return {name: Interval(-math.inf, math.inf) for name in names}
    upper = {i: _upper_bounds(i, names, pairs, level, draws) for i in names}
    high = {i: max(0.0, min(upper[i].values())) for i in names}
    may_be_best = [i for i in names if high[i] > 0]
    low = {i: min([0.0, *(-upper[j][i] for j in may_be_best if j != i)]) for i in names}
    return {i: Interval(low[i], high[i]) for i in names}


def close_to_the_best(bounds: Mapping[str, Interval], margin: float) -> list[str]:
    """The arms that are shown to lie less than the margin below the best of the others."""
    return [name for name, (low, _) in bounds.items() if low > -margin]


def _upper_bounds(i: str, names: Sequence[str], pairs: Pairs, level: float, draws: int) -> dict[str, float]:
    """j -> the upper bound of i - j, all at once with `level`; pairs that hardly differ use Bonferroni."""
    others = {j: pairs[i, j] if (i, j) in pairs else pairs[j, i].turned() for j in names if j != i}
    share = (1 - level) / len(others)
    usual = [pair for pair in others.values() if pair.nonzero >= MIN_NONZERO]
    each = joint_level(usual, 1 - share * len(usual), one_sided=True, draws=draws)
    return {
        j: pair.interval(each).high if pair.nonzero >= MIN_NONZERO else cautious(pair, 1 - 2 * share).high
        for j, pair in others.items()
    }


def cautious(difference: Estimate, level: float) -> Interval:
    """A wide interval for fewer than MIN_NONZERO units that differ; it does not use their spread.

    A mean of differences within -1..1 is no larger than the share of units that differ, and that share has an exact
    upper bound (Clopper & Pearson 1934). So a quantized arm that repeats every answer of the
    original on 500 units is within .01 of it, and on 20 units it need not be. A corpus metric has no such bound: -1..1.
    """
    if not difference.is_mean or difference.nonzero == difference.n:
        return Interval(-1.0, 1.0)
    yes, no = difference.nonzero + 1, difference.n - difference.nonzero
    most = float(special.betaincinv(yes, no, (1 + level) / 2))
    return Interval(-most, most)
