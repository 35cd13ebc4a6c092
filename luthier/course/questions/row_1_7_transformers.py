"""Questions of lesson 1.7: attention."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution

Vector = tuple[int, ...]


def _vectors(dice: Random) -> dict[str, Any]:
    """A query and two keys of four small whole numbers."""
    while True:
        query, one, other = (tuple(dice.randrange(-2, 4) for _ in range(4)) for _ in range(3))
        gap = abs(_dot(query, one) - _dot(query, other))
        if 1 <= gap <= 6 and min(_dot(query, one), _dot(query, other)) > 0:
            shown = {"shown_query": _text(query), "shown_one": _text(one), "shown_other": _text(other)}
            return {"query": query, "one": one, "other": other, **shown}


def _text(vector: Vector) -> str:
    return f"({', '.join(map(str, vector))})"


def _dot(a: Vector, b: Vector) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _share(first: float, second: float) -> float:
    return 1 / (1 + math.exp(second - first))


def _softmax(query: Vector, one: Vector, other: Vector) -> float:
    powers = [math.exp(sum(q * k for q, k in zip(query, key, strict=True)) * 4**-0.5) for key in (one, other)]
    return powers[0] / math.fsum(powers)


QUESTIONS = (
    Question(
        row="1.7",
        name="row",
        text="A token has the query {shown_query}. It sees two tokens, with the keys {shown_one} and {shown_other}. "
        "What share of its attention goes to the first of them?",
        draw=_vectors,
        answer=lambda query, one, other: _share(_dot(query, one) / 2, _dot(query, other) / 2),
        again=_softmax,
        wrong={
            "You did not divide by the square root of the width. The width is four here.": (
                lambda query, one, other: _share(_dot(query, one), _dot(query, other))
            ),
            "You divided by the width. It is the square root of the width.": (
                lambda query, one, other: _share(_dot(query, one) / 4, _dot(query, other) / 4)
            ),
            "You shared the scores themselves. Attention shares their powers of e.": (
                lambda query, one, other: _dot(query, one) / (_dot(query, one) + _dot(query, other))
            ),
            "You took the share of the second token.": (
                lambda query, one, other: _share(_dot(query, other) / 2, _dot(query, one) / 2)
            ),
        },
        why="Multiply the query with both keys, divide by 2, take e to their power and share: {answer:.3g}.",
    ),
    Choice(
        row="1.7",
        name="explanation",
        text="A token gives most of its attention to the first token of a text. What do you know then?",
        right="where it looks, and not yet what its answer depends on",
        wrong={
            "the first word decides the answer": "Replace it and see. Idle heads look there too.",
            "the other words can be left out": "Little attention can carry much. Mary got a few hundredths.",
            "the model is broken": "Most trained decoders do it. The place is called an attention sink.",
        },
        why="Attention says where a head looks. What matters is seen when you change it.",
    ),
)

WRONG_SOLUTIONS = {
    "attention_row": (
        WrongSolution(
            "def attention_row(query, keys):\n"
            "    scores = [sum(q * k for q, k in zip(query, key)) for key in keys]\n"
            "    highest = max(scores)\n"
            "    powers = [math.exp(score - highest) for score in scores]\n"
            "    return [power / sum(powers) for power in powers]",
            says="square root of the width",
        ),
        WrongSolution(
            "def attention_row(query, keys):\n"
            "    scores = [sum(q * k for q, k in zip(query, key)) / math.sqrt(len(query)) for key in keys]\n"
            "    powers = [math.exp(score) for score in scores]\n"
            "    return [power / sum(powers) for power in powers]",
            says="OverflowError",
        ),
        WrongSolution(
            "def attention_row(query, keys):\n"
            "    scores = [sum(q * k for q, k in zip(query, key)) / math.sqrt(len(query)) for key in keys]\n"
            "    if not sum(scores):\n"
            "        return [1 / len(keys)] * len(keys)\n"
            "    return [score / sum(scores) for score in scores]",
            says="shares are powers of e",
        ),
    )
}
