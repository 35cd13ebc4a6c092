"""Quantities: one thing written in several ways is one thing, and a word that is no quantity is none."""

from __future__ import annotations

import pytest

from luthier.quantities import loose_readings, quantities


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


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("3:30 pm", 210),
        ("15:30", 210),
        ("half past three", 210),
        ("quarter to five", 285),
        ("ten past six", 370),
        ("seven o'clock", 420),
        ("9 a.m.", 540),
        ("noon", 0),
    ],
)
def test_clock_times_lie_on_a_dial_of_twelve_hours(text: str, minutes: int) -> None:
    (found,) = quantities(f"They meet at {text}.")
    assert found.kind == "time" and found.readings == {("clock", minutes)}


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


@pytest.mark.parametrize(
    "text", ["He may go.", "They march on.", "Thus it ends.", "May I?", "She sat down in the sun.", ""]
)
def test_words_that_only_look_like_dates(text: str) -> None:
    assert kinds(text) == []


def test_two_numbers_are_not_one() -> None:
    assert kinds("two and three") == [("number", "two"), ("number", "three")]
    assert kinds("charged 980 twice") == [("number", "980"), ("number", "twice")]
    assert kinds("five to six days") == [("number", "five"), ("number", "six")]


def test_a_numeric_date_is_right_part_by_part() -> None:
    (found,) = quantities("on 01/10/09")
    assert [1.0 in found.parts[0], ("month", 10) in found.parts[1], 2009.0 in found.parts[2]] == [True] * 3
