"""Clock times, weekdays and dates in a text, however written: "3:30 pm", "half past three", "the third of May".

    [Token] --time_at, date_at--> Quantity(kind, text, start, end, readings or parts)

A reading names its kind, since a number alone would not: ("clock", minutes after 0:00 on a twelve-hour dial),
("month", 1 to 12), ("weekday", 0 for Monday). A word that is also something else ("may", "sat") is taken for a date
only where the words around it suggest one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from luthier.scoring.numbers import (
    Quantity,
    Reading,
    Token,
    before,
    behind,
    between,
    goes_on,
    is_number,
    readings_of,
    spoken,
    value_of,
)

_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = _MONTH_NAMES.split()
_DAY_NAMES = "monday tuesday wednesday thursday friday saturday sunday"
DAYS = _DAY_NAMES.split()
_MONTH = {name: number for number, name in enumerate(_MONTHS, 1)}
_MONTH |= {name[:3]: number for name, number in _MONTH.items()} | {"sept": 9}
_DAY = {name: number for number, name in enumerate(DAYS)} | {name[:3]: number for number, name in enumerate(DAYS)}
_DAY |= {"tues": 1, "weds": 2, "thur": 3, "thurs": 3}
_DATED = re.compile(  # what follows "May" and the like where they are months: a day or a year
    r"\.?\s*(\d|the \d|first|second|third|nineteen|twenty|thirty|two thousand|\w+th\b)"
)
CALENDAR = frozenset({*_MONTH, *_DAY})
_AMBIGUOUS = {"may", "march", "mar", "dec", "sun", "sat", "mon", "wed", "jan", "jun", "oct"}

# ------------------------------------------------------------------------------------------------------- clock times


_MERIDIEM = re.compile(r"\s?([ap])\.?\s?m\b\.?", re.IGNORECASE)
_OCLOCK = re.compile(r"\s?o\s?['’]?\s?clock\b", re.IGNORECASE)


def _clock(hour: float, minute: float = 0) -> Reading:
    return ("clock", int(hour % 12 * 60 + minute))


def time_at(text: str, tokens: Sequence[Token], at: int) -> tuple[Quantity, int] | None:
    """ "3:30 pm", "3 pm", "seven o'clock", "half past three", "ten to six", "noon"; "half past" alone for any hour."""
    token = tokens[at]

    def made(reading: set[Reading], start: int, stop: int, end: int) -> tuple[Quantity, int]:
        return Quantity("time", text[start:stop], start, stop, frozenset(reading)), end

    if token.kind == "clock":
        hour, minute = (int(part) for part in re.split("[:.]", token.text))
        if hour > 24 or minute > 59:
            return None
        stop = match.end() if (match := _MERIDIEM.match(text, token.end)) else token.end
        return made({_clock(hour, minute)}, token.start, stop, _after(tokens, at, stop))
    if token.text in ("noon", "midday", "midnight") and token.kind == "word":
        return made({_clock(0)}, token.start, token.end, at + 1)
    if relative := _relative(tokens, at):
        readings, end = relative
        stop = tokens[end - 1].end
        if match := _MERIDIEM.match(text, stop) or _OCLOCK.match(text, stop):
            stop = match.end()
        return made(readings, token.start, stop, _after(tokens, end - 1, stop))
    if not is_number(token):
        return None
    end = at + 1
    while goes_on(tokens, end) and end < at + 4:
        end += 1
    match = _MERIDIEM.match(text, tokens[end - 1].end) or _OCLOCK.match(text, tokens[end - 1].end)
    if not match:
        return None
    times = {_clock(*pair) for value in readings_of(tokens[at:end]) if (pair := _hour_minute(value))}
    return made(times, token.start, match.end(), _after(tokens, end - 1, match.end())) if times else None


def _hour_minute(value: float) -> tuple[int, int] | None:
    """The clock time that a number may say: 9 -> 9:00, 530 -> 5:30."""
    hour, minute = divmod(int(value), 100) if value >= 100 else (int(value), 0)
    return (hour, minute) if value == int(value) and 0 <= hour <= 24 and minute < 60 else None


def _after(tokens: Sequence[Token], at: int, stop: int) -> int:
    """The first token that begins at or after `stop`."""
    while at < len(tokens) and tokens[at].start < stop:
        at += 1
    return at


def _relative(tokens: Sequence[Token], at: int) -> tuple[set[Reading], int] | None:
    """ "half past three", "quarter to five", "ten past six"; the hour may be missing, then any hour is meant."""
    word = tokens[at].text
    minutes = {"half": 30.0, "quarter": 15.0}.get(word, value_of(tokens[at]))
    if minutes is None or at + 1 >= len(tokens) or between(tokens, at + 1).strip():
        return None
    sides = {"past": 1, "after": 1, "to": -1, "till": -1, "before": -1}
    side = sides.get(tokens[at + 1].text)
    if side is None or (word not in ("half", "quarter") and not (0 < minutes < 30 and tokens[at + 1].text == "past")):
        side_word = tokens[at + 1].text
        if side is None or side_word != "to" or minutes not in (5, 10, 20, 25) or not _hour_at(tokens, at + 2):
            return None
        if tokens[at].value is not None:  # "from 5 to 10" is a range, "ten to six" may be one: only words are read
            return None
        if at + 3 < len(tokens) and tokens[at + 3].text.endswith("s"):  # "five to six days"
            return None
    if (hour := _hour_at(tokens, at + 2)) is not None:
        return {_clock(hour - (side < 0), minutes if side > 0 else 60 - minutes)}, at + 3
    return {_clock(hour - (side < 0), minutes if side > 0 else 60 - minutes) for hour in range(1, 13)}, at + 2


def _hour_at(tokens: Sequence[Token], at: int) -> float | None:
    if at >= len(tokens) or between(tokens, at).strip():
        return None
    value = value_of(tokens[at])
    if value is None and tokens[at].text in ("noon", "midnight"):
        return 12
    return value if value is not None and 1 <= value <= 24 and value == int(value) else None


# ------------------------------------------------------------------------------------------------------------- dates


def date_at(text: str, tokens: Sequence[Token], at: int) -> tuple[Quantity, int] | None:
    """A weekday, a month with or without its day, or 01/10/09; each part has to be right by itself."""
    token = tokens[at]

    def made(parts: list[set[Reading]], first: int, end: int) -> tuple[Quantity, int]:
        start, stop = tokens[first].start, tokens[end - 1].end
        return Quantity("date", text[start:stop], start, stop, frozenset(), tuple(map(frozenset, parts))), end

    if token.kind == "slashed":
        return made([_date_part(part) for part in re.split("[-/]", token.text)], at, at + 1)
    if token.kind == "word" and (day := _named(text, token, _DAY)) is not None:
        return made([{("weekday", day)}], at, at + 1)
    month = _named(text, token, _MONTH)
    if month is not None:
        gap = " ." if len(token.text) < 5 else " "
        after = tokens[at + 1] if at + 1 < len(tokens) and not between(tokens, at + 1).strip(gap) else None
        if after is not None and (number := _day_number(tokens, at + 1)):
            return made([{("month", month)}, {number[0]}], at, number[1])
        return made([{("month", month)}], at, at + 1)
    if number := _day_number(tokens, at):  # "3 May", "the third of May"
        end = number[1]
        if end < len(tokens) and tokens[end].text == "of":
            end += 1
        if end < len(tokens) and (month := _named(text, tokens[end], _MONTH)) is not None:
            return made([{number[0]}, {("month", month)}], at, end + 1)
    return None


def _named(text: str, token: Token, names: dict[str, int]) -> int | None:
    """The weekday or month that a word names. An ambiguous word counts where its context suggests a date."""
    word = token.text if token.text in names or len(token.text) < 7 else token.text.removesuffix("s")
    number = names.get(word)
    if number is None or token.kind != "word" or not text[token.start].isupper():
        return None
    if word in _AMBIGUOUS:
        ahead = before(text, token.start).rstrip()
        starts = not ahead or ahead[-1] in '.!?:;\n"“('
        dated = _DATED.match(behind(text, token.end)) or re.search(r"\d(st|nd|rd|th)?( of)?$", ahead)
        placed = re.search(
            r"\b(?:in|of|since|until|till|by|next|last|early|late|mid|from|to|before|after|every|this)$", ahead
        )
        if not dated and (starts or not placed or (len(word) == 3 and word != "may")):
            return None
    return number


def _day_number(tokens: Sequence[Token], at: int) -> tuple[float, int] | None:
    """A day of the month at this token, and the token behind it."""
    if at < len(tokens) and tokens[at].text == "the":
        at += 1
    for end in (at + 2, at + 1):
        run = tokens[at:end]
        if (
            len(run) == end - at
            and all(is_number(one) for one in run)
            and all(goes_on(tokens, i) for i in range(at + 1, end))
        ):
            value = spoken(run)
            if value is not None and 1 <= value <= 31 and value == int(value):
                return value, end
    return None


def _date_part(part: str) -> set[Reading]:
    value = int(part)
    readings: set[Reading] = {float(value)}
    if value <= 12:
        readings.add(("month", value))
    if len(part) == 2:
        readings |= {1900.0 + value, 2000.0 + value}
    if len(part) == 4:
        readings.add(float(value % 100))
    return readings
