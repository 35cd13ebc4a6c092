"""Errors planted into references, one at a time: what the check of facts has to find, and what it cannot.

    references of the task that ships --planted--> [Planted(kind, id, answer, start, end)]

Most are planted by rule, with a seed for each, some by hand (facts_edits.json).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luthier.records import Example
from luthier.task.task import load_task

EDITS = Path(__file__).with_name("facts_edits.json")

# Names of nobody: first names of many languages, none of which the dialogues need.
_NAMES = """
    Philippa Thaddeus Ottoline Bartholomew Clementine Wojciech Esperanza Giancarlo Hortensia Igor Jadwiga Kazimir
    Leopold Mirabel Nikolai Octavia Percival Quentin Rosamund Sigrid Tobias Ursula Valentin Winifred Yolanda
    Zebedee Aurelio Beatrix Cordelia Desmond Evander Florian Gwendolyn Hildegard Isidora Jerome Katarina Lavinia
    Maximilian Noor
"""
NAMES = _NAMES.split()
_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
WORDS = _WORDS.split()
_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
WEEKDAYS = _WEEKDAYS.split()
_MONTHS = "January February March April June July August September October November December"
MONTHS = _MONTHS.split()
INVENTED = (
    "They also agree to repaint the fence.", "Afterwards everybody goes swimming.", "The weather is blamed for it all.",
    "A dog is injured in the process.", "The police are called.", "In the end the plan is dropped without a reason.",
)  # fmt: skip
INVENTED_ENTITY = (
    "{name} joins them later.", "It was {name} who had proposed it.", "They pay {number} euros in advance.",
    "The rest is put off for {number} days.", "About {number} people are expected.",
    "{name} has to pay {number} dollars.",
)  # fmt: skip
CHECKED = {  # kind -> what it is
    "wrong person": "a name that the input does not hold",
    "wrong number": "a number (3 or above) that the input does not hold",
    "wrong amount": "money or percent that the input does not hold",
    "wrong time": "a clock time that the input does not hold",
    "wrong date": "a weekday, month or day that the input does not hold",
    "invented fact, entity": "an added sentence with a name or a number",
}
NOT_CHECKED = {
    "wrong person, present": "another name of the same input",
    "wrong number, present": "another number of the same input",
    "invented fact, no entity": "an added sentence without a name or a number",
    "negation": "a verb negated",
    "omission": "the last sentence or clause left out",
    "swapped roles": "two names exchanged",
}


@dataclass(frozen=True)
class Planted:
    """A reference with one error in it; answer[start:end] is the error (for an omission nothing is there)."""

    kind: str
    id: str
    answer: str
    start: int
    end: int
    by: str = "rule"


def planted() -> list[Planted]:
    """Every error that the rules and the list of edits plant, one a reference and kind (of amounts two)."""
    found: dict[Planted, None] = {}
    for example in examples():
        for number, reference in enumerate(example.references):
            for kind, plant in PLANT.items():
                for turn in range(2 if kind == "wrong amount" else 1):
                    draw = random.Random(f"{kind} {example.id} {number} {turn}")
                    if (made := plant(reference, example.input, draw)) is not None:
                        answer, start, end = made
                        found[Planted(kind, f"{example.id}/{number}", answer, start, end)] = None
    return [*found, *by_hand()]


def by_hand() -> list[Planted]:
    """The edits that were written one by one: {id, kind, old, new}; `old` stands in a reference of the example."""
    references = {example.id: example.references for example in examples()}
    found = []
    for edit in json.loads(EDITS.read_text(encoding="utf-8")):
        text = next(reference for reference in references[edit["id"]] if edit["old"] in reference)
        start = text.index(edit["old"])
        answer = text.replace(edit["old"], edit["new"], 1)
        found.append(Planted(edit["kind"], edit["id"], answer, start, start + len(edit["new"]), "hand"))
    return found


def examples() -> list[Example]:
    task = load_task("dialogues")
    return [*task.train, *task.dev, *task.test]


# ---------------------------------------------------------------------------------------------------- the planting

Made = tuple[str, int, int] | None
Draw = random.Random


def _swap(text: str, match: re.Match[str], new: str) -> Made:
    return text[: match.start()] + new + text[match.end() :], match.start(), match.start() + len(new)


def _replaced(pattern: str, new: Callable[[re.Match[str], Draw], str | None]) -> Callable[[str, str, Draw], Made]:
    """Plants at one random match of the pattern; `new` is drawn until the input does not hold it."""

    def plant(text: str, source: str, draw: Draw) -> Made:
        matches = list(re.finditer(pattern, text))
        draw.shuffle(matches)
        for match in matches:
            for _ in range(20):
                made = new(match, draw)
                if made and made != match.group() and not _held(made, source):
                    return _swap(text, match, made)
        return None

    return plant


def _held(value: str, source: str) -> bool:
    """Whether the input holds a word or a number of the new text, in digits or in words."""
    forms = set(re.findall(r"\w+", value.lower())) - {"half", "quarter", "past", "o", "clock", "the", "at"}
    forms |= {str(WORDS.index(form)) for form in forms if form in WORDS}
    forms |= {WORDS[int(form)] for form in forms if form.isdigit() and int(form) < len(WORDS)}
    return bool(forms & set(re.findall(r"[^\W\d_]+|\d+", source.lower())))


def _names_of(text: str, source: str) -> list[re.Match[str]]:
    """Words with a capital in the reference that name a speaker, or stand with a capital inside a sentence there."""
    speakers = {word for line in source.splitlines() for word in re.findall(r"[A-Z]\w+", line.split(":")[0])}
    inner = {word for word in re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text) if word not in {*WEEKDAYS, *MONTHS, "May"}}
    titles = {"Mr", "Mrs", "Ms", "Dr", "Professor"}
    lower = set(re.findall(r"\b[a-z]+\b", source))
    names = {word for word in (speakers | inner) - titles if word in source and word.lower() not in lower}
    return [match for match in re.finditer(r"\b[A-Z][a-z]+\b", text) if match.group() in names]


def _wrong_person(text: str, source: str, draw: Draw) -> Made:
    places = _names_of(text, source)
    return _swap(text, draw.choice(places), draw.choice(NAMES)) if places else None


def _person_present(text: str, source: str, draw: Draw) -> Made:
    names = {match.group() for match in _names_of(source, source)}
    places = _names_of(text, source)
    others = sorted(names - {match.group() for match in places})
    return _swap(text, draw.choice(places), draw.choice(others)) if places and others else None


def _swapped(text: str, source: str, draw: Draw) -> Made:
    first = _names_of(text, source)
    pair = [(a, b) for a in first for b in first if a.start() < b.start() and a.group() != b.group()]
    if not pair:
        return None
    a, b = draw.choice(pair)
    answer = text[: a.start()] + b.group() + text[a.end() : b.start()] + a.group() + text[b.end() :]
    return answer, a.start(), a.start() + len(b.group())


def _other_number(match: re.Match[str], draw: Draw) -> str | None:
    """Another number of about the same size, written the same way."""
    old = match.group().replace(",", "")
    value = WORDS.index(old) if old in WORDS else int(old)
    new = draw.choice(
        [value + draw.randint(1, 9), value - draw.randint(1, 9), 2 * value, value + 10 * draw.randint(1, 9)]
    )
    if new < 3:
        return None
    return WORDS[new] if old in WORDS and new < len(WORDS) else f"{new:,}" if "," in match.group() else str(new)


def _number_present(text: str, source: str, draw: Draw) -> Made:
    places = list(re.finditer(_NUMBER, text))
    others = [m.group() for m in re.finditer(_NUMBER, source) if m.group() not in {p.group() for p in places}]
    return _swap(text, draw.choice(places), draw.choice(others)) if places and others else None


def _other_time(match: re.Match[str], draw: Draw) -> str:
    if ":" in match.group():
        return f"{draw.randint(1, 12)}:{draw.choice(range(5, 60, 5)):02d}"
    hour = WORDS[draw.randint(1, 12)]
    return hour if match.group() in WORDS else f"{match.group().rsplit(' ', 1)[0]} {hour}"


def _other_date(match: re.Match[str], draw: Draw) -> str:
    old = match.group()
    if old in WEEKDAYS or old in MONTHS:
        return draw.choice(WEEKDAYS if old in WEEKDAYS else MONTHS)
    day = draw.randint(4, 30)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th") if day not in (11, 12, 13) else "th"
    return f"{day}{ending}"


def _added(sentences: tuple[str, ...]) -> Callable[[str, str, Draw], Made]:
    def plant(text: str, source: str, draw: Draw) -> Made:
        new = draw.choice(sentences).format(name=draw.choice(NAMES), number=draw.choice((13, 37, 46, 58, 93)))
        return (
            None
            if _held(" ".join(re.findall(r"\d+", new)), source)
            else (f"{text} {new}", len(text) + 1, len(text) + 1 + len(new))
        )

    return plant


def _negated(text: str, source: str, draw: Draw) -> Made:
    matches = list(
        re.finditer(r"\b(?:is|are|was|were|will|can|must|should|would|could|has|have|had)\b(?! not| no)", text)
    )
    return _swap(text, match, f"{match.group()} not") if (match := draw.choice(matches) if matches else None) else None


def _shortened(text: str, source: str, draw: Draw) -> Made:
    parts = list(re.finditer(r"(?<=[.!?]) |; |, and |, but |, ", text))
    return (text[: parts[-1].start()].rstrip(".") + ".", parts[-1].start(), parts[-1].start() + 1) if parts else None


_MONEY = r"(?:dollars?|euros?|pounds?|francs?|cents|rupees|percent|%)"
_NUMBER = (
    r"(?<![\d:$€£.,])\b(?:\d{1,4}|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b(?![:.,]\d|st|nd|rd|th)"
)
PLANT: dict[str, Callable[[str, str, Draw], Made]] = {
    "wrong person": _wrong_person,
    "wrong number": _replaced(_NUMBER, _other_number),
    "wrong amount": _replaced(rf"(?<=[$€£])\d[\d,]*(?![.\d])|(?<![\d.])\b\d[\d,]*(?=[ -]{_MONEY})", _other_number),
    "wrong time": _replaced(
        r"\b\d{1,2}:\d\d\b|\b(?:half|quarter|ten|twenty) (?:past|to) (?:one|two|three|four|five|six|seven|eight|nine|"
        r"ten|eleven|twelve)\b|(?<=\bat )(?:three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", _other_time),
    "wrong date": _replaced(rf"\b(?:{'|'.join(WEEKDAYS + MONTHS)})\b|\b\d{{1,2}}(?:st|nd|rd|th)\b", _other_date),
    "invented fact, entity": _added(INVENTED_ENTITY),
    "wrong person, present": _person_present,
    "wrong number, present": _number_present,
    "invented fact, no entity": _added(INVENTED),
    "negation": _negated,
    "omission": _shortened,
    "swapped roles": _swapped,
}  # fmt: skip
