"""Questions of lab 1.3b: two templates on the same dialogues."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _spreads(dice: Random) -> dict[str, Any]:
    return {
        "a": dice.randrange(50, 150) / 1000,
        "b": dice.randrange(50, 150) / 1000,
        "r": dice.randrange(30, 95, 5) / 100,
        "n": dice.randrange(6, 200),
    }


def _wins(dice: Random) -> dict[str, Any]:
    n = dice.randrange(8, 260)
    return {"n": n, "wins": dice.randrange(n // 2 + 1, n // 2 + 3 + round(0.7 * math.sqrt(n)))}


def _at_least(n: int, wins: int) -> float:
    """The chance of at least so many heads, in percent, counted outcome by outcome."""
    return float(100 * Fraction(sum(math.comb(n, k) for k in range(wins, n + 1)), 2**n))


def _by_steps(n: int, wins: int) -> float:
    """The same, coin by coin."""
    chances = [1.0]
    for _ in range(n):
        chances = [(x + y) / 2 for x, y in zip([0.0, *chances], [*chances, 0.0], strict=True)]
    return 100 * sum(chances[wins:])


QUESTIONS = (
    Question(
        row="lab1.3b",
        name="paired-error",
        text="Two templates answer the same {n} dialogues. Their scores have standard deviations of {a} and {b} over "
        "dialogues, and a correlation of {r}. What is the standard error of the mean difference?",
        draw=_spreads,
        answer=lambda a, b, r, n: math.sqrt((a * a + b * b - 2 * r * a * b) / n),
        again=lambda a, b, r, n: math.sqrt(((a - b) ** 2 + 2 * (1 - r) * a * b) / n),
        wrong={
            "You left the correlation out. What both templates find hard cancels in the difference.": (
                lambda a, b, n: math.hypot(a, b) / math.sqrt(n)
            ),
            "You added the part of the correlation. In a difference it is taken away.": (
                lambda a, b, r, n: math.sqrt((a * a + b * b + 2 * r * a * b) / n)
            ),
            "That is the standard deviation of one dialogue's difference. The mean of n moves less.": (
                lambda a, b, r: math.sqrt(a * a + b * b - 2 * r * a * b)
            ),
            "You added both standard errors.": lambda a, b, n: (a + b) / math.sqrt(n),
        },
        why="The variance of a difference is {a}^2 + {b}^2 - 2 x {r} x {a} x {b}. Divide by {n} and take the root: "
        "{answer:.4g}.",
    ),
    Question(
        row="lab1.3b",
        name="wins",
        text="Two templates are equally good, so on each dialogue a fair coin says which one wins. How likely is it "
        "that the first one wins on at least {wins} of {n} dialogues?",
        draw=_wins,
        answer=lambda n, wins: _at_least(n, wins),
        again=lambda n, wins: _by_steps(n, wins),
        wrong={
            "That is the chance of exactly so many. More wins are at least as many, too.": (
                lambda n, wins: 100 * math.comb(n, wins) / 2**n
            ),
            "That is the share of wins. The question is how often chance alone gives it.": lambda n, wins: (
                100 * wins / n
            ),
            "You counted more wins alone. At least so many are exactly so many, too.": (
                lambda n, wins: _at_least(n, wins + 1)
            ),
        },
        why="Add the chances of {wins} wins and of more: {answer:.4g} %.",
        unit="%",
    ),
    Choice(
        row="lab1.3b",
        name="verdict",
        text="The margin is .02. The difference of two templates has an interval from -.011 to +.058. Which word fits?",
        right="cannot tell",
        wrong={
            "better, since the middle is above zero": "The middle is only one value. The interval holds zero.",
            "equivalent, since the interval holds zero": "Equivalent needs an interval inside -.02 to +.02. This one "
            "reaches to .058.",
            "worse, since a part lies below zero": "A part on each side says that both are possible.",
        },
        why="It may be worth much, or nothing. More dialogues make the interval shorter.",
    ),
)

WRONG_SOLUTIONS = {
    "paired_difference": (
        WrongSolution(
            "def paired_difference(a, b):\n"
            "    error = math.hypot(stdev(a), stdev(b)) / math.sqrt(len(a))\n"
            "    return [sum(a) / len(a) - sum(b) / len(b), error]",
            says="nothing is unsure",
        ),
        WrongSolution(
            "def paired_difference(a, b):\n"
            "    differences = [x - y for x, y in zip(a, b)]\n"
            "    return [sum(differences) / len(a), stdev(differences)]",
            says="the root of n",
        ),
        WrongSolution(
            "def paired_difference(a, b):\n"
            "    differences = [abs(x - y) for x, y in zip(a, b)]\n"
            "    return [sum(differences) / len(a), stdev(differences) / math.sqrt(len(a))]",
            says="the sign is that of a - b",
        ),
    )
}
