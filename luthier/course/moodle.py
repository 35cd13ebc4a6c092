"""Questions as Moodle's XML, some variants of each, so that a quiz there draws one at random.

Moodle marks by itself. A misconception is an answer of its own with no points, whose sentence is the feedback.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, SubElement

from luthier.course.question import Asked, Choice, Question, ask, seed_of


def moodle_xml(questions: Iterable[Question | Choice], variants: int, salt: str = "moodle") -> str:
    """A category for each question, with `variants` numerical, short-answer or multiple-choice questions."""
    quiz = Element("quiz")
    for question in questions:
        category = SubElement(quiz, "question", type="category")
        _text(SubElement(category, "category"), f"$course$/luthier/{question.item}")
        count = 1 if isinstance(question, Choice) else variants
        for asked in distinct(question, count, salt):
            _add(quiz, asked)
    ElementTree.indent(quiz)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(quiz, encoding="unicode") + "\n"


def distinct(question: Question | Choice, count: int, salt: str) -> Sequence[Asked]:
    """`count` variants with different texts, or as many as are found."""
    found: dict[str, Asked] = {}
    for number in range(20 * count):
        asked = ask(question, seed_of(salt, str(number), question.item))
        found.setdefault(asked.text, asked)
        if len(found) == count:
            break
    return list(found.values())


def _add(quiz: Element, asked: Asked) -> None:
    question = asked.question
    number = not isinstance(question, Choice) and not isinstance(asked.answer, str)
    kind = "multichoice" if isinstance(question, Choice) else "numerical" if number else "shortanswer"
    made = SubElement(quiz, "question", type=kind)
    _text(SubElement(made, "name"), f"{question.item} {seed_of('', '', asked.text) % 10**6:06d}")
    text = question.text if isinstance(question, Choice) else asked.text
    _text(SubElement(made, "questiontext", format="plain_text"), text)
    _text(SubElement(made, "generalfeedback", format="plain_text"), asked.why)
    if isinstance(question, Choice):
        SubElement(made, "single").text = "true"
        SubElement(made, "shuffleanswers").text = "true"
    tolerance = question.tolerance if isinstance(question, Question) else 0.0
    _answer(made, asked.answer, 100, "", tolerance if number else None)
    for misconception, value in asked.wrong.items():
        _answer(made, value, 0, misconception, tolerance if number else None)


def _answer(made: Element, value: object, fraction: int, says: str, tolerance: float | None) -> None:
    answer = SubElement(made, "answer", fraction=str(fraction), format="plain_text")
    _text(answer, repr(value) if tolerance is not None else str(value))
    if tolerance is not None:
        SubElement(answer, "tolerance").text = repr(tolerance * abs(float(str(value))))
    _text(SubElement(answer, "feedback", format="plain_text"), says)


def _text(parent: Element, text: str) -> None:
    SubElement(parent, "text").text = text
