"""One error rate for a family: critical values against scipy's multivariate t, Bonferroni as the bound, groups."""

from __future__ import annotations

import math
import random
from itertools import combinations, pairwise

import numpy as np
import pytest
import scipy.stats

from luthier.metrics import SMALLEST_MARGIN
from luthier.stats import intervals, power, simultaneous

pytestmark = pytest.mark.filterwarnings("error")


def pairs_of(arms: int, n: int, seed: int = 0) -> list[intervals.Estimate]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, arms)) * random.uniform(0.05, 0.15, arms) + 0.1 * random.normal(size=(n, 1))
    return [intervals.paired(x[:, a], x[:, b]) for a, b in combinations(range(arms), 2)]


def test_one_comparison_is_students_t():
    for one_sided, tail in ((False, 0.025), (True, 0.05)):
        found = simultaneous.critical_value(np.ones((1, 1)), 99, 0.95, one_sided=one_sided)
        assert found == pytest.approx(scipy.stats.t.ppf(1 - tail, 99), abs=1e-3)
    assert simultaneous.joint_level(pairs_of(2, 100)) == pytest.approx(0.95)


@pytest.mark.parametrize("one_sided", [False, True])
def test_the_critical_value_is_that_of_the_multivariate_t(one_sided):
    correlation = np.array([[1, 0.5, -0.3], [0.5, 1, 0.4], [-0.3, 0.4, 1]])
    c = simultaneous.critical_value(correlation, 59, 0.95, one_sided=one_sided)
    t = scipy.stats.multivariate_t(shape=correlation, df=59, seed=1)
    low = None if one_sided else np.full(3, -c)
    assert t.cdf(np.full(3, c), lower_limit=low, maxpts=50_000) == pytest.approx(0.95, abs=1e-3)


def test_two_comparisons_that_are_one_cost_nothing_and_opposite_ones_cost_a_side():
    same = np.ones((2, 2))
    assert simultaneous.critical_value(same, 99) == pytest.approx(scipy.stats.t.ppf(0.975, 99), abs=2e-3)
    opposite = np.array([[1.0, -1.0], [-1.0, 1.0]])
    one_sided = simultaneous.critical_value(opposite, 99, one_sided=True)
    assert one_sided == pytest.approx(scipy.stats.t.ppf(0.975, 99), abs=2e-3), "max of t and -t is two-sided"


def test_all_pairs_are_tukeys_studentized_range():
    """Independent arms of equal spread: the largest of all pairs is the studentized range over the root of 2."""
    arms, columns = 8, list(combinations(range(8), 2))
    contrast = np.zeros((len(columns), arms))
    for row, (a, b) in enumerate(columns):
        contrast[row, a], contrast[row, b] = 1, -1
    c = simultaneous.critical_value(contrast @ contrast.T / 2, 100_000)
    assert c == pytest.approx(scipy.stats.studentized_range.ppf(0.95, arms, 100_000) / np.sqrt(2), abs=0.005)


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("arms", [2, 3, 8])
def test_never_wider_than_bonferroni_and_bonferroni_below_60(arms, one_sided):
    sides = 1 if one_sided else 2
    for n in (20, 59, 60, 500):
        pairs = pairs_of(arms, n)
        bonferroni = 1 - 2 * 0.05 / sides / len(pairs)
        level = simultaneous.joint_level(pairs, one_sided=one_sided, draws=2**12)
        assert level <= bonferroni + 1e-12
        assert (level == pytest.approx(bonferroni)) == (n < 60 or arms == 2)


def test_arms_that_answer_alike_do_not_break_the_family():
    x = np.random.default_rng(0).random((80, 2))
    arms = [x[:, 0], x[:, 0], x[:, 1], x[:, 0] + 0.1]  # twins, and a constant difference
    pairs = [intervals.paired(a, b) for a, b in combinations(arms, 2)]
    assert 0.95 <= simultaneous.joint_level(pairs) <= simultaneous.simultaneous_level(0.95, 6)
    assert simultaneous.joint_level([intervals.paired(x[:, 0], x[:, 0])] * 3) == pytest.approx(1 - 0.05 / 3)
    assert simultaneous.joint_level([]) == pytest.approx(0.95)


def test_corpus_metrics_pay_by_bonferroni():
    resampled = np.random.default_rng(0).normal(size=(3, 1000))
    pairs = [intervals.resampled_estimate(0.0, row, 100, 100) for row in resampled]
    assert simultaneous.joint_level(pairs) == pytest.approx(1 - 0.05 / 3)


def test_the_same_family_has_the_same_level_each_time():
    assert simultaneous.verdict_levels(pairs_of(5, 100)) == simultaneous.verdict_levels(pairs_of(5, 100))


def test_the_order_of_a_pair_does_not_matter():
    pairs = pairs_of(4, 100)
    turned = [pair.turned() for pair in pairs]
    assert simultaneous.verdict_levels(turned) == pytest.approx(simultaneous.verdict_levels(pairs), abs=1e-12)
    low, high = pairs[0].interval(0.9)
    assert turned[0].interval(0.9) == (-high, -low) and turned[0].value == -pairs[0].value


def test_equivalence_takes_both_one_sided_bounds():
    ends, bounds = intervals.Interval(-0.004, 0.011), intervals.Interval(-0.003, 0.0095)
    about = {"margin": 0.01, "n": 100, "nonzero": 50}
    assert simultaneous.verdict(ends, **about, bounds=bounds) == "equivalent"
    assert simultaneous.verdict(ends, **about) == "cannot tell"
    assert simultaneous.verdict(ends, **about, bounds=intervals.Interval(-0.0101, 0.009)) == "cannot tell"
    assert (
        simultaneous.verdict(intervals.Interval(0.001, 0.009), **about, bounds=intervals.Interval(0.002, 0.008))
        == "better"
    )


def test_joint_bounds_of_the_best_are_not_wider_than_bonferroni():
    random = np.random.default_rng(0)
    arms = 0.4 + 0.1 * random.normal(size=(5, 200)) + 0.1 * random.normal(size=200)
    names = list("abcde")
    pairs = {(names[a], names[b]): intervals.paired(arms[a], arms[b]) for a, b in combinations(range(5), 2)}
    found = simultaneous.against_the_best(names, pairs)
    reach = scipy.stats.t.ppf(1 - 0.05 / 4, 199)
    for i, name in enumerate(names):
        others = [j for j in range(5) if j != i]
        lower = [np.mean(arms[i] - arms[j]) - reach * np.std(arms[i] - arms[j], ddof=1) / np.sqrt(200) for j in others]
        assert found[name].low >= min(0.0, *lower)
    assert simultaneous.close_to_the_best(found, 0.2) == names
    assert simultaneous.close_to_the_best({"a": intervals.Interval(-0.02, 1.0)}, 0.02) == [], (
        "at the margin is not inside"
    )


@pytest.mark.parametrize(
    ("separated", "expected"),
    [
        ([], [["a", "b", "c", "d"]]),
        (["ad"], [["a", "b", "c"], ["b", "c", "d"]]),
        (["ab", "ac", "ad", "bc", "bd", "cd"], [["a"], ["b"], ["c"], ["d"]]),
        (["ac", "bd"], [["a", "b"], ["a", "d"], ["b", "c"], ["c", "d"]]),  # no order says who stands with whom
    ],
)
def test_groups_are_the_largest_without_a_better(separated, expected):
    assert simultaneous.not_separated("abcd", [frozenset(pair) for pair in separated]) == expected


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_all_that_no_arm_can_join(seed):
    """Against every subset of seven arms."""
    dice, names = random.Random(seed), "abcdefg"
    separated = [frozenset(pair) for pair in combinations(names, 2) if dice.random() < 0.1 + 0.1 * seed]

    def together(group):
        return not any(pair <= set(group) for pair in separated)

    fit = [group for size in range(1, 8) for group in combinations(names, size) if together(group)]
    largest = [list(group) for group in fit if not any(set(group) < set(other) for other in fit)]
    assert simultaneous.not_separated(names, separated) == sorted(largest)


def test_forty_arms_that_are_not_separated_are_one_group():
    """Each of their 2^40 subsets is together too; none of them is looked at."""
    names = [f"arm-{number:02}" for number in range(40)]
    assert simultaneous.not_separated(names, []) == [names]


@pytest.mark.parametrize("n", [2, 3, 4, 11, 60])
def test_a_critical_value_out_of_all_bounds_has_a_power_too(n):
    """Few units, a later look and skewness multiply: 17 at look 1, 10^12 at look 20."""
    plain = intervals.critical_value(n, 0.975)
    longer = intervals.critical_value(n, 0.975, 1.0) / plain - 1  # by a squared skewness of 1
    to_far = (power.FAR / plain - 1) / longer
    near, far = ({"level": 0.975, "squared_skewness": share * to_far} for share in (0.999, 1.001))
    difference = power.detectable_difference(n, 0.2, **far)
    assert difference == pytest.approx(power.detectable_difference(n, 0.2, **near), rel=5e-3)
    for side in (near, far):
        assert power.power_of(difference, n, 0.2, **side) == pytest.approx(0.8, abs=0.01)
    for look in (1, 5, 20, 10**6):
        level = 1 - simultaneous.alpha_at_look(look)
        for skewness in (0.5, 4.0, 1e6):
            half = power.half_width(n, 0.2, 120, level=level, squared_skewness=skewness)
            found = power.detectable_difference(n, 0.2, 120, level=level, squared_skewness=skewness)
            assert half / 2 < found < math.inf


def test_however_often_one_looks_the_rates_hardly_add_up_to_more_and_no_interval_is_without_end():
    rates = [simultaneous.alpha_at_look(k) for k in range(1, 1001)]
    assert rates[:3] == [0.025, 0.0125, 0.00625]
    assert all(rate <= before for before, rate in pairwise(rates))
    assert sum(rates[:600]) <= 0.05 and sum(rates) < 0.05 + 1e-9
    assert rates[-1] == simultaneous.alpha_at_look(10**20) == simultaneous.LEAST_RATE
    for n in (2, 5, 20, 5000):
        for pairs in (1, 120):
            assert math.isfinite(power.half_width(n, 0.2, pairs, level=1 - rates[-1], squared_skewness=4.0))
    assert power.examples_to_be_sure(SMALLEST_MARGIN, 1.0, 120, level=1 - rates[-1]) < 10**12
