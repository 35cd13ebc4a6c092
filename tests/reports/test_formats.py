"""Numbers as a reader sees them: unknown is a dash and never a zero, minus is a minus."""

from __future__ import annotations

import pytest

from luthier.reports.formats import FILTERS, UNKNOWN, interval, percents, score, signed, words
from luthier.results.comparison import Mean, Pair

NUMBERS = ("score", "signed", "number", "count", "megabytes", "gigabytes", "minutes", "percent", "words")
MEAN = Mean(mean=0.5, low=-0.25, high=0.75, n=9)
UNKNOWN_MEAN = Mean(mean=None, low=None, high=None, n=0)


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_unknown_is_a_dash(name):
    assert FILTERS[name](None) == UNKNOWN


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("score", 0.51249, "0.512"), ("score", -0.5, "−0.500"), ("score", -0.0001, "0.000"),
        ("signed", 0.012, "+0.012"), ("signed", -0.012, "−0.012"), ("signed", -0.0, "+0.000"),
        ("number", 0, "0"), ("number", 0.42, "0.4"),
        ("number", 12.34, "12.3"), ("number", 1204, "1,204"), ("count", 0, "0"), ("count", 41203.0, "41,203"),
        ("megabytes", 19_600_000, "19.6"), ("megabytes", 0, "0"), ("gigabytes", 3.2e9, "3.2 GB"),
        ("gigabytes", 0, UNKNOWN), ("minutes", 90, "1.5"), ("percent", 0.95, "95 %"), ("percent", 0, "0 %"),
        ("words", {"rank": 8, "alpha": None}, "rank 8"), ("words", {}, UNKNOWN),
    ],
)  # fmt: skip
def test_a_number_in_words(name, value, text):
    assert FILTERS[name](value) == text


def test_an_interval_needs_both_ends():
    assert interval(MEAN) == "[−0.250, 0.750]" and interval(MEAN, signs=True) == "[−0.250, +0.750]"
    assert percents(MEAN) == "[-25, 75]"
    pair = Pair(a="a", b="b", metric="rouge1", difference=0.1, low=None, high=0.2, n=3, verdict=None)
    assert interval(pair) == interval(pair, "simultaneous_") == interval(None) == percents(None) == ""


def test_a_mean_stands_before_its_interval():
    estimate = FILTERS["estimate"]
    assert estimate(MEAN) == f"{score(0.5)} {interval(MEAN)}" and estimate(MEAN, 1) == "0.5 [−0.2, 0.8]"
    assert estimate(UNKNOWN_MEAN) == estimate(None) == f"{UNKNOWN} "


def test_a_record_is_said_by_its_fields():
    assert words(MEAN) == "mean 0.5, low -0.25, high 0.75, n 9" and signed(None) == UNKNOWN
