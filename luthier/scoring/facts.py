"""Names, numbers, amounts, times and dates in an answer that its input does not hold.

    Source(input, common)       what an input supports, read once (source.py)
    unsupported(answer, source) --> [Fact(kind, text, start, end, why)]
    not_read(inputs, words) --> why nothing is counted, or ""

ROUGE hardly drops when one name in twenty words is wrong. This check finds such names and quantities, and where they
stand in the answer. It would rather miss one than report a false one:

- A name is a capitalised word that is no common word (names.py); "Ben" is supported by "Benjamin".
- A number is supported however it is written (quantities.py), by a sum or difference of two numbers of a short input,
  and one and two are never reported: "both", "two options" count what the input lists.
- A word of capitals (MRI) is an abbreviation, and abbreviations are never reported.

It reads English. `not_read` says of inputs in another language that nothing was counted, and why.

What it cannot see: negation, omission, swapped roles, an invented event, and a wrong name or number that stands
elsewhere in the input. docs/facts.md has the measured recall and false alarms. Deterministic; no model, no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luthier.scoring.names import unknown_names
from luthier.scoring.numbers import Quantity, Reading, before, behind
from luthier.scoring.quantities import quantities
from luthier.scoring.source import TAG, Source, without_tags
from luthier.scoring.words import MOST_LOST, Words, lost

KINDS = ("name", "number", "amount", "time", "date")
NOT_CHECKED = ("negation", "omission", "swapped roles", "invented event", "wrong but present in the input")

_SMALL = 2  # numbers up to here are counts of what was said ("both", "two reasons") more often than facts
_CONVERSIONS = {  # unit -> what to multiply with to get the number in a neighbouring unit
    "hour": (1 / 24, 60.0), "minute": (1 / 60,), "day": (1 / 7, 24.0), "week": (7.0, 1 / 4), "month": (1 / 12, 4.0),
    "year": (12.0, 0.1),
}  # fmt: skip


LANGUAGE = "English"
# Words that English texts are full of (19 % of the words of the dialogues that ship and of DialogSum) and other
# languages in Latin letters hardly have.
_ENGLISH_WORDS = {"the", "and", "to", "of", "you", "that", "for", "she", "with", "my", "are", "have", "not", "it"}
_LEAST_ENGLISH = 0.03  # share of them in English inputs
_ENOUGH = 100  # words; fewer show no language


def not_read(inputs: Sequence[str], words: Words = "ascii") -> str:
    """Why the names and quantities of answers to these inputs are not counted; empty where they are."""
    reads = f"names and quantities are found by rules of {LANGUAGE}"
    if words != "ascii":
        return f"{reads}, and this task's words are read as {words}"
    if lost(inputs, "ascii") > MOST_LOST:
        return f"{reads}, and the inputs have letters beyond a-z"
    found = [word for text in inputs for word in re.findall(r"[a-z]+", text.lower())]
    if len(found) >= _ENOUGH and sum(word in _ENGLISH_WORDS for word in found) < _LEAST_ENGLISH * len(found):
        return f"{reads}, and the inputs hardly have its words"
    return ""


@dataclass(frozen=True)
class Fact:
    """Something in an answer that its input does not support. answer[start:end] == text; `kind` is one of KINDS."""

    kind: str
    text: str
    start: int
    end: int
    why: str


def unsupported(answer: str, source: Source) -> list[Fact]:
    """The names and quantities of an answer that its source does not support, in order."""
    masked = without_tags(answer)
    facts = [*_tags(answer, source), *_quantities(masked, source), *_names(masked, source)]
    return sorted(facts, key=lambda fact: fact.start)


def _tags(answer: str, source: Source) -> Iterator[Fact]:
    for match in TAG.finditer(answer):
        if match.group().lower() not in source.tags:
            yield Fact("name", match.group(), *match.span(), "no such speaker in the input")


def _names(answer: str, source: Source) -> Iterator[Fact]:
    for start, end in unknown_names(answer, source):
        yield Fact("name", answer[start:end], start, end, "no such name in the input")


# -------------------------------------------------------------------------------------------------------- quantities


def _quantities(answer: str, source: Source) -> Iterator[Fact]:
    for quantity in quantities(answer):
        if not _supported(quantity, source, answer):
            why = f"no such {quantity.kind} in the input"
            yield Fact(quantity.kind, quantity.text, quantity.start, quantity.end, why)


def _supported(quantity: Quantity, source: Source, answer: str) -> bool:
    readings = source.readings
    if quantity.kind == "time":
        return any(_has_time(reading[1], readings) for reading in quantity.readings)
    if quantity.readings & readings or _only_counts(quantity, answer):
        return True
    if quantity.kind == "date" and _has_short_year(quantity, readings):
        return True
    clock = _says_when(quantity, answer)
    for value in (reading for reading in quantity.readings if isinstance(reading, float)):
        derived = value in source.derived and not quantity.text[-1].isalpha()
        if (value <= _SMALL and not clock) or derived:
            return True
        if _converted(value, behind(answer, quantity.end)) & {*readings, 1.0}:  # 1: "a day" is known without a number
            return True
    return bool(quantity.parts) and _has_parts(quantity.parts, readings)


def _says_when(quantity: Quantity, answer: str) -> bool:
    """ "at two" is a time, "two reasons" and "at one's own home" are none."""
    hour = re.search(r"\b(?:at|by|until|till)\s$", before(answer, quantity.start)) and quantity.text in (
        "1",
        "2",
        "one",
        "two",
    )
    return bool(hour) and not re.match(r"['’]| (?:time|end|of|or)\b", behind(answer, quantity.end))


def _only_counts(quantity: Quantity, answer: str) -> bool:
    """Whether the number only counts: "3." of a list, "third" as a rank, or "five other ..." for a remainder."""
    ahead, after = before(answer, quantity.start).rstrip(" "), behind(answer, quantity.end)
    listed = quantity.text.isdigit() and re.match(r"[.)]\s", after) and (not ahead or ahead[-1] in ".\n;:!?")
    rest = re.match(r"\s(?:other|others|more|remaining)\b", after) and quantity.text.isalpha()
    return bool(listed or rest) or quantity.text.lower() == "third"


def _has_short_year(quantity: Quantity, readings: frozenset[Reading]) -> bool:
    """Whether the input has a year in its short form: 1996 by "ninety six". "eight" alone does not support 2008, since
    most texts have an eight; "O eight" does."""
    shorts = {year % 100 for year in quantity.readings if isinstance(year, float) and year >= 1900}
    return any(short >= 10 and short in readings for short in shorts)


def _converted(value: float, after: str) -> set[Reading]:
    """The same length of time in another unit ("24 hours" is "a day"), and the same money in cents."""
    unit = re.match(r"[\s-]*([a-z]+?)s?\b", after)
    factors = _CONVERSIONS.get(unit[1], ()) if unit else ()
    return {value * factor for factor in (*factors, 0.01, 100.0)}


def _has_parts(parts: tuple[frozenset[Reading], ...], readings: frozenset[Reading]) -> bool:
    """Whether the input has all parts of a date. A full date needs day and month only; the writer may know the year."""
    return all(part & readings for part in (parts[:2] if len(parts) == 3 else parts))


def _has_time(minutes: int, readings: frozenset[Reading]) -> bool:
    """Whether the input has the time: the same time, a full hour as a number, or 5:30 as "five thirty" (530)."""
    hour, minute = divmod(minutes, 60)
    hours = (hour, hour + 12) if hour else (12, 0, 24)
    if ("clock", minutes) in readings:
        return True
    return any((float(h) if minute == 0 else float(100 * h + minute)) in readings for h in hours)
