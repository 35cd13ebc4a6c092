"""Questions of lesson 1.13: the dials of generation."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _shares(dice: Random) -> dict[str, Any]:
    """Probabilities of ten tokens in whole percent, in order, and a p between two of their sums."""
    cuts = sorted(dice.sample(range(1, 100), 9))
    percent = sorted((b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)), reverse=True)
    p = dice.randrange(15, 96, 5)
    shown = ", ".join(f"{one / 100:.2f}" for one in percent)
    return {"percent": tuple(percent), "shown": shown, "p": p, "wanted": f"{p / 100:.2f}"}


def _kept(percent: tuple[int, ...], p: int) -> int:
    held = 0
    for count, one in enumerate(percent, 1):
        held += one
        if held >= p:
            return count
    return len(percent)


def _scores(dice: Random) -> dict[str, Any]:
    high = round(dice.uniform(1.5, 4), 1)
    return {
        "a": high,
        "b": round(high - dice.uniform(0.5, 1.5), 1),
        "t": dice.choice((0.4, 0.5, 0.6, 0.7, 0.8, 1.5, 2.0)),
    }


QUESTIONS = (
    Question(
        row="1.13",
        name="top-p",
        text="The next token has these probabilities: {shown}. How many tokens can be drawn with top-p {wanted}?",
        draw=_shares,
        answer=lambda percent, p: _kept(percent, p),
        again=lambda percent, p: sum(sum(percent[:n]) < p for n in range(len(percent))),
        wrong={
            "You left out the token that reaches p. The kept tokens hold at least p together.": (
                lambda percent, p: sum(sum(percent[: n + 1]) < p for n in range(len(percent)))
            ),
            "You took p as the share of the vocabulary that is kept.": (
                lambda percent, p: math.ceil(p * len(percent) / 100)
            ),
            "You kept the tokens whose own probability is at least p.": (
                lambda percent, p: sum(one >= p for one in percent)
            ),
        },
        why="Add the probabilities from the largest on until the sum reaches {wanted}: {answer} tokens.",
        tolerance=0,
    ),
    Question(
        row="1.13",
        name="temperature",
        text="Only two tokens matter. The model gives the first a score of {a} and the second a score of {b}. "
        "What is the probability of the first one at a temperature of {t}?",
        draw=_scores,
        answer=lambda a, b, t: 1 / (1 + math.exp((b - a) / t)),
        again=lambda a, b, t: math.exp(a / t) / (math.exp(a / t) + math.exp(b / t)),
        wrong={
            "You left the temperature out; scores are divided by it first.": lambda a, b: 1 / (1 + math.exp(b - a)),
            "You multiplied by the temperature; scores are divided by it.": (
                lambda a, b, t: 1 / (1 + math.exp((b - a) * t))
            ),
            "You shared the scores themselves. Probabilities come from their exponentials.": lambda a, b: a / (a + b),
        },
        why="Divide both scores by {t}, take e to their power, and share: {answer:.3g}.",
    ),
    Choice(
        row="1.13",
        name="likeliest",
        text="You raise the temperature from 0.5 to 1.5. Which token is the likeliest now?",
        right="the same as before",
        wrong={
            "the one that was second": "Temperature divides all scores by one number, so their order stays.",
            "it depends on the seed": "The seed decides the draw. The probabilities are there before it.",
            "all are equally likely": "Only at an endless temperature.",
        },
        why="The likeliest token stays the likeliest. It only gets a smaller share.",
    ),
)

WRONG_SOLUTIONS = {
    "kept_by_top_p": (
        WrongSolution(
            "def kept_by_top_p(probabilities, p):\n"
            "    held, count = 0.0, 0\n"
            "    while count < len(probabilities) and held + probabilities[count] <= p:\n"
            "        held += probabilities[count]\n"
            "        count += 1\n"
            "    return count",
            says="the token that reaches p is kept",
        ),
        WrongSolution(
            "def kept_by_top_p(probabilities, p):\n"
            "    held = 0.0\n"
            "    for count, one in enumerate(probabilities, 1):\n"
            "        held += one\n"
            "        if held >= p:\n"
            "            return count\n"
            "    return len(probabilities)",
            says="misses 0.8 in Python by a hair",
        ),
    )
}
