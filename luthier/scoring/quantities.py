"""Numbers, amounts, times and dates in a text, however they are written: "two", "2nd", "half past three", "$1,200".

    text --> [Quantity(kind, text, start, end, readings)]

People say one thing in many ways ("five thirty", "5:30", "half past five"; "two thousand eight", "2008"), and
one wording may mean several things ("one twenty": 120, 1.20, or 1:20). So a quantity has *readings*, all the values it
may stand for, and two quantities may agree when they share one. English only; rules and a closed list of words.

numbers.py reads numbers and amounts, dates.py reads times and dates.
"""

from __future__ import annotations

import re

from luthier.scoring.dates import CALENDAR, DAYS, date_at, time_at
from luthier.scoring.numbers import (
    FRACTIONS,
    LARGE,
    PLURALS,
    SMALL,
    Quantity,
    Reading,
    Token,
    goes_on,
    is_number,
    number_at,
    readings_of,
    tokens_of,
)

_BEGINS = {"the", "a", "an", "noon", "midday", "midnight", *SMALL, *LARGE, *PLURALS, *FRACTIONS, *CALENDAR}
_BEGINS |= {f"{day}s" for day in DAYS}
_CENTS = re.compile(r"(\d+)\s?(?:dollars?|euros?|pounds?|francs?) (?:and )?(\d\d?)(?: cents?)?\b", re.IGNORECASE)


def quantities(text: str) -> list[Quantity]:
    """All quantities of a text, in order, none overlapping another."""
    tokens = tokens_of(text)
    result: list[Quantity] = []
    at = 0
    while at < len(tokens):
        if _begins_nothing(tokens[at]):
            at += 1
            continue
        made = time_at(text, tokens, at) or date_at(text, tokens, at) or number_at(text, tokens, at)
        if made:
            quantity, at = made
            result.append(quantity)
        else:
            at += 1
    return result


def loose_readings(text: str) -> frozenset[Reading]:
    """All values that the quantities of a text may stand for, also each part of a run of number words.

    It reads an input, which supports what an answer says: "call nine one one" supports 911, 91 and 9.
    """
    tokens = tokens_of(text)
    readings: set[Reading] = set()
    for at, token in enumerate(tokens):
        if _begins_nothing(token):
            continue
        for make in (time_at, date_at):
            if made := make(text, tokens, at):
                readings |= made[0].readings.union(*made[0].parts)
        if token.kind == "clock":
            readings |= {float(part) for part in re.split("[:.]", token.text)}
        if token.kind == "slashed":
            readings |= {float(part) for part in re.split("[-/]", token.text)}
        if token.value is not None:
            readings |= _whole_and_rest(token)
        if is_number(token) or token.text in ("a", "an") or token.text in FRACTIONS:
            for end in range(at + 1, min(at + 8, len(tokens)) + 1):
                if end > at + 1 and not goes_on(tokens, end - 1):
                    break
                readings |= readings_of(tokens[at:end])
    readings |= {int(whole) + int(rest) / 100 for whole, rest in _CENTS.findall(text)}
    return frozenset(readings)


def _whole_and_rest(token: Token) -> set[Reading]:
    """The value, and of a decimal both sides of its point: 28.50 may be spoken "twenty-eight fifty"."""
    assert token.value is not None
    readings = {token.value}
    if match := re.search(r"(\d+)\.(\d+)", token.text):
        readings |= {float(match[1]), float(match[2])}
    if token.value >= 1900 and token.value < 2100:
        readings.add(token.value % 100)
    return readings


def _begins_nothing(token: Token) -> bool:
    """Whether no quantity begins with this word, which holds for most words."""
    return token.kind == "word" and token.text not in _BEGINS
