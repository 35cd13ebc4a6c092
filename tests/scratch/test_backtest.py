"""Intervals of predictions hold held-out points as often as they say, and are short enough to be of use."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.scratch.backtest import backtests, distances, predictor, run_weights
from luthier.scratch.points import Points, read_points
from tests.scratch.test_law_fit import TRUE, public, synthetic


def held_out(points: Points, fitted_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(inside, relative half width) of each point that was not fitted."""
    made, rest = predictor(points.where(fitted_n), resamples=100), points.where(~fitted_n)
    loss, low, high = made.tested.interval(rest.parameters_n, rest.tokens_n)
    return (low <= rest.losses_n) & (rest.losses_n <= high), (high - low) / 2 / loss


@pytest.mark.slow
def test_held_out_public_points_lie_in_their_intervals() -> None:
    hot, _ = read_points(public("gemstones_hot.jsonl"))
    repeated, _ = read_points(public("datablations_points.csv"))
    once = repeated.where(~repeated.repeated_n)
    cuts = [
        (hot, hot.parameters_n < 6e8),
        (hot, hot.flops_n < 1e20),
        (hot, hot.tokens_n < 60e9),
        (once, once.flops_n < np.median(once.flops_n)),
    ]
    inside, half = map(np.concatenate, zip(*(held_out(*cut) for cut in cuts), strict=True))
    assert len(inside) == 272
    assert inside.mean() >= 0.8
    assert half.mean() <= 0.06


def test_points_of_a_law_beyond_a_cut_lie_in_their_intervals() -> None:
    points = synthetic(0.01, count=60)
    inside, half = held_out(points, points.flops_n < np.quantile(points.flops_n, 0.6))
    assert inside.mean() >= 0.8 and half.mean() < 0.06


def test_whole_runs_are_drawn() -> None:
    points = synthetic(0.0, count=9)
    grouped = Points(points.parameters_n, points.tokens_n, points.losses_n, points.unique_n, tuple("aaabbbccc"))
    weights = run_weights(grouped, 50, seed=0)
    assert (weights.sum(1) == 9).all()
    assert all(len(set(row[k : k + 3])) == 1 for row in weights for k in (0, 3, 6))


def test_a_backtest_never_sees_the_points_that_it_predicts() -> None:
    points = synthetic(0.01)
    (first, *_) = backtests(points)
    below = points.flops_n < first.flops
    wrong = np.where(below, points.losses_n, points.losses_n * 1.5)
    moved = Points(points.parameters_n, points.tokens_n, wrong, points.unique_n, points.runs)
    (again, *_) = backtests(moved)
    assert again.law == first.law and again.fitted == below.sum()
    assert again.errors_m == pytest.approx(first.errors_m - np.log(1.5))


def test_distance_is_counted_in_spans_of_the_fitted_points() -> None:
    assert distances(np.array([1e3, 1e5, 1e6]), np.array([1e2, 1e4])) == pytest.approx([0, 0.5, 1.0])


def test_few_points_have_no_backtest_and_say_so() -> None:
    n = np.array([1e6, 2e6, 4e6, 1e6, 2e6, 4e6, 8e6])
    d = np.array([1e7, 1e7, 1e7, 8e7, 8e7, 8e7, 8e7])
    points = Points(n, d, TRUE.loss(n, d), d, tuple("abcdefg"))
    made = predictor(points, resamples=20)
    assert made.backtests == () and made.tested.width is None
