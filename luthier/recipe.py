"""Seeds: what can be said of a recipe (train again with another seed), beside what holds for the one model that exists.

*This model*: the examples are random, the weights are not; intervals.py says it. *This recipe*: seeds are random too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.errors import DataError, SettingsError
from luthier.intervals import Floats, Interval, t_quantile

MIN_SEEDS = 3  # two seeds leave one degree of freedom: an interval that says nothing


@dataclass(frozen=True)
class Recipe:
    """The mean of a recipe (or a difference of two) over random seeds and random units."""

    value: float
    seeds: int
    n: int  # units
    se: float  # standard error of `value`
    df: float  # Satterthwaite; not whole
    seed_sd: float  # of the true mean of one seed; 0 where seeds vary no more than the residual makes them

    def interval(self, level: float = 0.95) -> Interval:
        """Two-sided, by Student's t with `df` degrees of freedom."""
        reach = t_quantile((1 + level) / 2, self.df) * self.se if self.se else 0.0
        return Interval(self.value - reach, self.value + reach)


def recipe_mean(scores: Sequence[Sequence[float]] | Floats) -> Recipe:
    """The recipe's mean from (seeds, units) scores: every seed answered the same units.

    Two-way random effects without repetition, y_su = mu + A_s + B_u + E_su (seed, unit, residual), S seeds, U units:

        Var(mean) = var(A) / S + var(B) / U + var(E) / (S U)

    The mean squares of the two-way table expect E MS_seed = var(E) + U var(A), E MS_unit = var(E) + S var(B) and
    E MS_res = var(E), so (MS_seed + MS_unit - MS_res) / (S U) estimates it without bias: the variance of the seed means
    over S, plus that of the unit means over U, minus the residual, which both of them hold. The degrees of freedom of
    such a sum of mean squares are its square over the sum of their squares, each over its own df (Satterthwaite 1946).
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
    excess = ms_seed - ms_res
    if excess > 0:
        squares = ((ms_seed, seeds - 1), (ms_unit, units - 1), (ms_res, (seeds - 1) * (units - 1)))
        total = ms_unit + excess
        df = total**2 / sum(ms**2 / own for ms, own in squares)
    else:
        total, df = ms_unit, float(units - 1)
    se = math.sqrt(total / (seeds * units))
    return Recipe(float(table.mean()), seeds, units, se, df, math.sqrt(max(excess, 0.0) / units))


def recipe_difference(a: Sequence[Sequence[float]] | Floats, b: Sequence[Sequence[float]] | Floats) -> Recipe:
    """The difference a - b of two recipes on the same units, from (seeds, units) scores each.

    Seed s of a is set against seed s of b. Which two meet means nothing, they are independent, and their difference has
    the same three parts. b may have a single seed: then it is that one model, a prompt perhaps, and a the recipe.
    Raises what `recipe_mean` raises, and SettingsError when both have several seeds but not equally many.
    """
    one, two = np.atleast_2d(np.asarray(a, dtype=float)), np.atleast_2d(np.asarray(b, dtype=float))
    if 1 not in (len(one), len(two)) and len(one) != len(two):
        raise SettingsError(f"{len(one)} seeds cannot be set against {len(two)}; give both arms equally many, or one 1")
    return recipe_mean(one - two)
