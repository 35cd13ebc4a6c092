"""Instructions whose obedience a function checks: 120, in six forms, each with four requirements or five.

The share of its requirements that an answer obeys is a finer score than yes or no, so that 120 answers say as much as
some hundreds of yes/no items would.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

from luthier.suites.items import Instruction
from luthier.suites.requirements import REQUIREMENTS

A_FORM, SEED = 20, 0

_TOPICS = (  # (what it is about, a word that fits)
    ("a lighthouse", "fog"), ("a train journey", "window"), ("a garden in May", "bees"), ("a broken cup", "glue"),
    ("the first snow", "silence"), ("a market", "apples"), ("an old violin", "dust"), ("a lost key", "pocket"),
    ("a mountain hut", "soup"), ("a rainy day", "umbrella"), ("a school play", "applause"), ("a small bakery", "bread"),
    ("a harbour", "ropes"), ("a night sky", "stars"), ("a library", "shelf"), ("a bicycle", "bell"),
    ("a river in spring", "bridge"), ("a birthday", "candles"), ("a football match", "goal"), ("a farm", "hens"),
)  # fmt: skip
_TASKS = (  # (a request, a word that fits)
    ("Name three things that you find in a kitchen.", "spoon"), ("Name three animals of the forest.", "fox"),
    ("Name three colours.", "green"), ("Name three tools.", "hammer"), ("Name three fruits.", "pear"),
    ("Name three things to take on a journey.", "map"), ("Name three kinds of weather.", "storm"),
    ("Name three pieces of clothing.", "coat"), ("Name three parts of a house.", "roof"),
    ("Name three drinks.", "tea"),
)  # fmt: skip
_QUESTIONS = (  # (a question, the first word of its answer, a word that fits)
    ("Is the sun hot?", "Yes", "sun"), ("Can a fish read?", "No", "fish"), ("Do hens lay eggs?", "Yes", "eggs"),
    ("Is ice warm?", "No", "ice"), ("Do trees have roots?", "Yes", "roots"), ("Can a stone swim?", "No", "stone"),
    ("Is water wet?", "Yes", "water"), ("Is a mouse larger than a horse?", "No", "mouse"),
    ("Do birds have wings?", "Yes", "wings"), ("Is the night bright?", "No", "night"),
)  # fmt: skip

Asked = tuple[str, list[tuple[str, Any]]]  # the request, and (requirement, argument); None: it has no argument


def _sentence(draw: random.Random, number: int) -> Asked:
    topic, word = _TOPICS[number]
    most, sign = draw.choice((12, 15, 20)), draw.choice((".", "!"))
    return f"Write about {topic}.", [
        ("one-sentence", None), ("contains", word), ("at-most-words", most), ("no-commas", None), ("ends", sign),
    ]  # fmt: skip


def _title(draw: random.Random, number: int) -> Asked:
    topic, word = _TOPICS[number]
    return f"Write a title for a story about {topic}.", [
        ("capitals", None), ("at-most-words", draw.choice((6, 8))), ("contains", word), ("no-stop", None),
        ("one-line", None),
    ]  # fmt: skip


def _small(draw: random.Random, number: int) -> Asked:
    topic, word = _TOPICS[-1 - number]
    return f"Describe {topic}.", [
        ("small", None), ("contains", word), ("at-least-words", draw.choice((8, 10))), ("at-most-words", 30),
    ]  # fmt: skip


def _list(draw: random.Random, number: int) -> Asked:
    task, word = _TASKS[number % len(_TASKS)]
    which = ("contains", word) if number < len(_TASKS) else ("lacks", word)
    return task, [("lines", 3), ("dashes", None), which, ("at-most-words", draw.choice((9, 12))), ("no-digits", None)]


def _numbered(draw: random.Random, number: int) -> Asked:
    task, word = _TASKS[number % len(_TASKS)]
    which = ("lacks", word) if number < len(_TASKS) else ("contains", word)
    return task, [("lines", 3), ("numbered", None), which, ("at-most-words", draw.choice((12, 15)))]


def _reply(draw: random.Random, number: int) -> Asked:
    question, first, word = _QUESTIONS[number % len(_QUESTIONS)]
    return question, [
        ("begins", first), ("two-sentences" if number < len(_QUESTIONS) else "one-sentence", None), ("contains", word),
        ("no-question", None), ("at-most-words", draw.choice((15, 20, 25))),
    ]  # fmt: skip


FORMS: dict[str, Callable[[random.Random, int], Asked]] = {
    "sentence": _sentence, "title": _title, "small letters": _small, "list": _list, "numbered list": _numbered,
    "reply": _reply,
}  # fmt: skip


@cache
def instructions() -> tuple[Instruction, ...]:
    """All instructions, the same in every process."""
    made = []
    for form, make in FORMS.items():
        draw = random.Random(f"instructions-{form}-{SEED}")
        for number in range(A_FORM):
            request, asked = make(draw, number)
            required = tuple((name, () if argument is None else (argument,)) for name, argument in asked)
            words = " ".join([request, *(REQUIREMENTS[name].words(*arguments) for name, arguments in required)])
            made.append(Instruction(f"{form.replace(' ', '-')}-{number + 1}", form, words, required))
    return tuple(made)
