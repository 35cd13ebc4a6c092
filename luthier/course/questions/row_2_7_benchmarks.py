"""Questions of lesson 2.7: shares and their intervals."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _share(dice: Random) -> dict[str, Any]:
    n = dice.randrange(100, 3000, 10)
    return {"n": n, "k": dice.randrange(n // 5, 4 * n // 5)}


def _target(dice: Random) -> dict[str, Any]:
    return {"percent": dice.randrange(55, 95), "points": dice.randrange(5, 60) / 10}


QUESTIONS = (
    Question(
        row="2.7",
        name="interval",
        text="A model has {k} of {n} questions right. Its share p has a standard error of root(p (1 - p) / n). "
        "How many percentage points does an interval of two standard errors reach to each side?",
        draw=_share,
        answer=lambda k, n: 200 * math.sqrt(k / n * (1 - k / n) / n),
        again=lambda k, n: 200 * math.sqrt(k * (n - k)) / n**1.5,
        wrong={
            "You gave one standard error.": lambda k, n: 100 * math.sqrt(k / n * (1 - k / n) / n),
            "You gave the whole interval, from end to end.": lambda k, n: 400 * math.sqrt(k / n * (1 - k / n) / n),
            "You left out the root of n: this is the spread of one question, not of the share.": (
                lambda k, n: 200 * math.sqrt(k / n * (1 - k / n))
            ),
        },
        why="p is {k} / {n}. Two standard errors of it are {answer:.3g} points.",
        unit="%",
    ),
    Question(
        row="2.7",
        name="questions",
        text="A model has about {percent} % of the questions right. Two standard errors shall be at most {points} "
        "points. How many questions does that take? (Do not round to a whole number.)",
        draw=_target,
        answer=lambda percent, points: 4 * percent * (100 - percent) / points**2,
        again=lambda percent, points: percent / 100 * (1 - percent / 100) / (points / 200) ** 2,
        wrong={
            "You forgot to square the points. Half the error takes four times the questions.": (
                lambda percent, points: 4 * percent * (100 - percent) / points
            ),
            "You took one standard error.": lambda percent, points: percent * (100 - percent) / points**2,
            "You multiplied the spread of one question by itself once too often.": (
                lambda percent, points: 4 * (percent * (100 - percent)) ** 2 / points**2 / 10_000
            ),
        },
        why="n = 4 x {percent} x (100 - {percent}) / {points} squared: {answer:.4g}.",
    ),
    Choice(
        row="2.7",
        name="order",
        text="A list of models was made with 500 questions. The first has 72.1 % right, the second 71.8 %. What do "
        "these numbers show?",
        right="not which of the two is better",
        wrong={
            "the first is better, by a little": "Another 500 questions would turn the order nearly as often as not.",
            "both are equally good": "That they cannot be told apart does not show that they are equal.",
            "the first is better, since the run can be repeated": "The same questions give the same numbers. Other "
            "questions do not, and the questions are the sample.",
        },
        why="Each share reaches almost four points to each side. The order of the list is not an order of the models.",
    ),
)

WRONG_SOLUTIONS = {
    "not_behind": (
        WrongSolution(
            "def not_behind(counts, n):\n    return sum(counts[0] - count <= 2 for count in counts)",
            says="the reach is in questions",
        ),
        WrongSolution(
            "def not_behind(counts, n):\n"
            "    reach = 2 * (n / 2) ** 0.5\n"
            "    return sum(counts[0] - count <= reach for count in counts[1:])",
            says="count the first as well",
        ),
        WrongSolution(
            "def not_behind(counts, n):\n"
            "    reach, found = 2 * (n / 2) ** 0.5, 1\n"
            "    for above, below in zip(counts, counts[1:]):\n"
            "        if above - below > reach:\n"
            "            break\n"
            "        found += 1\n"
            "    return found",
            says="compare each with the first",
        ),
    )
}
