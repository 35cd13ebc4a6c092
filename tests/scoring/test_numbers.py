"""Numbers and amounts: where one begins and ends, and what it may stand for."""

from __future__ import annotations

import pytest

from luthier.scoring.numbers import Quantity, number_at, readings_of, tokens_of, value_of


def numbers(text: str) -> list[Quantity]:
    """All numbers from left to right."""
    tokens, found, at = tokens_of(text), [], 0
    while at < len(tokens):
        made = number_at(text, tokens, at)
        if made:
            found.append(made[0])
        at = made[1] if made else at + 1
    return found


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("seven", {7}),
        ("two hundred and five", {205}),
        ("a hundred and five", {105}),
        ("two and a half", {2.5}),
        ("3.5 million", {3_500_000}),
        ("one twenty", {120, 1.2}),
        ("nineteen O five", {1905}),
    ],
)
def test_readings_are_all_that_may_be_meant(text: str, readings: set[float]) -> None:
    assert readings <= readings_of(tokens_of(text))


def test_a_word_alone() -> None:
    assert [value_of(token) for token in tokens_of("two 2 2nd thirties hundred apple")] == [2, 2, 2, 30, None, None]


def test_two_numbers_are_not_one() -> None:
    assert kinds("two and three") == [("number", "two"), ("number", "three")]
    assert kinds("charged 980 twice") == [("number", "980"), ("number", "twice")]
    assert kinds("five to six days") == [("number", "five"), ("number", "six")]


def kinds(text: str) -> list[tuple[str, str]]:
    return [(found.kind, found.text) for found in numbers(text)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("$1,200", "amount"),
        ("5 %", "amount"),
        ("seven dollars", "amount"),
        ("40 per cent", "amount"),
        ("12", "number"),
        ("2008", "date"),
    ],
)
def test_money_and_percent_are_amounts_and_a_year_is_a_date(text: str, kind: str) -> None:
    (found,) = numbers(f"It says {text}.")
    assert found.kind == kind
    assert found.text.startswith(text.removesuffix(" cent"))


@pytest.mark.parametrize("text", ["Oh no.", "Wait a second.", "apples and pears", ""])
def test_words_that_are_no_numbers(text: str) -> None:
    assert numbers(text) == []
