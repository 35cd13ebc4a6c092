"""Seeds: the variance components of a two-way table, and the claims that few seeds do not allow."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.errors import DataError, SettingsError
from luthier.stats import intervals
from luthier.stats.seeds import difference_over_seeds, mean_over_seeds


def drawn(random, seeds: int, units: int, seed_sd: float, unit_sd: float = 0.1, residual: float = 0.1):
    shared = unit_sd * random.normal(size=units) + seed_sd * random.normal(size=(seeds, 1))
    return 0.4 + shared + residual * random.normal(size=(seeds, units))


def test_the_standard_error_is_variances_added_and_the_residual_taken_off():
    table = drawn(np.random.default_rng(0), 4, 50, 0.05)
    estimate = mean_over_seeds(table)
    seed_means, unit_means = table.mean(axis=1), table.mean(axis=0)
    rest = table - seed_means[:, None] - unit_means + table.mean()
    expected = seed_means.var(ddof=1) / 4 + unit_means.var(ddof=1) / 50 - (rest**2).sum() / (3 * 49) / 200
    assert estimate.se**2 == pytest.approx(expected)
    assert (estimate.seeds, estimate.n, estimate.value) == (4, 50, pytest.approx(table.mean()))


def test_equal_seeds_are_one_model():
    row = np.random.default_rng(0).random(60)
    estimate = mean_over_seeds([row] * 3)
    assert estimate.interval(0.95) == pytest.approx(intervals.t_interval(row.mean(), row.std(ddof=1), 60, 0.95))
    assert estimate.seed_share == 0 and estimate.seed_sd == 0


def test_where_seeds_are_everything_they_are_the_sample():
    means = np.array([0.3, 0.4, 0.5])
    estimate = mean_over_seeds(np.repeat(means[:, None], 200, axis=1))
    assert estimate.seed_share == pytest.approx(1)
    assert estimate.interval(0.95) == pytest.approx(intervals.mean_of(means).interval(0.95))


def test_three_seeds_that_vary_a_lot_are_covered_as_promised():
    """Where seeds and units weigh alike, Satterthwaite's degrees of freedom cover 93 %: they grow when the two degrees
    of freedom of three seeds happen to show little."""
    random, held = np.random.default_rng(5), 0
    for _ in range(3_000):
        low, high = mean_over_seeds(drawn(random, 3, 300, 0.015)).interval(0.95)
        held += low <= 0.4 <= high
    assert 0.935 < held / 3_000 < 0.965


def test_seeds_are_no_examples():
    """Pooling 3 seeds x 200 dialogues as 600 examples covers far less than the recipe's interval."""
    random, covered = np.random.default_rng(1), {"pooled": 0, "recipe": 0}
    for _ in range(300):
        table = drawn(random, 3, 200, 0.01)
        for how, (low, high) in (
            ("pooled", intervals.mean_of(table.ravel()).interval(0.95)),
            ("recipe", mean_over_seeds(table).interval(0.95)),
        ):
            covered[how] += low < 0.4 < high
    assert covered["pooled"] < 230 < 270 < covered["recipe"]


def test_against_a_model_with_one_seed_and_turned_around():
    random = np.random.default_rng(2)
    a, b = drawn(random, 3, 80, 0.02), drawn(random, 1, 80, 0.0)
    estimate, turned = difference_over_seeds(a, b), difference_over_seeds(b, a)
    assert estimate.value == pytest.approx(a.mean() - b.mean()) and estimate.value == pytest.approx(-turned.value)
    assert estimate.se == pytest.approx(turned.se) and estimate.seeds == 3


@pytest.mark.parametrize(
    ("scores", "error", "words"),
    [
        (np.ones((2, 30)), SettingsError, "3 seeds or more, not 2"),
        (np.ones((1, 30)), SettingsError, "3 seeds or more, not 1"),
        (np.ones((3, 1)), DataError, "2 units or more"),
        (np.full((3, 30), np.nan), DataError, "missing"),
    ],
)
def test_too_little_makes_no_claim(scores, error, words):
    with pytest.raises(error, match=words):
        mean_over_seeds(scores)


def test_unequal_seeds_are_not_set_against_each_other():
    with pytest.raises(SettingsError, match="4 seeds cannot be set against 3"):
        difference_over_seeds(np.ones((4, 30)), np.ones((3, 30)))
