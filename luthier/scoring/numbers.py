"""Numbers and amounts in a text, however they are written: "two", "2nd", "two hundred and five", "1.2k", "$1,200".

    text --tokens_of--> [Token] --number_at--> Quantity(kind, text, start, end, readings)

One wording may mean several things ("one twenty": 120, 1.20, or 1:20), so a quantity has *readings*, all the values it
may stand for. English only; rules and a closed list of words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Reading = Any  # float, or (what, int): dates.py makes those


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
SMALL = (
    {word: value for value, word in enumerate(_UNITS.split())}
    | {word: value for value, word in enumerate(_ORDINALS.split(), 1)}
    | {word: 10 * value for value, word in enumerate(_TENS, 2)}
    | {word[:-1] + "ieth": 10 * value for value, word in enumerate(_TENS, 2)}
    | {"once": 1, "twice": 2, "both": 2, "couple": 2, "pair": 2, "double": 2, "twin": 2, "triple": 3, "fourty": 40}
    | {"oh": 0, "o": 0, "dozen": 12, "single": 1, "thrice": 3, "fortnight": 14}
)
_COUNTS = {"once", "twice", "both", "couple", "pair", "double", "twin", "triple", "single", "thrice", "fortnight"}
LARGE = {"hundred": 100, "thousand": 1_000, "grand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
LARGE |= {f"{word}th": value for word, value in LARGE.items()}
NEAR = (
    60  # characters beside a mention that are read to understand it; a limit, so that time does not grow with the text
)
_SCALE = {"k": 1e3, "m": 1e6, "bn": 1e9, "": 1.0}
FRACTIONS = {"half": 0.5, "quarter": 0.25, "halves": 0.5, "quarters": 0.75}
PLURALS = {word[:-1] + "ies": word for word in _TENS} | {f"{word}s": word for word in (*LARGE, *SMALL)}
_AMBIGUOUS = {"second", "o", "oh"}  # alone these are other words

_CURRENCY = r"[$€£¥₹]"
_MONEY = {"dollar", "euro", "pound", "cent", "franc", "yuan", "rupee", "buck", "penny", "pence", "krona", "kroner"}
_MONEY |= {"percent", "percentage", "yen", "rmb", "usd", "quid", "peso", "lira", "crown", "per"}
_TOKEN = re.compile(
    rf"(?P<clock>(?<![\d:])\d{{1,2}}[:.]\d{{2}}(?=\s?(?:[ap]\.?m\b))|(?<![\d:.])\d{{1,2}}:\d{{2}}(?![\d:]))"
    r"|(?P<slashed>(?<![\d/])\d{1,2}/\d{1,2}/\d{2,4}(?![\d/])|(?<![\d/])(?:0?[1-9]|1[0-2])/(?:1[3-9]|[02-9]\d|\d{4})(?![\d/])|\d{4}-\d{2}-\d{2})"
    rf"|(?P<digits>(?:(?P<sign>{_CURRENCY})\s?)?\d+(?:,\s?\d{{3}}(?!\d))*(?:\.\d+)?(?P<after>(?:st|nd|rd|th|s|k|m|bn)\b|\s?%)?)"
    r"|(?P<word>[A-Za-z]+)",
)


@dataclass(frozen=True)
class Token:
    """A word, or something written in digits; `value` is None where it says no number."""

    text: str  # lower case
    start: int
    end: int
    kind: str  # clock, slashed, digits or word
    value: float | None = None
    money: bool = False
    shown: str = ""


# ------------------------------------------------------------------------------------------------------------ tokens


def tokens_of(text: str) -> list[Token]:
    """The words and the things written in digits, in order; signs between them are left out."""
    return list(_read(text))


def _read(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind, word = str(match.lastgroup), match.group().lower()
        if match["digits"]:
            kind = "digits"
            number = re.search(r"\d+(?:\.\d+)?", re.sub(r",\s?", "", word))
            after = (match["after"] or "").strip().lower()
            value = finite(float(number.group()) * _SCALE.get(after, 1.0)) if number else None
            money = bool(match["sign"]) or after == "%"
            yield Token(word, match.start(), match.end(), kind, value, money, text)
        elif match["clock"] or match["slashed"]:
            yield Token(word, match.start(), match.end(), "clock" if match["clock"] else "slashed", shown=text)
        else:
            yield Token(word, match.start(), match.end(), "word", shown=text)


def finite(value: float) -> float | None:
    """The value, or None where it is too large for a float (310 digits and more)."""
    return value if math.isfinite(value) else None


def value_of(token: Token) -> float | None:
    """The value of a word or of digits alone; None for "hundred" and so on, which multiply a number."""
    return token.value if token.value is not None else SMALL.get(_plain(token))


def is_number(token: Token) -> bool:
    """Whether the token can be a number or a part of one."""
    return value_of(token) is not None or _plain(token) in LARGE


def _plain(token: Token) -> str:
    return PLURALS.get(token.text, token.text)


def between(tokens: Sequence[Token], at: int) -> str:
    """The text between a token and the one before it."""
    return tokens[at].shown[tokens[at - 1].end : tokens[at].start]


def before(text: str, start: int) -> str:
    """The NEAR characters before `start`."""
    return text[max(0, start - NEAR) : start]


def behind(text: str, end: int) -> str:
    """The NEAR characters behind `end`."""
    return text[end : end + NEAR]


def goes_on(tokens: Sequence[Token], at: int) -> bool:
    """Whether the token continues the number of the token before it, with no comma or full stop between."""
    if not 0 < at < len(tokens) or between(tokens, at).strip(" -\n\t") or "\n" in between(tokens, at):
        return False
    token, last = tokens[at], tokens[at - 1]
    following = tokens[at + 1] if at + 1 < len(tokens) else None
    if token.text in ("and", "a"):  # "a hundred and five", "two and a half"; "two and three" are two numbers
        halves = following is not None and following.text in (*FRACTIONS, "a")
        return following is not None and (halves or (_plain(last) in LARGE and is_number(following)))
    if token.text in ("o", "oh"):  # "nineteen O five", but not "ten o'clock"
        return following is not None and is_number(following)
    if token.text == "point":
        return following is not None and is_number(following)
    if (token.kind == "digits" and last.kind == "digits") or {_plain(token), _plain(last)} & _COUNTS:
        return False
    return is_number(token) or (token.text in FRACTIONS and last.text in ("a", "and"))


# ----------------------------------------------------------------------------------------------------------- numbers


def readings_of(run: Sequence[Token]) -> set[Reading]:
    """What a run of number words may mean: the number it spells, or its parts written one after the other."""
    readings: set[Reading] = set()
    if (value := spoken(run)) is not None:
        readings.add(value)
    groups = _groups(run)
    if groups and len(groups) > 1:
        if (joined := finite(float("".join(str(group) for group in groups)))) is not None:
            readings.add(joined)
        if len(groups) == 2:
            readings.add(groups[0] + groups[1] / 100)  # "two eighty": 2.80
            if groups[1] < 10:
                readings.add(groups[0] * 100.0 + groups[1])  # "nineteen O five"
            if run[0].text in ("o", "oh") and groups[1] < 10:
                readings |= {1900.0 + groups[1], 2000.0 + groups[1]}  # "O eight": the year
        if len(groups) == 3 and groups[1] == 0:
            readings.add(groups[0] * 100.0 + groups[2])
    return readings


def spoken(run: Sequence[Token]) -> float | None:
    """The number that words spell: 205 for "two hundred and five", 1.5 for "one point five"; None for no number."""
    total, current, last, decimals = 0.0, 0.0, 1e12, ""
    seen = False
    for index, token in enumerate(run):
        word = _plain(token)
        value = value_of(token)
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
        elif word in LARGE:
            scale = LARGE[word]
            current = (current or 1.0) * scale
            if scale >= 1_000:
                total, current = total + current, 0.0
            last, seen = scale, True
        elif word in FRACTIONS:
            current, last, seen = current + FRACTIONS[word], 0.5, True
        elif value is not None:
            if value >= last or (last < 20 and last >= 1) or (20 <= last < 100 and value >= 10):
                return None
            current, last, seen = current + value, value, True
    if not seen:
        return None
    number = total + current
    return finite(number + float(decimals) if len(decimals) > 1 else number)


def _groups(run: Sequence[Token]) -> list[int] | None:
    """ "nineteen eighty five" -> [19, 85]; None where a word is no whole number below 100."""
    values = [value_of(token) for token in run]
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


def number_at(text: str, tokens: Sequence[Token], at: int) -> tuple[Quantity, int] | None:
    """A number, or an amount where money or percent stands beside it; and the index of the token behind it."""
    token = tokens[at]
    if not is_number(token):
        return None
    if token.text in _AMBIGUOUS:
        return None
    end = at + 1
    while goes_on(tokens, end):
        end += 1
    run = tokens[at:end]
    stop = run[-1].end
    money = any(token.money for token in run)
    if end < len(tokens) and tokens[end].text.removesuffix("s") in _MONEY and not between(tokens, end).strip(" -"):
        per = tokens[end].text
        money, stop = per != "per" or behind(text, tokens[end].end).lstrip().startswith("cent"), tokens[end].end
        stop = stop if money else run[-1].end
    readings = readings_of(run)
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
    parts = tuple(frozenset(readings_of([one])) for one in run if is_number(one))
    start = run[0].start
    return Quantity(kind, text[start:stop], start, stop, frozenset(readings), parts if not readings else ()), end
