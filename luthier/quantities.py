"""Numbers, amounts, times and dates in a text, however they are written: "two", "2nd", "half past three", "$1,200".

    text --> [Quantity(kind, text, start, end, readings)]

People say one thing in many ways ("five thirty", "5:30", "half past five"; "two thousand eight", "2008"), and
one wording may mean several things ("one twenty": 120, 1.20, or 1:20). So a quantity has *readings*, all the values it
may stand for, and two quantities may agree when they share one. English only; rules and a closed list of words.

A reading is a number, except for clock times ("clock", minutes after 0:00 on a twelve-hour dial), months ("month", 1 to
12) and weekdays ("weekday", 0 for Monday).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Reading = Any  # float, or (what, int)


@dataclass(frozen=True)
class Quantity:
    """One mention. `kind` is number, amount, time or date; text[start:end] is how it is written."""

    kind: str
    text: str
    start: int
    end: int
    readings: frozenset[Reading]  # any of them may be meant
    parts: tuple[frozenset[Reading], ...] = ()  # of a date "3 May": each has to be right by itself


_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_UNITS = f"{_UNITS} eighteen nineteen"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
_ORDINALS = f"{_ORDINALS} fifteenth sixteenth seventeenth eighteenth nineteenth"
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = (
    {word: value for value, word in enumerate(_UNITS.split())}
    | {word: value for value, word in enumerate(_ORDINALS.split(), 1)}
    | {word: 10 * value for value, word in enumerate(_TENS, 2)}
    | {word[:-1] + "ieth": 10 * value for value, word in enumerate(_TENS, 2)}
    | {"once": 1, "twice": 2, "both": 2, "couple": 2, "pair": 2, "double": 2, "twin": 2, "triple": 3, "fourty": 40}
    | {"oh": 0, "o": 0, "dozen": 12, "single": 1, "thrice": 3, "fortnight": 14}
)
_COUNTS = {"once", "twice", "both", "couple", "pair", "double", "twin", "triple", "single", "thrice", "fortnight"}
_LARGE = {"hundred": 100, "thousand": 1_000, "grand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_LARGE |= {f"{word}th": value for word, value in _LARGE.items()}
_SCALE = {"k": 1e3, "m": 1e6, "bn": 1e9, "": 1.0}
_FRACTIONS = {"half": 0.5, "quarter": 0.25, "halves": 0.5, "quarters": 0.75}
_PLURALS = {word[:-1] + "ies": word for word in _TENS} | {f"{word}s": word for word in (*_LARGE, *_SMALL)}

_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = _MONTH_NAMES.split()
_DAY_NAMES = "monday tuesday wednesday thursday friday saturday sunday"
_DAYS = _DAY_NAMES.split()
_MONTH = {name: number for number, name in enumerate(_MONTHS, 1)}
_MONTH |= {name[:3]: number for name, number in _MONTH.items()} | {"sept": 9}
_DAY = {name: number for number, name in enumerate(_DAYS)} | {name[:3]: number for number, name in enumerate(_DAYS)}
_DAY |= {"tues": 1, "weds": 2, "thur": 3, "thurs": 3}
_AMBIGUOUS = {"may", "march", "mar", "dec", "sun", "sat", "mon", "wed", "jan", "jun", "oct", "second", "o", "oh"}

CALENDAR = frozenset({*_MONTH, *_DAY})

_CURRENCY = r"[$€£¥₹]"
_MONEY = {"dollar", "euro", "pound", "cent", "franc", "yuan", "rupee", "buck", "penny", "pence", "krona", "kroner"}
_MONEY |= {"percent", "percentage", "yen", "rmb", "usd", "quid", "peso", "lira", "crown", "per"}
_CENTS = re.compile(r"(\d+)\s?(?:dollars?|euros?|pounds?|francs?) (?:and )?(\d\d?)(?: cents?)?\b", re.IGNORECASE)
_TOKEN = re.compile(
    rf"(?P<clock>(?<![\d:])\d{{1,2}}[:.]\d{{2}}(?=\s?(?:[ap]\.?m\b))|(?<![\d:.])\d{{1,2}}:\d{{2}}(?![\d:]))"
    r"|(?P<slashed>(?<![\d/])\d{1,2}/\d{1,2}/\d{2,4}(?![\d/])|(?<![\d/])(?:0?[1-9]|1[0-2])/(?:1[3-9]|[02-9]\d|\d{{4}})(?![\d/])|\d{4}-\d{2}-\d{2})"
    rf"|(?P<digits>(?:(?P<sign>{_CURRENCY})\s?)?\d+(?:,\s?\d{{3}}(?!\d))*(?:\.\d+)?(?P<after>(?:st|nd|rd|th|s|k|m|bn)\b|\s?%)?)"
    r"|(?P<word>[A-Za-z]+)",
)


@dataclass(frozen=True)
class _Token:
    """A word, or something written in digits; `value` is None where it says no number."""

    text: str  # lower case
    start: int
    end: int
    kind: str  # clock, slashed, digits or word
    value: float | None = None
    money: bool = False
    shown: str = ""


def quantities(text: str) -> list[Quantity]:
    """All quantities of a text, in order, none overlapping another."""
    tokens = _tokens(text)
    found: list[Quantity] = []
    at = 0
    while at < len(tokens):
        if _says_nothing(tokens[at]):
            at += 1
            continue
        made = _time(text, tokens, at) or _date(text, tokens, at) or _number(text, tokens, at)
        if made:
            quantity, at = made
            found.append(quantity)
        else:
            at += 1
    return found


def loose_readings(text: str) -> frozenset[Reading]:
    """All that the quantities of a text may stand for, read generously: every part of a run of number words, too.

    This is the side that supports: "call nine one one" supports 911, 91 and 9.
    """
    tokens = _tokens(text)
    found: set[Reading] = set()
    for at, token in enumerate(tokens):
        if _says_nothing(token):
            continue
        for make in (_time, _date):
            if made := make(text, tokens, at):
                found |= made[0].readings.union(*made[0].parts)
        if token.kind == "clock":
            found |= {float(part) for part in re.split("[:.]", token.text)}
        if token.kind == "slashed":
            found |= {float(part) for part in re.split("[-/]", token.text)}
        if token.value is not None:
            found |= _whole_and_rest(token)
        if _is_number(token) or token.text in ("a", "an") or token.text in _FRACTIONS:
            for end in range(at + 1, min(at + 8, len(tokens)) + 1):
                if end > at + 1 and not _goes_on(tokens, end - 1):
                    break
                found |= _readings(tokens[at:end])
    found |= {int(whole) + int(rest) / 100 for whole, rest in _CENTS.findall(text)}
    return frozenset(found)


def _whole_and_rest(token: _Token) -> set[Reading]:
    """The value, and of a decimal both sides of its point: 28.50 is said "twenty-eight fifty"."""
    assert token.value is not None
    found = {token.value}
    if match := re.search(r"(\d+)\.(\d+)", token.text):
        found |= {float(match[1]), float(match[2])}
    if token.value >= 1900 and token.value < 2100:
        found.add(token.value % 100)
    return found


# ------------------------------------------------------------------------------------------------------------ tokens


def _tokens(text: str) -> list[_Token]:
    return list(_read(text))


def _read(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind, word = str(match.lastgroup), match.group().lower()
        if match["digits"]:
            kind = "digits"
            number = re.search(r"\d+(?:\.\d+)?", re.sub(r",\s?", "", word))
            after = (match["after"] or "").strip().lower()
            value = float(number.group()) * _SCALE.get(after, 1.0) if number else None
            money = bool(match["sign"]) or after == "%"
            yield _Token(word, match.start(), match.end(), kind, value, money, text)
        elif match["clock"] or match["slashed"]:
            yield _Token(word, match.start(), match.end(), "clock" if match["clock"] else "slashed", shown=text)
        else:
            yield _Token(word, match.start(), match.end(), "word", shown=text)


def _word_value(token: _Token) -> float | None:
    word = _PLURALS.get(token.text, token.text)
    return _SMALL.get(word)


def _is_number(token: _Token) -> bool:
    return token.value is not None or _word_value(token) is not None or _plain(token) in _LARGE


_BEGINS = {"the", "a", "an", "noon", "midday", "midnight", *_SMALL, *_LARGE, *_PLURALS, *_FRACTIONS, *_MONTH, *_DAY}
_BEGINS |= {f"{day}s" for day in _DAYS}


def _says_nothing(token: _Token) -> bool:
    """Whether no quantity begins with this word; most words are such."""
    return token.kind == "word" and token.text not in _BEGINS


def _plain(token: _Token) -> str:
    return _PLURALS.get(token.text, token.text)


def _between(tokens: Sequence[_Token], at: int) -> str:
    """What stands between a token and the one before it."""
    return tokens[at].shown[tokens[at - 1].end : tokens[at].start]


def _goes_on(tokens: Sequence[_Token], at: int) -> bool:
    """Whether the token goes on with the number that the token before it belongs to: no comma or full stop between."""
    if not 0 < at < len(tokens) or _between(tokens, at).strip(" -\n\t") or "\n" in _between(tokens, at):
        return False
    token, before = tokens[at], tokens[at - 1]
    following = tokens[at + 1] if at + 1 < len(tokens) else None
    if token.text in ("and", "a"):  # "a hundred and five", "two and a half"; "two and three" are two numbers
        halves = following is not None and following.text in (*_FRACTIONS, "a")
        return following is not None and (halves or (_plain(before) in _LARGE and _is_number(following)))
    if token.text in ("o", "oh"):  # "nineteen O five", but not "ten o'clock"
        return following is not None and _is_number(following)
    if token.text == "point":
        return following is not None and _is_number(following)
    if (token.kind == "digits" and before.kind == "digits") or {_plain(token), _plain(before)} & _COUNTS:
        return False
    return _is_number(token) or (token.text in _FRACTIONS and before.text in ("a", "and"))


# ----------------------------------------------------------------------------------------------------------- numbers


def _readings(run: Sequence[_Token]) -> set[Reading]:
    """What a run of number words may mean: their sum as we learn it at school, or one written after the other."""
    found: set[Reading] = set()
    if (value := _spoken(run)) is not None:
        found.add(value)
    groups = _groups(run)
    if groups and len(groups) > 1:
        joined = "".join(str(group) for group in groups)
        found.add(float(joined))
        if len(groups) == 2:
            found.add(groups[0] + groups[1] / 100)  # "two eighty": 2.80
            if groups[1] < 10:
                found.add(groups[0] * 100.0 + groups[1])  # "nineteen O five"
        if len(groups) == 3 and groups[1] == 0:
            found.add(groups[0] * 100.0 + groups[2])
    return found


def _spoken(run: Sequence[_Token]) -> float | None:
    """What is said, as a number: 205 of "two hundred and five", 1.5 of "one point five"; None if it does not add up."""
    total, current, last, decimals = 0.0, 0.0, 1e12, ""
    seen = False
    for index, token in enumerate(run):
        word = _plain(token)
        value = token.value if token.value is not None else _SMALL.get(word)
        if decimals or (word == "point" and seen):
            if word == "point":
                decimals = "."
            elif value is not None and value < 100 and value == int(value):
                decimals += str(int(value))
            else:
                return None
        elif word in ("and", "a", "an"):
            if index == 0 and len(run) == 1:
                return None
        elif word in _LARGE:
            scale = _LARGE[word]
            current = (current or 1.0) * scale
            if scale >= 1_000:
                total, current = total + current, 0.0
            last, seen = scale, True
        elif word in _FRACTIONS:
            current, last, seen = current + _FRACTIONS[word], 0.5, True
        elif value is not None:
            if value >= last or (last < 20 and last >= 1) or (20 <= last < 100 and value >= 10):
                return None
            current, last, seen = current + value, value, True
    if not seen:
        return None
    number = total + current
    return number + float(decimals) if len(decimals) > 1 else number


def _groups(run: Sequence[_Token]) -> list[int] | None:
    """ "nineteen eighty five" -> [19, 85]; None where a word is no whole number below 100."""
    values = [token.value if token.value is not None else _SMALL.get(_plain(token)) for token in run]
    if any(value is None or value != int(value) or value >= 10_000 for value in values):
        return None
    groups: list[int] = []
    tens = False
    for value in (int(value) for value in values if value is not None):
        if tens and 0 < value < 10:
            groups[-1] += value
            tens = False
        else:
            groups.append(value)
            tens = value >= 20 and value % 10 == 0 and value < 100
    return groups


def _number(text: str, tokens: Sequence[_Token], at: int) -> tuple[Quantity, int] | None:
    """A number, or an amount where money or percent stands beside it."""
    token = tokens[at]
    if not _is_number(token):
        return None
    if token.text in _AMBIGUOUS:
        return None
    end = at + 1
    while _goes_on(tokens, end):
        end += 1
    run = tokens[at:end]
    stop = run[-1].end
    money = any(token.money for token in run)
    if end < len(tokens) and tokens[end].text.removesuffix("s") in _MONEY and not _between(tokens, end).strip(" -"):
        per = tokens[end].text
        money, stop = per != "per" or text[tokens[end].end :].lstrip().startswith("cent"), tokens[end].end
        stop = stop if money else run[-1].end
    readings = _readings(run)
    if run[0].text.endswith("0s") and run[0].value is not None:  # "the 1970s", "his 70s"
        readings |= {run[0].value % 100}
    if (
        len(run) == 1
        and run[0].value is not None
        and run[0].money is False
        and re.fullmatch(r"(19|20)\d\d", run[0].text)
    ):
        kind = "date"
    else:
        kind = "amount" if money else "number"
    parts = tuple(frozenset(_readings([one])) for one in run if _is_number(one))
    start = run[0].start
    return Quantity(kind, text[start:stop], start, stop, frozenset(readings), parts if not readings else ()), end


# ------------------------------------------------------------------------------------------------------- clock times


_MERIDIEM = re.compile(r"\s?([ap])\.?\s?m\b\.?", re.IGNORECASE)
_OCLOCK = re.compile(r"\s?o\s?['’]?\s?clock\b", re.IGNORECASE)


def _clock(hour: float, minute: float = 0) -> Reading:
    return ("clock", int(hour % 12 * 60 + minute))


def _time(text: str, tokens: Sequence[_Token], at: int) -> tuple[Quantity, int] | None:
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
    if not _is_number(token):
        return None
    end = at + 1
    while _goes_on(tokens, end) and end < at + 4:
        end += 1
    match = _MERIDIEM.match(text, tokens[end - 1].end) or _OCLOCK.match(text, tokens[end - 1].end)
    if not match:
        return None
    times = {_clock(*pair) for value in _readings(tokens[at:end]) if (pair := _hour_minute(value))}
    return made(times, token.start, match.end(), _after(tokens, end - 1, match.end())) if times else None


def _hour_minute(value: float) -> tuple[int, int] | None:
    """The clock time that a number may say: 9 -> 9:00, 530 -> 5:30."""
    hour, minute = divmod(int(value), 100) if value >= 100 else (int(value), 0)
    return (hour, minute) if value == int(value) and 0 <= hour <= 24 and minute < 60 else None


def _after(tokens: Sequence[_Token], at: int, stop: int) -> int:
    """The first token that begins at or after `stop`."""
    while at < len(tokens) and tokens[at].start < stop:
        at += 1
    return at


def _relative(tokens: Sequence[_Token], at: int) -> tuple[set[Reading], int] | None:
    """ "half past three", "quarter to five", "ten past six"; the hour may be missing, then any hour is meant."""
    word = tokens[at].text
    minutes = {"half": 30.0, "quarter": 15.0}.get(word, _word_value(tokens[at]) or tokens[at].value)
    if minutes is None or at + 1 >= len(tokens) or _between(tokens, at + 1).strip():
        return None
    sides = {"past": 1, "after": 1, "to": -1, "till": -1, "before": -1}
    side = sides.get(tokens[at + 1].text)
    if side is None or (word not in ("half", "quarter") and not (0 < minutes < 30 and tokens[at + 1].text == "past")):
        side_word = tokens[at + 1].text
        if side is None or side_word != "to" or minutes not in (5, 10, 20, 25) or not _hour_at(tokens, at + 2):
            return None
        if _word_value(tokens[at]) is None:  # "from 5 to 10" is a range, "ten to six" may be one: only words are read
            return None
        if at + 3 < len(tokens) and tokens[at + 3].text.endswith("s"):  # "five to six days"
            return None
    if (hour := _hour_at(tokens, at + 2)) is not None:
        return {_clock(hour - (side < 0), minutes if side > 0 else 60 - minutes)}, at + 3
    return {_clock(hour - (side < 0), minutes if side > 0 else 60 - minutes) for hour in range(1, 13)}, at + 2


def _hour_at(tokens: Sequence[_Token], at: int) -> float | None:
    if at >= len(tokens) or _between(tokens, at).strip():
        return None
    value = tokens[at].value if tokens[at].value is not None else _word_value(tokens[at])
    if value is None and tokens[at].text in ("noon", "midnight"):
        return 12
    return value if value is not None and 1 <= value <= 24 and value == int(value) else None


# ------------------------------------------------------------------------------------------------------------- dates


def _date(text: str, tokens: Sequence[_Token], at: int) -> tuple[Quantity, int] | None:
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
        after = tokens[at + 1] if at + 1 < len(tokens) and not _between(tokens, at + 1).strip(gap) else None
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


def _named(text: str, token: _Token, names: dict[str, int]) -> int | None:
    """The weekday or month that a word names; a word that is also something else counts where it looks the part."""
    word = token.text if token.text in names or len(token.text) < 7 else token.text.removesuffix("s")
    number = names.get(word)
    if number is None or token.kind != "word" or not text[token.start].isupper():
        return None
    if word in _AMBIGUOUS:
        before, behind = text[: token.start].rstrip(), text[token.end :]
        starts = not before or before[-1] in '.!?:;\n"“('
        dated = re.match(r"\.?\s*(\d|the \d|first|second|third|\w+th\b)", behind) or re.search(
            r"\d(st|nd|rd|th)?( of)?$", before
        )
        placed = re.search(
            r"\b(?:in|of|since|until|till|by|next|last|early|late|mid|from|to|before|after|every|this)$", before
        )
        if not dated and (starts or not placed or (len(word) == 3 and word != "may")):
            return None
    return number


def _day_number(tokens: Sequence[_Token], at: int) -> tuple[float, int] | None:
    """A day of the month at this token, and the token behind it."""
    if at < len(tokens) and tokens[at].text == "the":
        at += 1
    for end in (at + 2, at + 1):
        run = tokens[at:end]
        if (
            len(run) == end - at
            and all(_is_number(one) for one in run)
            and all(_goes_on(tokens, i) for i in range(at + 1, end))
        ):
            value = _spoken(run)
            if value is not None and 1 <= value <= 31 and value == int(value):
                return value, end
    return None


def _date_part(part: str) -> set[Reading]:
    value = int(part)
    found: set[Reading] = {float(value)}
    if value <= 12:
        found.add(("month", value))
    if len(part) == 2:
        found |= {1900.0 + value, 2000.0 + value}
    if len(part) == 4:
        found.add(float(value % 100))
    return found
