"""Means and differences over training seeds, where both the seeds and the examples are random.

An interval of intervals.py speaks of one trained model: only the examples are random. An interval here speaks of the
training procedure, which reports call the recipe: another seed would give another model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.errors import DataError, SettingsError
from luthier.stats.intervals import Floats, Interval, t_quantile

MIN_SEEDS = 3  # two seeds leave one degree of freedom, and the interval is too long to be of use


@dataclass(frozen=True)
class OverSeeds:
    """A mean (or a difference of two means) over random seeds and random units."""

    value: float
    seeds: int
    n: int  # units
    se: float  # standard error of `value`
    seed_share: float  # of the variance of `value`, 0 to 1: what seeds add to it
    seed_sd: float  # of the true mean of one seed; 0 where seeds vary no more than the residual makes them

    def interval(self, level: float = 0.95) -> Interval:
        """Two-sided. Its t is the mean of two quantiles of Student's t, of S - 1 and of U - 1 degrees of freedom, each
        weighted by its part of the variance (Cochran & Cox 1950, "Experimental Designs", for a sum of two variances).
        """
        seeds, units = (t_quantile((1 + level) / 2, count - 1) for count in (self.seeds, self.n))
        reach = (self.seed_share * seeds + (1 - self.seed_share) * units) * self.se
        return Interval(self.value - reach, self.value + reach)


def mean_over_seeds(scores: Sequence[Sequence[float]] | Floats) -> OverSeeds:
    """The mean from (seeds, units) scores; every seed answered the same units.

    Two-way random effects without repetition, y_su = mu + A_s + B_u + E_su (seed, unit, residual), S seeds, U units:

        Var(mean) = var(A) / S + var(B) / U + var(E) / (S U)

    The mean squares of the two-way table expect E MS_seed = var(E) + U var(A), E MS_unit = var(E) + S var(B) and
    E MS_res = var(E), so (MS_seed + MS_unit - MS_res) / (S U) estimates it without bias: the variance of the seed means
    over S, plus that of the unit means over U, minus the residual, which both of them hold.
    A negative component of seeds is taken as 0, so the interval is never narrower than that of the unit means.

    Raises SettingsError for fewer than MIN_SEEDS seeds, DataError for fewer than 2 units or a missing score.
    """
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or len(table) < MIN_SEEDS:
        raise SettingsError(f"a claim about a recipe needs {MIN_SEEDS} seeds or more, not {len(table)}; train more")
    if table.shape[1] < 2 or not np.isfinite(table).all():
        raise DataError("a recipe needs 2 units or more, and every seed's score of each; a score is missing")
    seeds, units = table.shape
    seed_means, unit_means = table.mean(axis=1), table.mean(axis=0)
    residual = table - seed_means[:, None] - unit_means + table.mean()
    ms_seed = units * float(seed_means.var(ddof=1))
    ms_unit = seeds * float(unit_means.var(ddof=1))
    ms_res = float((residual**2).sum()) / ((seeds - 1) * (units - 1))
    excess = max(ms_seed - ms_res, 0.0)
    total = ms_unit + excess
    share = excess / total if total else 0.0
    return OverSeeds(
        float(table.mean()), seeds, units, math.sqrt(total / (seeds * units)), share, math.sqrt(excess / units)
    )


def difference_over_seeds(a: Sequence[Sequence[float]] | Floats, b: Sequence[Sequence[float]] | Floats) -> OverSeeds:
    """The difference a - b on the same units, from (seeds, units) scores each.

    Seed s of a is paired with seed s of b. Seeds are independent, so the order does not matter, and the difference has
    the same three parts. b may have a single seed, such as a prompt without training. Raises what `mean_over_seeds`
    raises, and SettingsError when both have several seeds but not equally many.
    """
    one, two = np.atleast_2d(np.asarray(a, dtype=float)), np.atleast_2d(np.asarray(b, dtype=float))
    if 1 not in (len(one), len(two)) and len(one) != len(two):
        raise SettingsError(f"{len(one)} seeds cannot be set against {len(two)}; give both arms equally many, or one 1")
    return mean_over_seeds(one - two)
