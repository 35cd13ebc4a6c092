"""Approach 2: exact where losses are parabolas, biased where sizes lie off centre."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.scratch.isoflop import isoflop
from luthier.scratch.points import Points
from tests.scratch.test_law_fit import TRUE

BUDGETS = np.array([1e18, 1e19, 1e20, 1e21])


def grid(centre: float, exponent: float | None = None) -> Points:
    """Seven sizes a budget from a sixteenth to sixteen times `centre` times the optimum; parabolas of an exponent, or
    the losses of TRUE."""
    n, d, losses = [], [], []
    for flops in BUDGETS:
        best = float(TRUE.optimum(flops)[0]) if exponent is None else 3e-3 * flops**exponent
        for size in best * centre * np.geomspace(1 / 16, 16, 7):
            n.append(size)
            d.append(flops / 6 / size)
            losses.append(float(TRUE.loss(n[-1], d[-1])) if exponent is None else 2 + 0.05 * np.log(size / best) ** 2)
    return Points(np.array(n), np.array(d), np.array(losses), np.array(d), tuple(map(str, range(len(n)))))


def test_vertices_of_parabolas_are_found() -> None:
    found = isoflop(grid(1.0, exponent=0.5))
    assert found.exponent == pytest.approx(0.5) and found.factor == pytest.approx(3e-3)
    assert found.low == pytest.approx(0.5) and found.high == pytest.approx(0.5) and found.trimmed == pytest.approx(0.5)


def test_off_centre_sizes_move_the_vertex_and_the_record_says_how_far() -> None:
    centred, off = isoflop(grid(1.0)), isoflop(grid(8.0))
    truth = np.array([float(TRUE.optimum(flops)[0]) for flops in BUDGETS])
    errors = [np.abs(np.log([b.parameters for b in one.budgets] / truth)).mean() for one in (centred, off)]
    assert errors[1] > 3 * errors[0]
    assert all(budget.off_centre < -1.5 for budget in off.budgets)


def test_a_budget_without_a_vertex_says_why() -> None:
    points = grid(1.0)
    left = points.where(points.parameters_n < np.array([float(TRUE.optimum(f)[0]) for f in points.flops_n]) * 0.9)
    found = isoflop(left)
    assert found.exponent is None
    assert all(budget.reason for budget in found.budgets)
