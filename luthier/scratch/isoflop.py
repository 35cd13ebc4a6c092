"""Approach 2 of Hoffmann et al. 2022: at each budget a parabola of the loss over log parameters; its vertex is optimal.

The vertices give N_opt = k C^a. The parabola is no more than an approximation. Where the sizes of a budget do not lie
evenly around its optimum, or alpha and beta differ, the vertex is off, in one direction, however little the losses
vary. So this stands beside approach 3 as a check, and shows what leaving points out changes.

    shapes: n points
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.scratch.laws import FLOPS_A_PARAMETER_AND_TOKEN, Floats
from luthier.scratch.points import Points

FEWEST_SIZES = 4  # of one budget; a parabola has three coefficients
_SAME_BUDGET = 0.05  # relative: points whose FLOPs differ by less share a budget
_BUDGETS = 8  # that are read off the runs' curves, where points share none


@dataclass(frozen=True)
class Budget:
    """One budget: its parabola's vertex, or why there is none."""

    flops: float
    sizes: int
    parameters: float | None  # at the vertex
    reason: str | None = None
    off_centre: float | None = None  # ln of the vertex's size over the middle of the sizes that were tried


@dataclass(frozen=True)
class Isoflop:
    """N_opt = k C^a over budgets. `low` and `high` are the least and largest exponent when one budget is left out."""

    budgets: tuple[Budget, ...]
    exponent: float | None
    factor: float | None
    low: float | None
    high: float | None
    trimmed: float | None  # the exponent when each budget's size farthest from its vertex is left out


def isoflop(points: Points) -> Isoflop:
    """Approach 2. Points that share no budget are read off their runs' curves, linearly in log loss over log tokens."""
    groups = _shared_budgets(points) or _read_off(points)
    budgets = tuple(_vertex(*group) for group in groups)
    exponent, factor = _power_law(budgets)
    used = [one for one in budgets if one.parameters is not None]
    without_one = [_power_law(tuple(b for b in used if b is not one))[0] for one in used] if len(used) > 2 else []
    kept = [value for value in without_one if value is not None]
    trimmed, _ = _power_law(tuple(_vertex(*_without_farthest(group)) for group in groups))
    return Isoflop(budgets, exponent, factor, min(kept, default=None), max(kept, default=None), trimmed)


def _shared_budgets(points: Points) -> list[tuple[float, Floats, Floats]]:
    """(flops, parameters, losses) of each group of points of nearly equal FLOPs with enough sizes.

    [] where less than half of the points are in such a group: then the points were not made budget by budget.
    """
    groups: list[list[int]] = []
    for index in np.argsort(points.flops_n):
        if groups and points.flops_n[index] <= points.flops_n[groups[-1][0]] * (1 + _SAME_BUDGET):
            groups[-1].append(int(index))
        else:
            groups.append([int(index)])
    big = [group for group in groups if len(set(points.parameters_n[group])) >= FEWEST_SIZES]
    if 2 * sum(map(len, big)) < len(points):
        return []
    return [(float(np.exp(np.log(points.flops_n[g]).mean())), points.parameters_n[g], points.losses_n[g]) for g in big]


def _read_off(points: Points) -> list[tuple[float, Floats, Floats]]:
    """The same at budgets between the least and the largest, where a size's points lie on both sides of the budget."""
    least, most = np.quantile(points.flops_n, (0.1, 0.9))
    budgets = np.geomspace(least, most, _BUDGETS)
    groups = []
    for budget in budgets:
        sizes, losses = [], []
        for size in np.unique(points.parameters_n):
            one = points.where(points.parameters_n == size)
            wanted = budget / (FLOPS_A_PARAMETER_AND_TOKEN * size)
            if len(one) > 1 and one.tokens_n.min() <= wanted <= one.tokens_n.max():
                order = np.argsort(one.tokens_n)
                at = np.interp(np.log(wanted), np.log(one.tokens_n[order]), np.log(one.losses_n[order]))
                sizes.append(size)
                losses.append(float(np.exp(at)))
        groups.append((float(budget), np.array(sizes, float), np.array(losses, float)))
    return groups


def _vertex(flops: float, sizes: Floats, losses: Floats) -> Budget:
    count = len(np.unique(sizes))
    if count < FEWEST_SIZES:
        return Budget(flops, count, None, f"it has {count} sizes, and a parabola needs {FEWEST_SIZES}")
    x = np.log(sizes)
    bend, slope, _ = np.polyfit(x - x.mean(), losses, 2)
    if bend <= 0:
        return Budget(flops, count, None, "its parabola has no lowest point")
    vertex = x.mean() - slope / (2 * bend)
    if not x.min() <= vertex <= x.max():
        return Budget(flops, count, None, "the lowest point of its parabola lies outside the sizes that were tried")
    return Budget(flops, count, float(np.exp(vertex)), None, float(vertex - (x.min() + x.max()) / 2))


def _power_law(budgets: tuple[Budget, ...]) -> tuple[float | None, float | None]:
    used = [(np.log(one.flops), np.log(one.parameters)) for one in budgets if one.parameters is not None]
    if len(used) < 2:
        return None, None
    x, y = np.array(used, float).T
    exponent, intercept = np.polyfit(x, y, 1)
    return float(exponent), float(np.exp(intercept))


def _without_farthest(group: tuple[float, Floats, Floats]) -> tuple[float, Floats, Floats]:
    """The group without the size that lies farthest, in log, from the vertex of all."""
    flops, sizes, losses = group
    vertex = _vertex(*group).parameters
    if vertex is None:
        return group
    kept = np.arange(len(sizes)) != np.argmax(np.abs(np.log(sizes / vertex)))
    return flops, sizes[kept], losses[kept]
