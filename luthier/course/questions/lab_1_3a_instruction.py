"""Questions of lab 1.3a: an instruction, and how sure a mean is."""

from __future__ import annotations

import math
from random import Random
from statistics import pstdev, stdev
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _scores(dice: Random) -> dict[str, Any]:
    middle = dice.uniform(0.2, 0.4)
    values = tuple(round(min(0.9, max(0.05, dice.gauss(middle, 0.08))), 3) for _ in range(6))
    return {"values": values, "shown": ", ".join(f"{value:.3f}" for value in values)}


def _none(dice: Random) -> dict[str, Any]:
    return {"count": dice.randrange(5, 300), "level": dice.randrange(70, 99)}


QUESTIONS = (
    Question(
        row="lab1.3a",
        name="error",
        text="Six answers have these ROUGE-1: {shown}. What is the standard error of their mean? Divide "
        "squares by n - 1.",
        draw=_scores,
        answer=lambda values: stdev(values) / math.sqrt(len(values)),
        again=lambda values: math.sqrt(
            sum((one - sum(values) / 6) ** 2 for one in values) / (len(values) - 1) / len(values)
        ),
        wrong={
            "That is the standard deviation of one answer. The mean of six moves less.": lambda values: stdev(values),
            "You divided the squares by n. With the mean taken from the same six, divide by n - 1.": (
                lambda values: pstdev(values) / math.sqrt(len(values))
            ),
            "You divided by six, and not by its root.": lambda values: stdev(values) / len(values),
            "That is half of a 95 % interval, 1.96 standard errors.": (
                lambda values: 1.96 * stdev(values) / math.sqrt(len(values))
            ),
            "That is the mean itself.": lambda values: sum(values) / len(values),
        },
        why="The standard deviation over the root of six is {answer:.4g}.",
    ),
    Question(
        row="lab1.3a",
        name="none",
        text="You read {count} answers, and not one of them begins as a dialogue. The model may still do it in a share "
        "p of its answers. How large may p be? Choose p so that seeing none in {count} answers has a chance of "
        "(100 - {level}) %.",
        draw=_none,
        answer=lambda count, level: 100 * (1 - ((100 - level) / 100) ** (1 / count)),
        again=lambda count, level: -100 * math.expm1(math.log((100 - level) / 100) / count),
        wrong={
            "You took one in n. With that share nobody would be surprised to see none.": lambda count: 100 / count,
            "You divided the chance by the number of answers.": lambda count, level: (100 - level) / count,
        },
        why="None in {count} has the chance (1 - share) to the power {count}. That is (100 - {level}) % where the "
        "share is {answer:.4g} %. Not seen is not the same as never.",
        unit="%",
    ),
    Choice(
        row="lab1.3a",
        name="obeyed",
        text="The prompt says to summarize, and a small model repeats the dialogue. Why?",
        right="an instruction is text before text, and the model goes on with what it finds likely",
        wrong={
            "the instruction was cut off": "The prompt shows it, painted token by token.",
            "the temperature is too low": "Temperature changes how a token is drawn. A copy stays a copy.",
            "the model has not read the dialogue": "It repeats the dialogue word by word, so it has.",
        },
        why="Models obey as far as training has made obeying likely.",
    ),
)

WRONG_SOLUTIONS = {
    "filled": (
        WrongSolution(
            "def filled(template, dialogue):\n    return template.format(input=dialogue)",
            says="KeyError",
        ),
        WrongSolution(
            "def filled(template, dialogue):\n    return template.split('{input}')[0] + dialogue",
            says="the hole may stand at the beginning",
        ),
        WrongSolution(
            "def filled(template, dialogue):\n    return template + dialogue",
            says="in the place of {input}",
        ),
    )
}
