"""Clock times and dates: each way to write one, and words that only look like one."""

from __future__ import annotations

import pytest

from luthier.scoring.dates import CALENDAR, date_at, time_at
from luthier.scoring.numbers import Quantity, tokens_of
from luthier.scoring.quantities import quantities


def times(text: str) -> list[Quantity]:
    """The first time from the left, if there is one; the same for dates below."""
    tokens = tokens_of(text)
    return [made[0] for at in range(len(tokens)) if (made := time_at(text, tokens, at))][:1]


def dates(text: str) -> list[Quantity]:
    tokens = tokens_of(text)
    return [made[0] for at in range(len(tokens)) if (made := date_at(text, tokens, at))][:1]


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
    (found,) = times(f"They meet at {text}.")
    assert found.kind == "time" and found.readings == {("clock", minutes)}


def test_an_hour_that_is_not_said_may_be_any() -> None:
    (found,) = times("It is half past.")
    assert found.readings == {("clock", 60 * hour + 30) for hour in range(12)}


@pytest.mark.parametrize("text", ["from 5 to 10", "five to six days", "99:99", "two of them", ""])
def test_what_is_no_time(text: str) -> None:
    assert times(text) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("on Monday", [("weekday", 0)]),
        ("in May", [("month", 5)]),
        ("on May 3rd", [("month", 5), 3.0]),
        ("on the third of May", [3.0, ("month", 5)]),
        ("on 27 Sept.", [27.0, ("month", 9)]),
        ("on 2009-10-01", [2009.0, ("month", 10), 1.0]),
    ],
)
def test_dates_part_by_part(text: str, parts: list[object]) -> None:
    (found,) = dates(text)
    assert found.kind == "date" and len(found.parts) == len(parts)
    assert all(part in known for part, known in zip(parts, found.parts, strict=True))


def test_a_month_and_a_year_with_a_stroke_between() -> None:
    (found,) = dates("since 5/2009, again")
    assert found.text == "5/2009" and ("month", 5) in found.parts[0] and 2009.0 in found.parts[1]
    assert dates("a dose of 5/20096") == []


def test_a_numeric_date_is_right_part_by_part() -> None:
    (found,) = dates("on 01/10/09")
    assert [1.0 in found.parts[0], ("month", 10) in found.parts[1], 2009.0 in found.parts[2]] == [True] * 3


@pytest.mark.parametrize(
    "text", ["He may go.", "They march on.", "Thus it ends.", "May I?", "She sat down in the sun.", ""]
)
def test_words_that_only_look_like_dates(text: str) -> None:
    assert quantities(text) == []


def test_the_calendar_is_lower_case_words() -> None:
    assert {"monday", "mon", "september", "sept"} <= CALENDAR
    assert all(word.isalpha() and word.islower() for word in CALENDAR)
