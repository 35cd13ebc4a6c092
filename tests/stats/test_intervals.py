"""Statistics: against scipy, against exact values, and by small simulations with bounds wide enough not to flake."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import DataError, SettingsError
from luthier.stats import intervals, simultaneous
from luthier.stats.intervals import Interval
from luthier.stats.power import (
    detectable_difference,
    equivalence_possible,
    examples_needed,
    examples_to_be_sure,
    half_width,
    more_needed,
    power_of,
)

pytestmark = pytest.mark.filterwarnings("error")  # a division by zero is a bug here, not a remark


# ----------------------------------------------------------------------------------------------------------- units


def test_rows_of_one_unit_are_averaged_first():
    means, names = intervals.by_unit([0.0, 1.0, 0.5, 1.0], ["d1", "d1", "d2", "d1"])
    assert names == ["d1", "d2"]
    assert means == pytest.approx([2 / 3, 0.5])
    assert intervals.mean_of(means).value == pytest.approx(7 / 12), "not 2.5 / 4: that divides by rows"


def test_a_missing_value_is_not_averaged_as_zero():
    with pytest.raises(DataError, match="missing"):
        intervals.by_unit([1.0, None], ["a", "b"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="nothing"):
        intervals.mean_of([])


def test_json_can_hold_the_ends_of_every_interval():
    for nothing in (-math.inf, math.nan):
        assert intervals.ends_of(Interval(nothing, 2.0)) == {"low": None, "high": 2.0}
    assert intervals.ends_of(None, "simultaneous_") == {"simultaneous_low": None, "simultaneous_high": None}
    assert intervals.ends_of(intervals.mean_of([0.5]).interval(0.95)) == {"low": None, "high": None}, "one unit"


def test_three_rows_of_one_dialogue_are_not_three_independent_ones():
    """200 units of 3 rows that share most of their noise: rows as units cover far less than 95 %."""
    random, covered = np.random.default_rng(1), {"rows": 0, "units": 0}
    names = [str(unit) for unit in np.repeat(range(50), 3)]
    for _ in range(300):
        rows = np.repeat(random.normal(size=50), 3) + 0.3 * random.normal(size=150)
        for how, values in (("rows", rows), ("units", intervals.by_unit(rows, names)[0])):
            low, high = intervals.mean_of(values).interval(0.95)
            covered[how] += low < 0 < high
    assert covered["rows"] < 260 < 270 < covered["units"]


# ----------------------------------------------------------------------------------------------------------- means


def symmetric(n: int, seed: int) -> np.ndarray:
    """n values without skewness: t_interval is then Student's own."""
    half = np.random.default_rng(seed).random(n // 2)
    return np.concatenate([half, 1 - half])


def test_mean_and_pair_are_scipys():
    a, b = symmetric(40, 0), symmetric(40, 1)
    assert intervals.mean_of(a).interval(0.9) == pytest.approx(
        tuple(scipy.stats.ttest_1samp(a, 0).confidence_interval(0.9))
    )
    assert intervals.paired(a, b).interval(0.95) == pytest.approx(
        tuple(scipy.stats.ttest_rel(a, b).confidence_interval())
    )
    plain = intervals.t_interval(float(a.mean()), float(a.std(ddof=1)), 40, 0.9)
    assert plain == pytest.approx(intervals.mean_of(a).interval(0.9))


def test_skewed_units_have_a_longer_interval_that_covers_what_t_misses():
    """Half of the differences tied, the others skewed: the true mean is in 93 % of plain t's intervals."""
    random, repeats = np.random.default_rng(0), 4_000
    draws = np.where(random.random((repeats, 60)) < 0.5, 0.0, random.exponential(size=(repeats, 60)))
    covered = {"t": 0, "skewed": 0}
    for x in draws:
        both = {
            "t": intervals.t_interval(x.mean(), x.std(ddof=1), 60, 0.95),
            "skewed": intervals.mean_of(x).interval(0.95),
        }
        for how, (low, high) in both.items():
            covered[how] += bool(low <= 0.5 <= high)
    assert covered["t"] / repeats < 0.935 and 0.94 < covered["skewed"] / repeats < 0.96


def test_the_length_that_skewness_adds_and_takes_from_no_level():
    x = np.random.default_rng(0).exponential(size=100)
    plain = [np.diff(intervals.t_interval(x.mean(), x.std(ddof=1), 100, level))[0] for level in (0.5, 0.95, 0.999)]
    found = [np.diff(intervals.mean_of(x).interval(level))[0] for level in (0.5, 0.95, 0.999)]
    t = scipy.stats.t.ppf(0.975, 99)
    assert found[0] == plain[0], "t^4 + 2 t^2 - 3 is below 0 for t below 1, where the expansion says nothing"
    squared = scipy.stats.skew(x) ** 2 - 6 * 98 / (101 * 103)  # what chance adds
    assert found[1] / plain[1] == pytest.approx(1 + squared * (t**4 + 2 * t**2 - 3) / 1800)
    assert found[2] / plain[2] > found[1] / plain[1]
    assert intervals.mean_of([0.3] * 30).interval(0.95) == pytest.approx((0.3, 0.3))


def test_a_difference_is_a_minus_b_and_turns_with_its_arms():
    a, b = np.array([0.5, 0.6, 0.9]), np.array([0.1, 0.3, 0.2])
    assert intervals.paired(a, b).value > 0
    low, high = intervals.paired(a, b).interval(0.95)
    assert intervals.paired(b, a).interval(0.95) == pytest.approx((-high, -low))


def test_pairing_removes_what_is_hard_about_a_unit():
    random = np.random.default_rng(0)
    hard = random.random(50)
    a, b = hard + 0.02 + 0.01 * random.normal(size=50), hard
    assert intervals.paired(a, b).interval(0.95).low > 0
    assert scipy.stats.ttest_ind(a, b).pvalue > 0.5, "unpaired, the same data shows nothing"


def test_coverage_at_60_with_half_the_differences_tied():
    random = np.random.default_rng(2)
    x = np.where(random.random((2000, 60)) < 0.5, 0.0, random.gamma(2.0, 0.1, (2000, 60)) - 0.1)
    centre = 0.5 * (0.2 - 0.1)
    inside = [low < centre < high for low, high in (intervals.mean_of(row).interval(0.95) for row in x)]
    assert 0.92 < np.mean(inside) < 0.975


def test_rounding_is_not_a_difference():
    a, b = [(0.1 + 0.2 + 0.3) / 3] * 30, [(0.3 + 0.2 + 0.1) / 3] * 30
    assert a != b
    assert intervals.paired(a, b).nonzero == 0 and intervals.paired(a, b).value == 0


def test_one_unit_shows_no_spread_and_equal_units_show_none():
    assert intervals.mean_of([0.4]).interval(0.95) == (-math.inf, math.inf)
    assert intervals.mean_of([0.5] * 30).interval(0.95) == (0.5, 0.5)


# ------------------------------------------------------------------------------------------------------ yes and no


@pytest.mark.parametrize(("yes", "n"), [(0, 10), (10, 10), (3, 17), (250, 500)])
def test_wilson_is_scipys_and_stays_inside(yes, n):
    expected = scipy.stats.binomtest(yes, n).proportion_ci(0.95, method="wilson")
    assert intervals.wilson(yes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert intervals.share_of([1.0] * yes + [0.0] * (n - yes)).interval(0.95) == intervals.wilson(yes, n)


def test_mcnemar_counts_only_the_units_that_disagree():
    assert intervals.mcnemar(8, 1) == pytest.approx(2 * (1 + 9) / 2**9)
    assert intervals.mcnemar(0, 0) == 1.0
    a, b = [1.0] * 50 + [1.0] * 8 + [0.0], [1.0] * 50 + [0.0] * 8 + [1.0]
    assert intervals.paired_shares(a, b).p == intervals.mcnemar(8, 1)


# ------------------------------------------------------------------------------------------------------- bootstrap


def test_resampled_sums_are_whole_rows_n_at_a_time_and_seeded():
    statistics = np.array([[1, 10], [1, 20], [1, 30]])
    sums = intervals.resampled_sums(statistics, 200, seed=3)
    assert (sums[:, 0] == 3).all(), "every resample has n rows"
    assert set(sums[:, 1]) <= {sum(draw) for draw in np.ndindex(4, 4, 4)} | set(range(30, 91, 10))
    assert (sums == intervals.resampled_sums(statistics, 200, seed=3)).all()
    assert (sums != intervals.resampled_sums(statistics, 200, seed=4)).any()


def test_columns_side_by_side_share_their_draws():
    column = np.random.default_rng(0).integers(100, size=(30, 1))
    sums = intervals.resampled_sums(np.hstack([column, column + 1]), 50, seed=0)
    assert (sums[:, 1] - sums[:, 0] == 30).all(), "unpaired draws would differ"


def test_blocks_do_not_change_what_a_draw_is():
    many = intervals.resampled_sums(np.ones((5000, 1), dtype=int), 1000, seed=0)
    assert many.shape == (1000, 1) and (many == 5000).all()


def test_percentile_interval_is_as_wide_as_ts():
    """For a mean, both are the same question; the plain percentile interval is 4 % too narrow at n = 30."""
    x = np.random.default_rng(5).normal(size=30)
    means = intervals.resampled_sums((x[:, None] * 10**6).astype(int), 40_000, seed=0)[:, 0] / 30 / 10**6
    low, high = intervals.percentile_interval(means, 30, 0.95)
    t = intervals.mean_of(x).interval(0.95)
    plain = np.diff(np.quantile(means, [0.025, 0.975]))[0]
    assert (high - low) == pytest.approx(t.high - t.low, rel=0.025)
    assert plain < 0.96 * (t.high - t.low)
    assert intervals.percentile_interval(means, 1, 0.95) == (-math.inf, math.inf)


# -------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.01, 0.05), "better"),
        ((-0.05, -0.01), "worse"),
        ((-0.01, 0.015), "equivalent"),
        ((-0.01, 0.02), "cannot tell"),  # touches the margin: not inside
        ((-0.03, 0.01), "cannot tell"),  # no evidence of a difference is no evidence of none
        ((0.0, 0.05), "cannot tell"),  # 0 is not excluded
        ((0.001, 0.004), "better"),  # smaller than the margin, and still not zero
    ],
)
def test_verdict(interval, expected):
    assert simultaneous.verdict(Interval(*interval), margin=0.02, n=100, nonzero=50) == expected
    assert simultaneous.verdict(Interval(*interval), margin=0.02, n=19, nonzero=19) == "cannot tell"
    assert simultaneous.verdict(Interval(*interval), margin=0.02, n=100, nonzero=9) == "cannot tell"


def test_a_family_shares_its_error():
    assert simultaneous.simultaneous_level(0.95, 1) == 0.95
    assert simultaneous.simultaneous_level(0.95, 10) == pytest.approx(0.995)
    assert simultaneous.simultaneous_level(0.95, 0) == 0.95, "an arm alone has no comparisons"


def test_looks_never_spend_more_than_alpha():
    assert simultaneous.alpha_at_look(1) == 0.025
    assert sum(simultaneous.alpha_at_look(k) for k in range(1, 50)) <= 0.05
    with pytest.raises(SettingsError):
        simultaneous.alpha_at_look(0)


# ---------------------------------------------------------------------------------------------------- the best arm


def best_of(*arms: np.ndarray, level: float = 0.95, draws: int = 2**12) -> dict[str, Interval]:
    names = [str(i) for i in range(len(arms))]
    pairs = {(a, b): intervals.paired(arms[int(a)], arms[int(b)]) for a, b in combinations(names, 2)}
    return simultaneous.against_the_best(names, pairs, level, draws=draws)


def test_a_clear_winner_and_a_clear_loser():
    random = np.random.default_rng(0)
    winner, middle, loser = (mean + 0.01 * random.normal(size=100) for mean in (0.5, 0.4, 0.1))
    bounds = best_of(middle, winner, loser)
    assert bounds["1"].low == 0 < bounds["1"].high
    assert bounds["0"].high == 0 and -0.11 < bounds["0"].low < -0.09
    assert bounds["2"].high == 0 and bounds["2"].low < -0.39, "measured against the best, not the next"


def test_two_arms_are_a_one_sided_t_not_a_two_sided_one():
    a, b = symmetric(50, 0) - 0.05, symmetric(50, 1)
    bound = scipy.stats.ttest_rel(a, b, alternative="greater").confidence_interval(0.95).low
    assert best_of(a, b)["0"].low == pytest.approx(min(0, bound))


def test_bounds_hold_for_all_arms_at_once():
    random, truth, held = np.random.default_rng(3), np.array([0.30, 0.30, 0.29, 0.25]), 0
    for _ in range(250):
        arms = truth[:, None] + 0.1 * random.normal(size=(4, 60)) + 0.1 * random.normal(size=60)
        bounds = best_of(*arms)
        gaps = {str(i): truth[i] - np.delete(truth, i).max() for i in range(4)}
        held += all(bounds[i].low <= gaps[i] <= bounds[i].high for i in gaps)
    assert held / 250 > 0.92


def test_few_differences_do_not_make_a_narrow_bound():
    """Two arms that agree on all units: 500 units show that they are close, 30 do not."""
    assert best_of(np.full(500, 0.3), np.full(500, 0.3))["0"].low == pytest.approx(-0.006, abs=0.001)
    assert best_of(np.full(30, 0.3), np.full(30, 0.3))["0"].low < -0.09


def test_an_arm_alone_has_no_others():
    assert simultaneous.against_the_best(["a"], {}) == {"a": (-math.inf, math.inf)}


# ------------------------------------------------------------------------------------------ what can be detected


@pytest.mark.parametrize(("n", "comparisons"), [(20, 1), (60, 6), (500, 28)])
def test_detectable_difference_has_the_power_it_says(n, comparisons):
    """Exact power by the noncentral t."""
    difference = detectable_difference(n, 0.1, comparisons)
    critical = scipy.stats.t.ppf(1 - 0.025 / comparisons, n - 1)
    power = scipy.stats.nct.sf(critical, n - 1, difference / 0.1 * math.sqrt(n))
    assert power == pytest.approx(0.8, abs=1e-6), "not the sum of two central quantiles, which has .78"
    assert power_of(difference, n, 0.1, comparisons) == pytest.approx(power)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.005, 0.1), st.floats(0.02, 0.3), st.integers(1, 28))
def test_examples_needed_is_the_smallest_n_that_detects(difference, sd, comparisons):
    n = examples_needed(difference, sd, comparisons).total
    assert detectable_difference(n, sd, comparisons) <= difference
    assert n == intervals.MIN_UNITS or detectable_difference(n - 1, sd, comparisons) > difference


def test_examples_needed_has_a_range_when_the_sd_is_estimated():
    few, many = (examples_needed(0.02, 0.12, estimated_from=m) for m in (30, 3000))
    assert few.total == many.total
    assert few.low < many.low < many.total < many.high < few.high
    assert examples_needed(0.02, 0.12) == (few.total,) * 3
    with pytest.raises(SettingsError):
        examples_needed(0.0, 0.1)


def test_power_knows_that_skewed_units_get_a_longer_interval():
    skewed = intervals.mean_of(np.random.default_rng(0).exponential(size=60) - 1)
    squared = skewed.squared_skewness
    low, high = skewed.interval(0.95)
    assert squared > 1
    assert half_width(60, skewed.sd, squared_skewness=squared) == pytest.approx((high - low) / 2)
    for of_units, more in (
        (lambda **known: -power_of(0.1, 60, 0.3, **known), "power falls"),
        (lambda **known: detectable_difference(60, 0.3, **known), "what is found grows"),
        (lambda **known: examples_needed(0.1, 0.3, **known).total, "more is needed"),
        (lambda **known: examples_to_be_sure(0.1, 0.3, **known), "more is needed to be sure"),
    ):
        assert of_units(squared_skewness=squared) > of_units(squared_skewness=0.0) == of_units(), more


def test_to_be_sure_an_interval_is_shorter_than_the_margin():
    n = examples_to_be_sure(0.02, 0.12, 6)

    def both(n: int) -> float:
        return half_width(n, 0.12, 6) + half_width(n, 0.12, 6, level=0.9)

    assert both(n) <= 0.02 < both(n - 1)


def test_more_needed_is_never_none_or_negative_where_units_differ():
    """With enough units for 80 % power and still no verdict, 'no more are needed' would be absurd."""
    wide = intervals.mean_of(np.random.default_rng(0).normal(0.01, 0.1, 300))
    assert 0 < more_needed(wide, 0.02)["more"] == more_needed(wide, 0.02)["to_be_sure"] - 300
    sparse = intervals.mean_of([0.0] * 97 + [0.1] * 3)
    assert more_needed(sparse, 0.02)["total"] >= 334, "until 10 units differ"
    assert more_needed(intervals.mean_of([0.0]), 0.02) is None
    alone = intervals.resampled_estimate(0.0, np.zeros(10), 50, 0)
    assert more_needed(alone, 0.02) is None, "nothing bounds a metric of a whole corpus"


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.1])
def test_units_that_do_not_differ_are_equivalent_once_there_are_as_many_as_was_said(margin):
    def judged(n):
        estimate = intervals.mean_of([0.0] * n)
        few = simultaneous.cautious(estimate, 0.95)
        return simultaneous.verdict(Interval(0, 0), margin=margin, n=n, nonzero=0, few=few)

    total = more_needed(intervals.mean_of([0.0] * 30), margin)["total"]
    assert (judged(total - 1), judged(total)) == ("cannot tell", "equivalent")
    assert simultaneous.cautious(intervals.mean_of([0.0] * 30), 0.95).high == pytest.approx(1 - 0.025 ** (1 / 30))


@given(st.lists(st.sampled_from([0.0, 1.0, 0.97, 0.5]), min_size=2, max_size=40), st.sampled_from([0.8, 0.95, 0.999]))
def test_no_interval_leaves_its_scale_and_the_mean_stays_inside(values, level):
    low, high = intervals.mean_of(values).within((0.0, 1.0)).interval(level)
    assert 0 <= low <= np.mean(values) + 1e-12 and np.mean(values) - 1e-12 <= high <= 1
    whole = intervals.mean_of(values).interval(level)
    assert low == max(0.0, min(whole.low, 1.0)) and high == min(1.0, max(whole.high, 0.0)), "and nothing else changes"


def test_equivalence_is_impossible_on_60_dialogues_within_one_point():
    assert not equivalence_possible(60, 0.12, 0.01, 6)
    assert equivalence_possible(5000, 0.12, 0.01, 6)
    assert not equivalence_possible(19, 0.0, 0.01)
