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
    lengths = tuple(dice.sample(range(5, 120), 9))
    return {"wanted": dice.choice((6, 7, 8)), "lengths": lengths, "shown": ", ".join(map(str, lengths))}


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
        name="limit",
        text="Without a limit nine answers have {shown} tokens, their end token included. What is the smallest limit "
        "on new tokens under which at least {wanted} of them end by themselves?",
        draw=_lengths,
        answer=lambda wanted, lengths: sorted(lengths)[wanted - 1],
        again=lambda wanted, lengths: next(
            limit for limit in range(200) if sum(length <= limit for length in lengths) >= wanted
        ),
        wrong={
            "You added a place for the end token. It is in these lengths already.": (
                lambda wanted, lengths: sorted(lengths)[wanted - 1] + 1
            ),
            "You counted from the longest answer. The shortest ones are done first.": (
                lambda wanted, lengths: sorted(lengths, reverse=True)[wanted - 1]
            ),
            "You took the place in the list. Put the lengths in order first.": (
                lambda wanted, lengths: lengths[wanted - 1]
            ),
            "That limit lets all of them end. A smaller one is enough.": lambda lengths: max(lengths),
        },
        why="In order, the answer at place {wanted} has {answer} tokens. With this limit it is done, and so are all "
        "shorter ones.",
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
    "smallest_limit": (
        WrongSolution(
            "def smallest_limit(lengths, share):\n"
            "    count = int(share * len(lengths))\n"
            "    return sorted(lengths)[count - 1] if count else 0",
            says="of three answers are two",
        ),
        WrongSolution(
            "def smallest_limit(lengths, share):\n    return sorted(lengths)[int(share * len(lengths))]",
            says="done with the second one",
        ),
        WrongSolution(
            "def smallest_limit(lengths, share):\n    return sorted(lengths)[int(-(-share * len(lengths) // 1)) - 1]",
            says="no answer has to be done",
        ),
    )
}
