"""Estimates of means, shares and paired differences over units, each with its interval.

How to read the names: n counts *units* (dialogues, not rows or references); `sd` is the standard deviation of one unit;
`level` is a confidence such as 0.95. Nothing here knows what was measured; verdicts/ brings the scores.

Choices and why (docs/calibration.md has the simulations on real score matrices):
- Means use Student's t over units, a little longer where the units are skewed. It keeps its level, also when half the
  differences are tied. Plain t, the percentile bootstrap and BCa cover less where units are skewed.
- BLEU and chrF are no means, so they use the bootstrap, widened to t's level.
- Rows of one dialogue are not independent. Call `by_unit` first: an interval over rows covers far too little.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from luthier.errors import DataError

Floats = NDArray[np.float64]

MIN_UNITS = 20  # below this no verdict: the t interval of skewed scores is not to be trusted
MIN_NONZERO = 10  # nor when fewer units differ at all: the standard deviation then hangs on a handful of them
_TIE = 1e-12  # scores are sums of a few fractions; a smaller difference is rounding, not a difference


class Interval(NamedTuple):
    """Both ends, in the metric's own unit; infinite for a single unit."""

    low: float
    high: float


def finite_or_none(number: float) -> float | None:
    """The number, or None where JSON cannot hold it: an infinite bound or an unknown spread."""
    return number if math.isfinite(number) else None


def ends_of(ends: Interval | None, prefix: str = "") -> dict[str, Any]:
    """Both ends of an interval under the keys `prefix`low and `prefix`high; None for an infinite end."""
    low, high = map(finite_or_none, ends) if ends else (None, None)
    return {f"{prefix}low": low, f"{prefix}high": high}


def inside(interval: Interval, ends: tuple[float, float]) -> Interval:
    """The part of an interval inside the ends of a scale; an interval without an end stays as it is."""
    low, high = interval
    if math.isinf(low) or math.isinf(high):
        return interval
    return Interval(min(max(low, ends[0]), ends[1]), max(min(high, ends[1]), ends[0]))


@dataclass(frozen=True)
class Estimate:
    """A mean or a paired difference (a - b) over units, and how to put an interval of any level around it."""

    value: float
    n: int  # units
    sd: float  # of one unit; nan when n is 1
    nonzero: int  # units that differ from zero; under MIN_NONZERO there is no verdict
    interval: Callable[[float], Interval]  # level -> two-sided interval, for this one comparison alone
    is_mean: bool = True  # a mean of per-unit values within -1..1; False for corpus metrics
    squared_skewness: float = 0.0  # of one unit: what makes the interval of a mean longer (`lengthening`)
    p: float | None = None  # exact McNemar, for paired yes/no only
    values: Floats | None = dataclasses.field(default=None, repr=False, compare=False)  # (n,) what it is the mean of

    def within(self, ends: tuple[float, float]) -> Estimate:
        """The same with intervals inside these ends of the scale: what lies beyond them cannot be the truth. An end
        that is unknown, of a single unit, stays so."""

        return dataclasses.replace(self, interval=lambda level: inside(self.interval(level), ends))

    def turned(self) -> Estimate:
        """The same difference seen from the other arm: b - a."""

        def interval(level: float) -> Interval:
            low, high = self.interval(level)
            return Interval(-high, -low)

        values = None if self.values is None else -self.values
        return dataclasses.replace(self, value=-self.value, interval=interval, values=values)


# ---------------------------------------------------------------------------------------------- means over units


def by_unit(values: Sequence[float] | Floats, units: Sequence[str]) -> tuple[Floats, list[str]]:
    """(rows,) values -> (units,) means and the units' names in order of first appearance; units then count equally.

    Raises DataError when a value is missing: the caller decides what to leave out, and 0 would be wrong.
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
    """The mean of (n,) unit values with a `t_interval` that accounts for their skewness.

    Raises DataError when there are no values.
    """
    x = np.asarray(values, dtype=float)
    if not len(x):
        raise DataError("there is nothing to average; every example was left out")
    mean, sd = float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else math.nan
    squared = _squared_skewness(x)

    def interval(level: float) -> Interval:
        return t_interval(mean, sd, len(x), level, squared)

    nonzero = int((np.abs(x) > _TIE).sum())
    return Estimate(mean, len(x), sd, nonzero, interval, squared_skewness=squared, values=x)


def t_interval(mean: float, sd: float, n: int, level: float, squared_skewness: float = 0.0) -> Interval:
    """mean +- `critical_value` sd / sqrt(n). One unit gives (-inf, inf)."""
    if n < 2:
        return Interval(-math.inf, math.inf)
    reach = critical_value(n, level, squared_skewness) * sd / math.sqrt(n)
    return Interval(mean - reach, mean + reach)


def critical_value(n: int, level: float, squared_skewness: float = 0.0) -> float:
    """Student's t of n units, made longer by the factor 1 + skewness^2 (t^4 + 2 t^2 - 3) / (18 n).

    Where units are skewed, t exceeds its quantile too often. Up to order 1/n the two-sided error has one term with the
    skewness, and the factor removes it (Hall 1992, "The Bootstrap
    and Edgeworth Expansion", the two-sided expansion of Student's t). The term with the kurtosis is left out: it would
    shorten the interval, and is small.
    """
    t = t_quantile((1 + level) / 2, n - 1)
    return t * (1 + max(0.0, squared_skewness * (t**4 + 2 * t**2 - 3) / (18 * n)))


def _squared_skewness(x: Floats) -> float:
    """The square of the skewness of (n,) values, without what chance adds to it; never below 0.

    The sample's skewness is the third central moment over the second to the power 3/2. For normal values it has mean 0
    and variance 6 (n - 2) / ((n + 1) (n + 3)) (Fisher 1930); this subtracts that variance.
    """
    n, from_mean = len(x), x - x.mean()
    variance = float((from_mean**2).mean())
    if variance <= _TIE**2:
        return 0.0
    squared = float((from_mean**3).mean()) ** 2 / variance**3
    return max(0.0, squared - 6 * (n - 2) / ((n + 1) * (n + 3)))


def t_quantile(probability: float, df: float) -> float:
    """Student's t with `df` degrees of freedom, which need not be whole."""
    return float(special.stdtrit(df, probability))


def paired(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> Estimate:
    """The mean of a - b over (n,) units answered by both. Pairing removes how hard a unit is."""
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
    z, share = float(special.ndtri((1 + level) / 2)), yes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(0.0, centre - reach), min(1.0, centre + reach))


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar p from the discordant pairs: units where only a, or only b, said yes; 1 when none.

    Twice the smaller tail of a binomial with one half, which is symmetric.
    """
    return min(1.0, 2 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


# ---------------------------------------------------------------------------------------------- corpus metrics


def resampled_sums(statistics: NDArray[Any], resamples: int, seed: int) -> Floats:
    """(n, columns) additive statistics -> (resamples, columns) sums over n units drawn with replacement.

    Put the columns of all arms side by side: one draw then serves all arms, so resamples are paired. A draw is a row
    of counts, and counts times statistics is the sum. It works in blocks, since resamples x n counts may not fit in
    memory.
    """
    n, rng = len(statistics), np.random.default_rng(seed)
    block = max(1, 2**22 // n)
    sums = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        picks = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]  # row r counts in r*n .. r*n+n-1
        counts = np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n)
        sums.append(counts.astype(float) @ statistics.astype(float))
    return np.concatenate(sums)


def resampled_estimate(value: float, resampled: Floats, n: int, nonzero: int) -> Estimate:
    """A corpus value (or a difference of two) with its (resamples,) bootstrap values from n units.

    The standard deviation per unit is that of the bootstrap times sqrt(n), comparable to that of a mean.
    """
    sd = float(resampled.std(ddof=1)) * math.sqrt(n) if n > 1 else math.nan
    return Estimate(value, n, sd, nonzero, lambda level: percentile_interval(resampled, n, level), is_mean=False)


def percentile_interval(resampled: Floats, n: int, level: float) -> Interval:
    """The bootstrap's percentiles, widened to match Student's t with n - 1 degrees of freedom.

    The plain percentile interval is too narrow by sqrt((n - 1) / n) and by normal instead of t quantiles; the tail
    becomes Phi(-sqrt(n / (n - 1)) t) (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", the expanded
    percentile interval).
    """
    if n < 2:
        return Interval(-math.inf, math.inf)
    tail = float(special.ndtr(-math.sqrt(n / (n - 1)) * t_quantile((1 + level) / 2, n - 1)))
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(low), float(high))
