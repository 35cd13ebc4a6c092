"""Intervals, paired differences, corrections, and what a test set of this size can show.

How to read the names: n counts *units* (dialogues, not rows or references); `sd` is the standard deviation of one unit;
`level` is a confidence such as 0.95; `comparisons` is the size of the family that shares one error rate. Nothing here
knows what was measured: compare.py brings the scores and says what the numbers mean.

Choices and why (simulated on real ROUGE matrices, n = 60 to 500):
- Student's t over units covers 94.6 to 95.3 %, also when half the differences are tied; the percentile bootstrap 93.6
  to 95, BCa 91.5 to 95. So t for means, and the bootstrap (widened to t's level) only for what is no mean: BLEU, chrF.
- Taking three rows of one dialogue as independent covers 82 % instead of 95: `by_unit` first, then everything else.
- Bonferroni rather than the exact multivariate t: a little wider, valid under any correlation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest, chi2, norm
from scipy.stats import t as student

from luthier.errors import DataError, SettingsError

Floats = NDArray[np.float64]

MIN_UNITS = 20  # below this no verdict: the t interval of skewed scores is not to be trusted
MIN_NONZERO = 10  # nor when fewer units differ at all: the standard deviation then hangs on a handful of them
_TIE = 1e-12  # scores are sums of a few fractions; a smaller difference is rounding, not a difference


class Interval(NamedTuple):
    """Both ends, in the metric's own unit; infinite where nothing is known (one unit)."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A mean or a paired difference (a - b) over units, and how to put an interval of any level around it."""

    value: float
    n: int  # units
    sd: float  # of one unit; nan when n is 1
    nonzero: int  # units that differ from zero; under MIN_NONZERO there is no verdict
    interval: Callable[[float], Interval]  # level -> two-sided interval, for this one comparison alone
    is_mean: bool = True  # a mean of per-unit values within -1..1; False for corpus metrics
    p: float | None = None  # exact McNemar, for paired yes/no only


# ---------------------------------------------------------------------------------------------- means over units


def by_unit(values: Sequence[float] | Floats, units: Sequence[str]) -> tuple[Floats, list[str]]:
    """(rows,) values -> (units,) means and the units' names in order of first appearance; units then count equally.

    Raises DataError when a value is missing: leaving it out is a decision, and counting it as 0 is wrong.
    """
    rows = np.asarray(values, dtype=float)
    if not np.isfinite(rows).all():
        raise DataError("a score is missing (None) and cannot be averaged; leave its example out for every arm")
    names, index = unit_index(units)
    return np.bincount(index, rows, len(names)) / np.bincount(index, minlength=len(names)), names


def unit_index(units: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The distinct units in order of first appearance, and for each row (rows,) the number of its unit."""
    number = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
    return list(number), np.array([number[unit] for unit in units], dtype=np.intp)


def mean_of(values: Sequence[float] | Floats) -> Estimate:
    """The mean of (n,) unit values with Student's t interval: mean +- t sd / sqrt(n).

    Raises DataError when there are no values.
    """
    x = np.asarray(values, dtype=float)
    if not len(x):
        raise DataError("there is nothing to average; every example was left out")
    mean, sd = float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else math.nan

    def interval(level: float) -> Interval:
        if len(x) < 2:
            return Interval(-math.inf, math.inf)
        reach = half_width(len(x), sd, level=level)
        return Interval(mean - reach, mean + reach)

    return Estimate(mean, len(x), sd, int((np.abs(x) > _TIE).sum()), interval)


def paired(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> Estimate:
    """The mean of a - b over (n,) units answered by both; the pairing removes what is hard or easy about a unit."""
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    return mean_of(np.where(np.abs(difference) > _TIE, difference, 0.0))


# --------------------------------------------------------------------------------------------------- yes and no


def share_of(values: Sequence[float] | Floats) -> Estimate:
    """The share of yes among (n,) units (1 yes, 0 no; a unit of several rows may lie between), by Wilson's interval."""
    mean = mean_of(values)
    return dataclasses.replace(mean, interval=lambda level: wilson(mean.value * mean.n, mean.n, level))


def paired_shares(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> Estimate:
    """The difference of two shares over the same units: interval by t, and p by exact McNemar."""
    estimate = paired(a, b)
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    return dataclasses.replace(estimate, p=mcnemar(int((difference > _TIE).sum()), int((difference < -_TIE).sum())))


def wilson(yes: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share (Wilson 1927): stays inside 0..1 and is not empty at 0 or n yes.

    A `yes` that is not whole (units of several rows) only makes it wider than need be: a value within 0..1 varies at
    most as much as a yes/no with the same mean.
    """
    z, share = float(norm.ppf((1 + level) / 2)), yes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach))


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar p from the discordant pairs: units where only a, or only b, said yes; 1 when none."""
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


# ---------------------------------------------------------------------------------------------- corpus metrics


def resampled_sums(statistics: NDArray[Any], resamples: int, seed: int) -> Floats:
    """(n, columns) additive statistics -> (resamples, columns) sums over n units drawn with replacement.

    Put the columns of all arms side by side: one draw then serves them all, which is what makes it paired. A draw is a
    row of counts, and counts times statistics is the sum; in blocks, since resamples x n counts need not fit in memory.
    """
    n, random = len(statistics), np.random.default_rng(seed)
    block = max(1, 2**22 // n)
    sums = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = random.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]  # row r counts in r*n .. r*n+n-1
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        sums.append(counts.astype(float) @ statistics.astype(float))
    return np.concatenate(sums)


def resampled_estimate(value: float, resampled: Floats, n: int, nonzero: int) -> Estimate:
    """A corpus value (or a difference of two) with its (resamples,) bootstrap values from n units.

    The standard deviation per unit is that of the bootstrap times sqrt(n), comparable to that of a mean.
    """
    sd = float(resampled.std(ddof=1)) * math.sqrt(n) if n > 1 else math.nan
    return Estimate(value, n, sd, nonzero, lambda level: percentile_interval(resampled, n, level), is_mean=False)


def percentile_interval(resampled: Floats, n: int, level: float) -> Interval:
    """The bootstrap's percentiles, taken as far out as Student's t with n - 1 degrees of freedom asks for.

    The plain percentile interval is too narrow by sqrt((n - 1) / n) and by normal instead of t quantiles; the tail
    becomes Phi(-sqrt(n / (n - 1)) t) (Hesterberg 2015, "What Teachers Should
    Know About the Bootstrap", the expanded percentile interval).
    """
    if n < 2:
        return Interval(-math.inf, math.inf)
    tail = float(norm.cdf(-math.sqrt(n / (n - 1)) * student.ppf((1 + level) / 2, n - 1)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(low), float(high))


# ------------------------------------------------------------------------------------------- families and verdicts


def simultaneous_level(level: float, comparisons: int) -> float:
    """The level of each of several intervals so that all of them hold at once with `level` (Bonferroni)."""
    return 1 - (1 - level) / max(comparisons, 1)


def alpha_at_look(k: int, alpha: float = 0.05) -> float:
    """The error rate that the k-th look at one test set may spend: alpha / 2^k, k = 1, 2, ...

    The first look has alpha / 2, so that however often one looks the rates never add up to more than alpha.
    Raises SettingsError for k below 1.
    """
    if k < 1:
        raise SettingsError(f"look {k}: looks at a test set are counted from 1")
    return float(alpha / 2**k)


def verdict(interval: Interval, *, margin: float, n: int, nonzero: int) -> str:
    """'better', 'worse', 'equivalent' or 'cannot tell' of a - b, from its *simultaneous* interval.

    Better or worse when the interval excludes 0, even if the difference is smaller than the margin; equivalent when it
    holds 0 and lies inside (-margin, margin); cannot tell otherwise, and with too few units or too few that differ.
    """
    if n < MIN_UNITS or nonzero < MIN_NONZERO:
        return "cannot tell"
    if interval.low > 0 or interval.high < 0:
        return "better" if interval.low > 0 else "worse"
    return "equivalent" if -margin < interval.low and interval.high < margin else "cannot tell"


def against_the_best(
    names: Sequence[str], pairs: Mapping[tuple[str, str], Estimate], level: float = 0.95
) -> dict[str, Interval]:
    """For each arm, simultaneous bounds on (arm - best of the others): Hsu's multiple comparisons with the best.

    `pairs` holds a - b for each a before b in `names`. With k arms and L_ij a one-sided lower bound of i - j at
    1 - alpha / (k - 1), the low end is min(0, min_j L_ij), the high end max(0, min_j U_ij). All ends hold at once with
    `level`, although only k - 1 comparisons are paid for: when the k - 1 that involve the true best arm hold, so do all
    bounds, since the true best is at least 0 above the others and no other arm is (Hsu 1981; Edwards & Hsu 1983 for
    bounds of unequal width). Bonferroni over the k - 1, one-sided t for each. So low = 0 reads "is the best", and
    high = 0 reads "is not the best". One arm alone has no others: (-inf, inf).
    """
    each = 1 - 2 * (1 - level) / max(len(names) - 1, 1)  # a two-sided interval whose every tail is alpha / (k - 1)

    def bounds(i: str, j: str) -> Interval:
        if (i, j) in pairs:
            return _cautious(pairs[i, j], each)
        flipped = _cautious(pairs[j, i], each)
        return Interval(-flipped.high, -flipped.low)

    found = {}
    for i in names:
        others = [bounds(i, j) for j in names if j != i]
        low, high = (min(end) for end in zip(*others, strict=True)) if others else (-math.inf, math.inf)
        found[i] = Interval(min(0.0, low), max(0.0, high))
    return found


def _cautious(difference: Estimate, level: float) -> Interval:
    """The interval, or, when fewer than MIN_NONZERO units differ, a wide one that does not lean on their spread.

    A mean of differences within -1..1 is no larger than the share of units that differ, and that share has an exact
    upper bound (Clopper & Pearson 1934). So a quantized arm that repeats every answer on 500 units is within .01 of its
    twin, and on 20 units is not known to be. For a corpus metric nothing so simple holds: anything in -1..1.
    """
    if difference.nonzero >= MIN_NONZERO:
        return difference.interval(level)
    if not difference.is_mean or difference.nonzero == difference.n:
        return Interval(-1.0, 1.0)
    most = float(beta.ppf((1 + level) / 2, difference.nonzero + 1, difference.n - difference.nonzero))
    return Interval(-most, most)


# ------------------------------------------------------------------------------------------- what can be detected


class Needed(NamedTuple):
    """How many units are needed in all, and the range that the uncertainty of the sd leaves."""

    total: int
    low: int
    high: int


def half_width(n: int, sd: float, comparisons: int = 1, *, level: float = 0.95) -> float:
    """Half the length of the (simultaneous) t interval of a mean of n units, n >= 2."""
    return float(student.ppf((1 + simultaneous_level(level, comparisons)) / 2, n - 1)) * sd / math.sqrt(n)


def detectable_difference(n: int, sd: float, comparisons: int = 1, *, level: float = 0.95, power: float = 0.8) -> float:
    """The true difference that n units show with probability `power`: (t_{1 - alpha/2c} + t_power) sd / sqrt(n).

    The sum of two central t quantiles stands for the noncentral t (Chow, Shao & Wang 2008, "Sample Size Calculations in
    Clinical Research", chapter 3); for a power of .80 the exact one is .78 to .80 from n = 20 on, up to 28 comparisons.
    """
    return half_width(n, sd, comparisons, level=level) + float(student.ppf(power, n - 1)) * sd / math.sqrt(n)


def examples_needed(
    difference: float,
    sd: float,
    comparisons: int = 1,
    *,
    level: float = 0.95,
    power: float = 0.8,
    estimated_from: int | None = None,
) -> Needed:
    """The units needed in all so that a true `difference` is shown with probability `power`; at least MIN_UNITS.

    Ask for a difference that would matter (the margin), never for the one observed: that only repeats the p-value.
    When `sd` was estimated from m units, the range uses its 95 % interval, sd sqrt((m - 1) / chi2), m - 1 df.
    Raises SettingsError when the difference is not above 0.
    """

    def total(spread: float) -> int:
        return _first_n(lambda n: detectable_difference(n, spread, comparisons, level=level, power=power), difference)

    if estimated_from is None or estimated_from < 2:
        return Needed(total(sd), total(sd), total(sd))
    m = estimated_from - 1
    least, most = (sd * math.sqrt(m / float(chi2.ppf(tail, m))) for tail in (0.975, 0.025))
    return Needed(total(sd), total(least), total(most))


def examples_to_be_sure(margin: float, sd: float, comparisons: int = 1, *, level: float = 0.95) -> int:
    """The units with which a pair is decided whatever the true difference, if the sd stays what it is.

    An interval shorter than the margin either excludes 0 (better, worse) or lies inside the margin (equivalent).
    """
    return _first_n(lambda n: 2 * half_width(n, sd, comparisons, level=level), margin)


def more_needed(
    estimate: Estimate, margin: float, comparisons: int = 1, *, level: float = 0.95, power: float = 0.8
) -> dict[str, int] | None:
    """How many more units would decide a pair, if they vary as these do; None when none differs or there is but one.

    `total` shows a true difference of one margin with probability `power`, and `low` to `high` is its range;
    `to_be_sure` decides whatever the difference is; `more` counts from here to `total`, or on to `to_be_sure` when
    `total` has been reached without a verdict.
    """
    n, differ = estimate.n, estimate.nonzero
    if not differ or n < 2:
        return None
    rare = math.ceil(n * MIN_NONZERO / differ)  # until MIN_NONZERO units differ, at the rate seen so far
    floor = rare if differ < MIN_NONZERO else 0
    needed = examples_needed(margin, estimate.sd, comparisons, level=level, power=power, estimated_from=n)
    total, low, high = (max(floor, count) for count in needed)
    sure = max(floor, examples_to_be_sure(margin, estimate.sd, comparisons, level=level))
    return {"more": (total if total > n else sure) - n, "total": total, "low": low, "high": high, "to_be_sure": sure}


def equivalence_possible(n: int, sd: float, margin: float, comparisons: int = 1, *, level: float = 0.95) -> bool:
    """Whether *equivalent* can occur at all: an interval around an observed difference of 0 fits inside the margin."""
    return n >= MIN_UNITS and half_width(n, sd, comparisons, level=level) < margin


def _first_n(reach: Callable[[int], float], target: float) -> int:
    """The smallest n >= MIN_UNITS with reach(n) <= target; reach falls with n, like 1 / sqrt(n)."""
    if not target > 0:
        raise SettingsError(f"a difference of {target} cannot be asked for; give one above 0, in the metric's unit")
    low = high = MIN_UNITS
    while reach(high) > target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reach(middle) > target else (low, middle)
    return high
