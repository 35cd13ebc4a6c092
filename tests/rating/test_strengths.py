"""The statistics of votes: against hand-made and published numbers, another optimiser, and what cannot be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binom

from luthier.errors import DataError, SettingsError
from luthier.rating.strengths import PRIOR, Davidson, agreement, davidson, preference, share, strengths, votes_needed

PAIRS = list(itertools.combinations(range(4), 2))
RANDOM = np.random.default_rng(5)


def drawn(dialogues: int = 60, log_strengths=(0.9, 0.2, -0.3, -0.8)) -> np.ndarray:
    """(dialogues, 6, 3) outcomes as Davidson's model says."""
    truth = Davidson(np.array(log_strengths), np.array(0.1))
    return RANDOM.multinomial(1, truth.chances(PAIRS), size=(dialogues, len(PAIRS))).astype(float)


def test_chances_are_davidsons_formula():
    fit = Davidson(np.log([4.0, 1.0]) - np.log([4.0, 1.0]).mean(), np.array(np.log(0.5)))
    assert fit.chances([(0, 1)])[0] == pytest.approx([4 / 6, 0.5 * 2 / 6, 1 / 6])  # s = 4 + 1 + .5 * sqrt(4 * 1)


def test_strengths_of_exact_chances_come_back():
    truth = Davidson(np.array([1.2, 0.3, -0.4, -1.1]), np.array(0.7))
    fit = davidson(truth.chances(PAIRS) * 1e9, PAIRS, 4)  # so many votes that the prior's half does not show
    assert fit.log_strengths == pytest.approx(truth.log_strengths, abs=1e-6)
    assert float(fit.log_tie) == pytest.approx(0.7, abs=1e-6)


def test_the_fit_is_where_another_optimiser_ends():
    counts = drawn().sum(axis=0)

    def loss(x: np.ndarray) -> float:
        chances = Davidson(np.append(0, x[:-1]), x[-1:].reshape(())).chances(PAIRS)
        return -float(((counts + PRIOR) * np.log(chances)).sum())

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-7}).x
    centred = np.append(0, best[:-1]) - np.append(0, best[:-1]).mean()
    fit = davidson(counts, PAIRS, 4)
    assert fit.log_strengths == pytest.approx(centred, abs=1e-5)
    assert float(fit.log_tie) == pytest.approx(best[-1], abs=1e-5)


def test_many_data_sets_at_once_are_each_alone():
    sets = np.stack([drawn().sum(axis=0) for _ in range(5)])
    together = davidson(sets, PAIRS, 4)
    for one, fit in zip(sets, together.log_strengths, strict=True):
        assert davidson(one, PAIRS, 4).log_strengths == pytest.approx(fit, abs=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=9, max_size=9).filter(lambda v: sum(v[:3]) and sum(v[3:6])))
def test_any_votes_have_finite_strengths_that_turn_with_the_sides(votes):
    pairs = [(0, 1), (1, 2), (0, 2)]
    counts = np.array(votes, dtype=float).reshape(3, 3)
    fit = davidson(counts, pairs, 3)
    assert np.isfinite(fit.log_strengths).all() and abs(fit.log_strengths.sum()) < 1e-9
    turned = davidson(counts[:, ::-1].copy(), [(j, i) for i, j in pairs], 3)
    assert turned.log_strengths == pytest.approx(fit.log_strengths, abs=1e-6)


def test_arms_that_no_vote_links_are_a_sentence():
    counts = np.zeros((6, 3))
    counts[0], counts[5] = 10, 10  # arms 0 and 1, arms 2 and 3
    with pytest.raises(DataError, match="2 groups that no vote links"):
        davidson(counts, PAIRS, 4)


def test_strengths_do_not_change_with_the_seed_of_another_run_and_hold_the_fit():
    outcomes = drawn()
    one, two = (strengths(outcomes, PAIRS, 4, resamples=200, seed=3) for _ in range(2))
    assert one.intervals == two.intervals and not one.one_sided
    for value, ends in zip(one.fit.log_strengths, one.intervals, strict=True):
        assert ends.low < value < ends.high


@pytest.mark.parametrize("outcome", [0, 1], ids=["wins all", "ties all"])
def test_where_every_vote_is_the_same_the_interval_is_not_empty(outcome):
    outcomes = np.zeros((60, 1, 3))
    outcomes[:, 0, outcome] = 1
    found = strengths(outcomes, [(0, 1)], 2, resamples=200)
    first = found.intervals[0]
    assert found.one_sided and np.isfinite(first).all() and first.high - first.low > 0.5
    assert (first.low > 0) == (outcome == 0)


def test_a_pair_that_every_resample_may_miss_still_links_its_arms():
    outcomes = np.zeros((200, 2, 3))
    outcomes[:, 0, :] = np.eye(3)[RANDOM.integers(3, size=200)]
    outcomes[0, 1, 0] = 1
    assert len(strengths(outcomes, [(0, 1), (1, 2)], 3, resamples=2).intervals) == 3


def test_win_rates_have_bonett_and_prices_interval():
    values = np.repeat([1.0, -1.0, 0.0], [18, 6, 16])
    low, high = preference(values).interval(0.95)
    # By hand: (f12 + 1, f21 + 1) of n + 2, with t of 41 degrees of freedom where the paper has z.
    p, q, n = 19 / 42, 7 / 42, 42
    reach = 2.019541 * np.sqrt((p + q - (p - q) ** 2) / (n - 1))
    assert (low, high) == pytest.approx((p - q - reach, p - q + reach), abs=1e-6)
    sure = preference(np.ones(60))
    assert sure.value == 1.0 and sure.interval(0.95).low < 0.95 and sure.interval(0.95).high == 1.0


def test_a_share_of_independent_votes_is_about_wilsons_and_clusters_make_it_wider():
    yes = (RANDOM.random(400) < 0.3).astype(float)
    alone = share(yes, np.ones(400))
    together = share(yes.reshape(100, 4).sum(axis=1), np.full(100, 4.0))
    copies = share(4 * yes[:100], np.full(100, 4.0))
    assert alone is not None and together is not None and copies is not None
    assert 0.08 < alone.high - alone.low < 0.10
    assert copies.high - copies.low > 1.7 * (together.high - together.low)  # four equal votes are worth one
    assert share(np.zeros(3), np.zeros(3)) is None
    everybody = share(np.ones(30), np.ones(30))
    assert everybody is not None and everybody.low < 0.9 and everybody.high == pytest.approx(1)


@pytest.mark.parametrize("p, published", [(0.6, 200), (0.55, 780)])
def test_votes_needed_have_the_power_they_promise(p, published):
    n = votes_needed(p)
    assert abs(n - published) < 10
    low, high = binom.ppf([0.025, 0.975], n, 0.5)
    assert 0.75 < binom.sf(high, n, p) + binom.cdf(low - 1, n, p) < 0.83  # the exact test, which moves in steps
    assert votes_needed(1 - p) == n


def test_votes_needed_refuses_no_difference():
    with pytest.raises(SettingsError, match="no difference"):
        votes_needed(0.5)


def test_alpha_is_krippendorffs_published_number():
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", four observers, twelve units: 0.743."""
    columns = [
        *("1", "1", "", "1"), *("2", "2", "3", "2"), *("3", "3", "3", "3"), *("3", "3", "3", "3"),
        *("2", "2", "2", "2"), *("1", "2", "3", "4"), *("4", "4", "4", "4"), *("1", "1", "2", "1"),
        *("2", "2", "2", "2"), *("", "5", "5", "5"), *("", "", "1", "1"), *("", "3", "", ""),
    ]  # fmt: skip
    units = np.array(columns).reshape(12, 4)
    counts = np.array([[(unit == str(value)).sum() for value in range(1, 6)] for unit in units], dtype=float)
    found = agreement(counts, [str(i) for i in range(12)])
    assert found is not None and found.alpha is not None and found.low is not None and found.high is not None
    assert round(found.alpha, 3) == 0.743
    assert found.items == 11  # a unit that one observer judged says nothing
    assert found.low < found.alpha < found.high


def test_alpha_is_about_0_by_chance_1_by_accord_and_unknown_without_choice():
    ids = [str(i) for i in range(3000)]
    chance = agreement(RANDOM.multinomial(2, [0.4, 0.3, 0.3], size=3000).astype(float), ids)
    accord = agreement(2.0 * np.eye(3)[RANDOM.integers(3, size=3000)], ids)
    assert chance is not None and chance.alpha is not None and abs(chance.alpha) < 0.06
    assert accord is not None and accord.alpha == 1.0 and accord.low is not None and accord.low < 1.0
    nothing = agreement(np.tile([0.0, 2.0, 0.0], (20, 1)), ids[:20])
    assert nothing is not None and nothing.alpha is None and nothing.percent.value == 1.0
    assert agreement(np.eye(3), ids[:3]) is None


def test_mirrored_alpha_does_not_hang_on_which_arm_is_called_first():
    counts = RANDOM.multinomial(3, [0.7, 0.2, 0.1], size=50).astype(float)
    ids = [str(i) for i in range(50)]
    flipped = np.where((np.arange(50) % 2 == 0)[:, None], counts, counts[:, ::-1])
    one, two = agreement(counts, ids, mirrored=True), agreement(flipped, ids, mirrored=True)
    assert one is not None and two is not None and one.alpha == pytest.approx(two.alpha)
    # Everybody for the first arm every time: perfect accord, which the plain alpha calls unknown.
    always = agreement(np.tile([2.0, 0.0, 0.0], (30, 1)), ids[:30], mirrored=True)
    assert always is not None and always.alpha == 1.0
