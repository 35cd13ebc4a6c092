"""Questions: numbers drawn by a seed, an answer that is computed, and a formula for each known misconception.

    question + seed --ask--> Asked(text) --mark(what was typed)--> Mark: right, or which misconception it shows

A draw is repeated until every wrong formula lies three tolerances away from the answer and from the other wrong ones,
so a misconception is never right by accident, and which one it is can be said.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from luthier.course.typed import typed

Values = Mapping[str, Any]
Value = Any  # float, int or str
Formula = Callable[..., Value]

APART = 3  # tolerances between the answer and every wrong one
DRAWS = 1000
_QUOTES = "'\"`\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
THREE_DIGITS = 0.005  # the largest relative error of a number with three significant digits


@dataclass(frozen=True)
class Item:
    """What each question has: the row that it belongs to, a name in that row, and its text."""

    row: str
    name: str
    text: str

    @property
    def item(self) -> str:
        """The name that a lesson asks for, ROW/NAME."""
        return f"{self.row}/{self.name}"


@dataclass(frozen=True)
class Question(Item):
    """A computed question.

    `text` and `why` are format strings over the drawn values; `why` may also use {answer}. A formula names the values
    that it needs as its parameters. `again` computes the answer a second way: a closed form, a library, a count by
    hand. `wrong` maps a sentence that names a misconception to what somebody who holds it would answer.
    `tolerance` is a share of the answer; 0 asks for the exact number. Answers may be texts, which are compared without
    regard to case, white space, quotes around them, and a full stop or slash behind them.
    """

    draw: Callable[[Random], Values]
    answer: Formula
    again: Formula
    wrong: Mapping[str, Formula]
    why: str
    unit: str = ""
    tolerance: float = THREE_DIGITS


@dataclass(frozen=True)
class Choice(Item):
    """A question with one right option. `wrong` maps each other option to a sentence that names its misconception."""

    right: str
    wrong: Mapping[str, str]
    why: str


@dataclass(frozen=True)
class WrongSolution:
    """A function that a learner may well write for a hole, and words of the message that tells what is wrong."""

    source: str
    says: str


@dataclass(frozen=True)
class Mark:
    """What a typed answer is worth. `misconception` is None where it shows none that is known."""

    right: bool
    says: str
    misconception: str | None = None
    readable: bool = True


@dataclass(frozen=True)
class Asked:
    """A question with its values. `options` of a choice are in the order of their letters."""

    question: Question | Choice
    text: str
    values: Values
    answer: Value
    wrong: Mapping[str, Value]  # misconception -> what it answers
    why: str
    options: tuple[str, ...] = ()

    def mark(self, answer: str) -> Mark:
        """Compares what was typed."""
        if isinstance(self.question, Choice):
            return self._chosen(answer, self.question)
        if isinstance(self.answer, str):
            if not answer.strip():
                return Mark(False, "Nothing is typed; type a word or a text.", readable=False)
            return self._named([_folded(answer)], answer, lambda one, other: one == _folded(other))
        readings = typed(answer, self.question.unit)
        if not readings:
            unit = f" {self.question.unit}" if self.question.unit else ""
            return Mark(False, f"{answer.strip()!r} cannot be read; type a number, such as 1.41{unit}", readable=False)
        return self._named(readings, answer, self._near)

    def _near(self, one: float, other: float) -> bool:
        tolerance = self.question.tolerance if isinstance(self.question, Question) else 0
        return abs(one - other) <= tolerance * abs(other) + 1e-9 * abs(other)

    def _named(self, readings: Any, typed_: str, same: Callable[[Any, Any], bool]) -> Mark:
        for reading in readings:
            if same(reading, self.answer):
                return Mark(True, f"Right. {self.why}")
            for misconception, value in self.wrong.items():
                if same(reading, value):
                    return Mark(False, f"Not right. {misconception} {self.why}", misconception)
        return Mark(False, f"Not right. {self.why}")

    def _chosen(self, answer: str, question: Choice) -> Mark:
        wanted = answer.strip().rstrip(").").casefold()
        letters = {chr(ord("a") + at): option for at, option in enumerate(self.options)}
        option = letters.get(wanted) or next((one for one in self.options if _folded(one) == _folded(answer)), None)
        if option is None:
            return Mark(False, f"{answer.strip()!r} is none of {', '.join(letters)}", readable=False)
        if option == question.right:
            return Mark(True, f"Right. {self.why}")
        return Mark(False, f"Not right. {question.wrong[option]} {self.why}", question.wrong[option])


def _folded(text: str) -> str:
    """A text without what people add to it: case, white space, quotes around it, a full stop or slash behind it."""
    plain = " ".join(text.split()).casefold()
    return plain.rstrip(f"/. {_QUOTES}").lstrip(f" {_QUOTES}") or plain


def seed_of(salt: str, learner: str, item: str) -> int:
    """The seed of one learner's question: sha256(salt | learner | item)."""
    return int.from_bytes(hashlib.sha256(f"{salt}|{learner}|{item}".encode()).digest()[:8], "big")


def ask(question: Question | Choice, seed: int) -> Asked:
    """The question as this seed draws it. Raises ValueError where no draw keeps the wrong answers apart."""
    dice = Random(seed)
    if isinstance(question, Choice):
        options = [question.right, *question.wrong]
        dice.shuffle(options)
        lines = [f"  {chr(ord('a') + at)}) {option}" for at, option in enumerate(options)]
        text = "\n".join([question.text, *lines])
        wrong = {why: option for option, why in question.wrong.items()}
        return Asked(question, text, {}, question.right, wrong, question.why, tuple(options))
    for _ in range(DRAWS):
        values = question.draw(dice)
        answer = computed(question.answer, values)
        wrong = {name: computed(formula, values) for name, formula in question.wrong.items()}
        if apart(question, answer, wrong):
            shown = {**values, "answer": answer}
            text = question.text.format(**values) + _how(question, answer)
            return Asked(question, text, values, answer, wrong, question.why.format(**shown))
    raise ValueError(f"{question.item}: in {DRAWS} draws no one keeps the wrong answers apart from the right one")


def computed(formula: Formula, values: Values) -> Value:
    """A formula of the values that it names as its parameters."""
    return formula(**{name: values[name] for name in inspect.signature(formula).parameters})


def apart(question: Question, answer: Value, wrong: Mapping[str, Value]) -> bool:
    """Whether all values lie APART tolerances from one another, whichever way each may be read."""
    every = [answer, *wrong.values()]
    if isinstance(answer, str):
        return len({_folded(str(one)) for one in every}) == len(every)
    if not all(math.isfinite(one) for one in every):
        return False
    scales = (1.0, 100.0, 0.01) if question.unit == "%" else (1.0,)
    for at, one in enumerate(every):
        for other in every[at + 1 :]:
            room = APART * question.tolerance + 1e-6
            if any(abs(one - scale * other) <= room * max(abs(one), abs(scale * other)) for scale in scales):
                return False
    return True


def _how(question: Question, answer: Value) -> str:
    """What form the answer has."""
    if isinstance(answer, str):
        return ""
    unit = "percent" if question.unit == "%" else question.unit
    if question.tolerance:
        return f" (Answer in {unit}; three digits are enough.)" if unit else " (Three digits are enough.)"
    return f" (Answer in {unit}, exactly.)" if unit else " (Answer with the exact number.)"
