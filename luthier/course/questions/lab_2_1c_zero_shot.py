"""Questions of lab 2.1c: dropout, and a baseline that must not change."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _kept(dice: Random) -> dict[str, Any]:
    return {"percent": dice.randrange(80, 1500) / 100, "numbers": dice.randrange(3, 16)}


def _scaled(dice: Random) -> dict[str, Any]:
    return {"percent": dice.randrange(5, 60), "value": dice.randrange(11, 990) / 10}


QUESTIONS = (
    Question(
        row="lab2.1c",
        name="all-kept",
        text="In training mode dropout sets each of {numbers} numbers to zero with a chance of {percent} %, each on "
        "its own. What is the chance, in percent, that at least one of them is lost?",
        draw=_kept,
        answer=lambda percent, numbers: 100 * (1 - (1 - percent / 100) ** numbers),
        again=lambda percent, numbers: sum(percent * ((100 - percent) / 100) ** at for at in range(numbers)),
        wrong={
            "You gave the chance that all of them stay.": (
                lambda percent, numbers: 100 * (1 - percent / 100) ** numbers
            ),
            "You added the chances. Two numbers can be lost at once.": lambda percent, numbers: percent * numbers,
        },
        why="All stay with a chance of (1 - {percent} / 100) to the power {numbers}; the rest is {answer:.3g} %.",
        unit="%",
    ),
    Question(
        row="lab2.1c",
        name="scaled",
        text="A number between two layers is {value}. Dropout has a rate of {percent} %, the model is in training "
        "mode, and the number is one that stays. What does it become?",
        draw=_scaled,
        answer=lambda percent, value: value / (1 - percent / 100),
        again=lambda percent, value: 100 * value / (100 - percent),
        wrong={
            "You left it as it is. That is eval mode; in training what stays is made larger.": lambda value: value,
            "You multiplied by the chance to stay. It is divided by it, so that the mean stays.": (
                lambda percent, value: value * (1 - percent / 100)
            ),
            "You divided by the rate. It is divided by the chance to stay.": (
                lambda percent, value: value / (percent / 100)
            ),
        },
        why="{value} / (1 - {percent} / 100) = {answer:.4g}.",
    ),
    Choice(
        row="lab2.1c",
        name="greedy",
        text="A model decodes greedily and gives two different answers to one question. What do you look at first?",
        right="whether it is in training mode",
        wrong={
            "the temperature": "Greedy decoding has none. It takes the likeliest token.",
            "the seed of sampling": "Greedy decoding draws nothing.",
            "the tokenizer": "The same text has the same ids each time.",
        },
        why="In training mode dropout removes other numbers each time, so another token may be the likeliest.",
    ),
)

WRONG_SOLUTIONS = {
    "unsteady": (
        WrongSolution(
            "def unsteady(answers):\n    return sum(len(set(own)) > 1 for own in answers.values())",
            says="blanks at the ends",
        ),
        WrongSolution(
            "def unsteady(answers):\n    return sum(len({one.strip() for one in own}) for own in answers.values())",
            says="not the answers",
        ),
        WrongSolution(
            "def unsteady(answers):\n    return sum(own[0].strip() != own[1].strip() for own in answers.values())",
            says="compare all the answers",
        ),
    )
}
