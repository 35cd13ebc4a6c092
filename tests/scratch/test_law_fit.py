"""The fit of approach 3 finds the lowest minimum: on public points, and on points of a known law."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from luthier.scratch.law_fit import GRADIENT, Problem, descend, fit, refit
from luthier.scratch.laws import AdditiveLaw
from luthier.scratch.points import Points, read_points
from tests.conftest import SHARED

MINIMA = [  # file, delta, objective, (alpha, beta, ln A, ln B, ln E)
    ("gemstones_hot", 1e-3, 0.0019816128, (0.292892, 0.712979, 5.361689, 15.418452, 0.762303)),
    ("gemstones_slim_chinchilla", 1e-3, 0.0001204360, (0.214039, 0.525986, 4.072928, 10.980666, 0.469101)),
    ("gemstones_slim_chinchilla", 1e-4, 0.0000130364, (0.201129, 0.523484, 3.883199, 10.929053, 0.432739)),
    ("gemstones_hot_sampled_like_chinchilla", 1e-3, 0.0002173788, (0.276243, 0.458180, 4.856809, 10.028770, 0.710593)),
]
TRUE = AdditiveLaw(e=1.8, a=480.0, b=2000.0, alpha=0.35, beta=0.37)


def public(name: str) -> Path:
    path = SHARED / "data" / "scaling" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there: the public points cannot be fitted")
    return path


def synthetic(noise: float, seed: int = 0, count: int = 40) -> Points:
    dice = np.random.default_rng(seed)
    n = np.exp(dice.uniform(np.log(1e7), np.log(1e9), count))
    d = n * np.exp(dice.uniform(np.log(3), np.log(100), count))
    losses = TRUE.loss(n, d) * np.exp(noise * dice.standard_normal(count))
    return Points(n, d, losses, d, tuple(map(str, range(count))))


@pytest.mark.parametrize("name, delta, objective, law", MINIMA)
def test_the_lowest_minimum_of_public_points_is_found(
    name: str, delta: float, objective: float, law: tuple[float, ...]
) -> None:
    points, _ = read_points(public(f"{name}.jsonl"))
    found = fit(points.parameters_n, points.tokens_n, points.losses_n, delta=delta)
    # The stated objectives have ten decimals, so they are known to half of the last one.
    assert found.objective <= objective * (1 + 1e-6) + 5e-11
    assert found.gradient < GRADIENT
    a, b, e, alpha, beta = found.theta_5
    assert (alpha, beta, a, b, e) == pytest.approx(law, rel=0.005)


def test_a_law_is_found_again_from_its_own_points() -> None:
    points = synthetic(0.0)
    found = fit(points.parameters_n, points.tokens_n, points.losses_n, rounds=1)
    assert found.objective < 1e-16
    for name in ("e", "a", "b", "alpha", "beta"):
        assert getattr(found.law, name) == pytest.approx(getattr(TRUE, name), rel=1e-3)


def test_the_derivatives_are_those_of_the_objective() -> None:
    points = synthetic(0.01)
    problem = Problem(points.parameters_n, points.tokens_n, points.losses_n)
    dice = np.random.default_rng(1)
    theta = np.array([[0.3, 0.2, 0.5, 0.3, 0.4]])
    weights = dice.uniform(0.5, 2, (1, len(points)))
    delta = np.asarray(10.0)  # all residuals quadratic: the second derivative exists everywhere
    gradient, second = problem.derivatives(theta, weights, delta)
    step = 1e-5 * np.eye(5)
    for k in range(5):
        up, down = theta + step[k], theta - step[k]
        slope = (problem.value(up, weights, delta) - problem.value(down, weights, delta)) / 2e-5
        assert gradient[0, k] == pytest.approx(slope[0], rel=1e-5, abs=1e-7)
        bend = (problem.derivatives(up, weights, delta)[0] - problem.derivatives(down, weights, delta)[0]) / 2e-5
        assert second[0, k] == pytest.approx(bend[0], rel=1e-4, abs=1e-6)


def test_a_weight_of_two_is_a_point_that_is_there_twice() -> None:
    points = synthetic(0.01, count=12)
    weights = np.array([[2.0] * 6 + [1.0] * 6])
    start = np.array([[6.0, 7.5, 0.6, 0.35, 0.37]])
    weighed = refit(points.parameters_n, points.tokens_n, points.losses_n, weights, start)
    twice = [np.concatenate([values, values[:6]]) for values in (points.parameters_n, points.tokens_n, points.losses_n)]
    problem = Problem(*twice)
    plain = problem.outside(descend(problem, problem.inside(start), 1e-3))
    assert weighed == pytest.approx(plain, rel=1e-4)


def test_two_fits_of_the_same_points_are_equal() -> None:
    points = synthetic(0.01)
    one, two = (fit(points.parameters_n, points.tokens_n, points.losses_n, rounds=1) for _ in range(2))
    assert one.objective == two.objective and (one.theta_5 == two.theta_5).all()
