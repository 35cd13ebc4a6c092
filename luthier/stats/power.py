"""What a test set can show: the difference it detects, the units a difference needs, whether equivalence can occur.

The power of a t test is that of the noncentral t, exact for normal differences. Before a study, give the number of
`comparisons`, which is corrected for by Bonferroni. After a study, give the `level` that simultaneous.py computed, and
one comparison. Give the units' `squared_skewness` where it is known: the interval is then longer, and the power lower.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from scipy import special

from luthier.errors import SettingsError
from luthier.stats.intervals import MIN_NONZERO, MIN_UNITS, Estimate, critical_value
from luthier.stats.simultaneous import simultaneous_level

# A critical value beyond which the mean's own noise, of sd 1, is lost in that of the estimated sd, by which the
# critical value is multiplied. Few and skewed units at a later look come to it; scipy's search does not end there.
FAR = 1e3


class Needed(NamedTuple):
    """How many units are needed in all, and the range that the uncertainty of the sd leaves."""

    total: int
    low: int
    high: int


def half_width(n: int, sd: float, comparisons: int = 1, *, level: float = 0.95, squared_skewness: float = 0.0) -> float:
    """Half the length of the (simultaneous) t interval of a mean of n units, n >= 2."""
    return critical_value(n, simultaneous_level(level, comparisons), squared_skewness) * sd / math.sqrt(n)


def power_of(
    difference: float,
    n: int,
    sd: float,
    comparisons: int = 1,
    *,
    level: float = 0.95,
    squared_skewness: float = 0.0,
) -> float:
    """The probability that n >= 2 units show a true `difference` (on its own side of 0)."""
    critical = critical_value(n, simultaneous_level(level, comparisons), squared_skewness)
    noncentrality = abs(difference) / sd * math.sqrt(n)
    if critical > FAR:
        return float(special.chdtr(n - 1, (n - 1) * (noncentrality / critical) ** 2))
    return 1 - float(special.nctdtr(n - 1, noncentrality, critical))


def detectable_difference(
    n: int,
    sd: float,
    comparisons: int = 1,
    *,
    level: float = 0.95,
    power: float = 0.8,
    squared_skewness: float = 0.0,
) -> float:
    """The true difference that n units show with probability `power`: the noncentrality of t that exceeds the critical
    value so often, times sd / sqrt(n)."""
    critical = critical_value(n, simultaneous_level(level, comparisons), squared_skewness)
    if critical > FAR:
        return critical * math.sqrt(float(special.chdtri(n - 1, 1 - power)) / (n - 1)) * sd / math.sqrt(n)
    return float(special.nctdtrinc(n - 1, 1 - power, critical)) * sd / math.sqrt(n)


def examples_needed(
    difference: float,
    sd: float,
    comparisons: int = 1,
    *,
    level: float = 0.95,
    power: float = 0.8,
    squared_skewness: float = 0.0,
    estimated_from: int | None = None,
) -> Needed:
    """The units needed in all so that a true `difference` is shown with probability `power`; at least MIN_UNITS.

    Give a difference that would matter (the margin), not the observed one: power at the observed difference only
    repeats the p-value.
    When `sd` was estimated from m units, the range uses its 95 % interval, sd sqrt((m - 1) / chi2), m - 1 df.
    Raises SettingsError when the difference is not above 0.
    """

    def total(spread: float) -> int:
        def detectable(n: int) -> float:
            return detectable_difference(
                n, spread, comparisons, level=level, power=power, squared_skewness=squared_skewness
            )

        return _first_n(detectable, difference)

    if estimated_from is None or estimated_from < 2:
        return Needed(total(sd), total(sd), total(sd))
    m = estimated_from - 1
    least, most = (sd * math.sqrt(m / float(special.chdtri(m, upper))) for upper in (0.025, 0.975))
    return Needed(total(sd), total(least), total(most))


def examples_to_be_sure(
    margin: float, sd: float, comparisons: int = 1, *, level: float = 0.95, squared_skewness: float = 0.0
) -> int:
    """The units that decide a pair whatever the true difference is, if the sd stays the same.

    A difference that does not exclude 0 lies within the interval's half width; when the one-sided bound is no more than
    the rest of the margin away from it, the pair is equivalent.
    """

    def halves(n: int) -> float:
        """The half widths of the interval and of the one-sided bounds, which have twice its error rate a side."""
        return sum(
            half_width(n, sd, comparisons, level=each, squared_skewness=squared_skewness)
            for each in (level, 2 * level - 1)
        )

    return _first_n(halves, margin)


def more_needed(
    estimate: Estimate, margin: float, comparisons: int = 1, *, level: float = 0.95, power: float = 0.8
) -> dict[str, int] | None:
    """How many more units would decide a pair, if they vary as these do; None when nobody can say.

    Where none differs, that is how many show the two equivalent, if none of them differs either; None for a metric of
    a whole corpus, or when there is but one unit.

    `total` shows a true difference of one margin with probability `power`, and `low` to `high` is its range;
    `to_be_sure` decides whatever the difference is; `more` counts from here to `total`, or on to `to_be_sure` when
    `total` has been reached without a verdict.
    """
    n, differ = estimate.n, estimate.nonzero
    if n < 2 or (not differ and not estimate.is_mean):
        return None
    if not differ:  # simultaneous.cautious: 1 - (error of one side)^(1/n) is below the margin
        alike = max(MIN_UNITS, math.floor(math.log((1 - level) / 2) / math.log1p(-margin)) + 1)
        return {"more": max(alike - n, 1), "total": alike, "low": alike, "high": alike, "to_be_sure": alike}
    rare = math.ceil(n * MIN_NONZERO / differ)  # until MIN_NONZERO units differ, at the rate seen so far
    floor = rare if differ < MIN_NONZERO else 0
    skewed = estimate.squared_skewness
    needed = examples_needed(
        margin, estimate.sd, comparisons, level=level, power=power, squared_skewness=skewed, estimated_from=n
    )
    total, low, high = (max(floor, count) for count in needed)
    sure = max(floor, examples_to_be_sure(margin, estimate.sd, comparisons, level=level, squared_skewness=skewed))
    return {"more": (total if total > n else sure) - n, "total": total, "low": low, "high": high, "to_be_sure": sure}


def equivalence_possible(
    n: int,
    sd: float,
    margin: float,
    comparisons: int = 1,
    *,
    level: float = 0.95,
    squared_skewness: float = 0.0,
) -> bool:
    """Whether *equivalent* can occur at all: one-sided bounds around an observed difference of 0 fit the margin."""
    half = half_width(n, sd, comparisons, level=2 * level - 1, squared_skewness=squared_skewness)
    return n >= MIN_UNITS and half < margin


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
