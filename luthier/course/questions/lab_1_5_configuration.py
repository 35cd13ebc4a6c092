"""Questions of lab 1.5: limits, temperature and seeds."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _gap(dice: Random) -> dict[str, Any]:
    return {
        "gap": dice.randrange(20, 100) / 100,
        "temperature": dice.randrange(10, 45) / 100,
        "steps": dice.randrange(2, 9),
    }


def _lengths(dice: Random) -> dict[str, Any]:
    limit = dice.randrange(20, 60, 5)
    lengths = tuple(dice.choice((limit, dice.randrange(5, 90), dice.randrange(5, 90))) for _ in range(12))
    return {"limit": limit, "lengths": lengths, "shown": ", ".join(map(str, lengths))}


QUESTIONS = (
    Question(
        row="lab1.5",
        name="all-likeliest",
        text="At each of {steps} steps only two tokens matter. The likelier one has a score that is {gap} higher. You "
        "draw at a temperature of {temperature}. How likely is it that all {steps} steps take the likelier token?",
        draw=_gap,
        answer=lambda gap, temperature, steps: 100 * (1 + math.exp(-gap / temperature)) ** -steps,
        again=lambda gap, temperature, steps: 100 * math.exp(-steps * math.log1p(1 / math.exp(gap / temperature))),
        wrong={
            "That is the chance of one step. All steps have to take it, so the chances multiply.": (
                lambda gap, temperature: 100 / (1 + math.exp(-gap / temperature))
            ),
            "A low temperature is not greedy. It still draws at each step.": lambda: 100,
            "You left the temperature out.": lambda gap, steps: 100 * (1 + math.exp(-gap)) ** -steps,
        },
        why="One step takes the likelier token with 1 / (1 + e^(-{gap} / {temperature})). To the power {steps} that is "
        "{answer:.4g} %.",
        unit="%",
    ),
    Question(
        row="lab1.5",
        name="cut",
        text="Without a limit twelve answers have {shown} tokens, their end token included. The limit is {limit} new "
        "tokens. How many answers does it cut?",
        draw=_lengths,
        answer=lambda limit, lengths: sum(length > limit for length in lengths),
        again=lambda limit, lengths: len(lengths) - len([one for one in lengths if one <= limit]),
        wrong={
            "You counted those that fit exactly. Their end token is the last one that fits, so they are done.": (
                lambda limit, lengths: sum(length >= limit for length in lengths)
            ),
            "You counted those that are done.": lambda limit, lengths: sum(length <= limit for length in lengths),
            "You counted all. The limit says the most, and not how long an answer gets.": lambda lengths: len(lengths),
        },
        why="Cut is what needs more than {limit} tokens: {answer} answers.",
        tolerance=0,
    ),
    Choice(
        row="lab1.5",
        name="concise",
        text="You want summaries of one sentence. What does a limit of 20 new tokens do?",
        right="it cuts the answer after 20 tokens, done or not",
        wrong={
            "the model writes shorter sentences": "It does not know the limit. It writes the same tokens as before.",
            "the model leaves out what matters least": "What comes last is gone, whether it matters or not.",
            "the answer gets 20 tokens, padded if need be": "It is the most. Some answers are done earlier.",
        },
        why="Ask for one sentence in the prompt, or train the model on short ones. The limit is a safety belt.",
    ),
)

WRONG_SOLUTIONS = {
    "cut_by": (
        WrongSolution(
            "def cut_by(limit, lengths):\n    return sum(length >= limit for length in lengths)",
            says="the last that fits is done",
        ),
        WrongSolution(
            "def cut_by(limit, lengths):\n    return sum(length < limit for length in lengths)",
            says="more tokens than the limit is cut",
        ),
        WrongSolution(
            "def cut_by(limit, lengths):\n    return sum(length - limit for length in lengths if length > limit)",
            says="more tokens than the limit is cut",
        ),
    )
}
