"""Quantities: one thing written in several ways is one thing, and a word that is no quantity is none."""

from __future__ import annotations

import itertools

import pytest

from luthier.scoring.quantities import loose_readings, quantities


def kinds(text: str) -> list[tuple[str, str]]:
    return [(found.kind, found.text) for found in quantities(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("two", 2),
        ("2", 2),
        ("2nd", 2),
        ("twenty-one", 21),
        ("two hundred and five", 205),
        ("1,200", 1200),
        ("20, 000", 20_000),
        ("1.2k", 1200),
        ("two and a half", 2.5),
        ("one point five", 1.5),
        ("two thousand eight", 2008),
        ("nineteen eighty-five", 1985),
        ("nineteen O five", 1905),
        ("one twenty", 120),
        ("two eighty", 2.8),
        ("a dozen", 12),
        ("12 dollars 50 cents", 12.5),
        ("nine one one", 911),
    ],
)
def test_one_number_many_ways(text: str, value: float) -> None:
    assert float(value) in loose_readings(f"It is {text}.")


def test_kinds_and_places() -> None:
    text = "On Monday, 3 May, he paid $1,200 for two bikes at 3:30 pm, 5 % less than in 2008."
    assert kinds(text) == [
        ("date", "Monday"),
        ("date", "3 May"),
        ("amount", "$1,200"),
        ("number", "two"),
        ("time", "3:30 pm"),
        ("amount", "5 %"),
        ("date", "2008"),
    ]
    assert all(text[found.start : found.end] == found.text for found in quantities(text))


def test_nothing_is_said_twice() -> None:
    """What a time or a date has taken is no number besides."""
    found = quantities("At 3:30 on 3 May 2009, at ten to six on the 21st of June, at five thirty.")
    assert [(one.kind, one.text) for one in found] == [
        ("time", "3:30"),
        ("date", "3 May"),
        ("date", "2009"),
        ("time", "ten to six"),
        ("date", "the 21st of June"),
        ("number", "five thirty"),
    ]
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
