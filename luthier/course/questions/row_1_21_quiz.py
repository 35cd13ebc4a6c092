"""Questions of lesson 1.21: reading results, their intervals and seeds."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _difference(dice: Random) -> dict[str, Any]:
    return {
        "mean": dice.randrange(5, 80) / 1000,
        "sd": dice.randrange(30, 200) / 1000,
        "n": dice.randrange(20, 400),
    }


def _seeds(dice: Random) -> dict[str, Any]:
    return {"sd": dice.randrange(20, 400) / 10_000, "seeds": dice.randrange(3, 13)}


def _several(dice: Random) -> dict[str, Any]:
    return {"rate": dice.randrange(10, 100) / 10, "count": dice.randrange(3, 40)}


QUESTIONS = (
    Question(
        row="1.21",
        name="low-end",
        text="Two arms answer the same {n} dialogues. The mean difference is {mean}, and its standard deviation over "
        "dialogues is {sd}. What is the low end of the 95 % interval? Take 1.96 standard errors.",
        draw=_difference,
        answer=lambda mean, sd, n: mean - 1.96 * sd / math.sqrt(n),
        again=lambda mean, sd, n: mean - 1.96 * math.sqrt(sd * sd / n),
        wrong={
            "You took the standard deviation of one dialogue. That of the mean is smaller by the root of n.": (
                lambda mean, sd: mean - 1.96 * sd
            ),
            "You divided by n. The mean gets surer with the root of n.": lambda mean, sd, n: mean - 1.96 * sd / n,
            "You took one standard error. A 95 % interval reaches 1.96 of them.": (
                lambda mean, sd, n: mean - sd / math.sqrt(n)
            ),
            "That is the high end.": lambda mean, sd, n: mean + 1.96 * sd / math.sqrt(n),
            "You took half the width at each side. 1.96 standard errors go to each side.": (
                lambda mean, sd, n: mean - 1.96 * sd / math.sqrt(n) / 2
            ),
        },
        why="The standard error is {sd} / root of {n}. 1.96 of it below {mean} is {answer:.4g}.",
    ),
    Question(
        row="1.21",
        name="seeds",
        text="Two arms are each trained under {seeds} seeds. The score of one training has a standard deviation of "
        "{sd} over seeds, in both arms alike. What is the standard error of the difference of their means over seeds?",
        draw=_seeds,
        answer=lambda sd, seeds: sd * math.sqrt(2 / seeds),
        again=lambda sd, seeds: math.hypot(sd / math.sqrt(seeds), sd / math.sqrt(seeds)),
        wrong={
            "That is the standard error of one arm. Both arms move.": lambda sd, seeds: sd / math.sqrt(seeds),
            "You added the standard errors of both arms. Their squares add up.": (
                lambda sd, seeds: 2 * sd / math.sqrt(seeds)
            ),
            "That is for one seed. A mean over seeds moves less.": lambda sd: sd * math.sqrt(2),
            "You divided by the number of seeds, and not by its root.": lambda sd, seeds: math.sqrt(2) * sd / seeds,
        },
        why="Each mean has the variance {sd}^2 / {seeds}. Variances of two arms add up, and the root is {answer:.4g}.",
    ),
    Question(
        row="1.21",
        name="several",
        text="Where two arms are equal, a comparison calls one of them better in {rate} % of cases, by chance. "
        "Somebody makes {count} such comparisons, independent of each other. How likely is it that at least one calls "
        "an arm better?",
        draw=_several,
        answer=lambda rate, count: 100 * (1 - (1 - rate / 100) ** count),
        again=lambda rate, count: -100 * math.expm1(count * math.log1p(-rate / 100)),
        wrong={
            "That is the chance of one comparison. Each further one is another chance to err.": lambda rate: rate,
            "You added the chances up. Some cases have two errors and are counted twice.": (
                lambda rate, count: rate * count
            ),
            "That is the chance that none of them errs.": lambda rate, count: 100 * (1 - rate / 100) ** count,
        },
        why="None errs with (1 - {rate} / 100) to the power {count}. So at least one does in {answer:.4g} % of cases. "
        "Studies therefore make intervals wider that hold for all pairs at once.",
        unit="%",
    ),
    Choice(
        row="1.21",
        name="one-seed",
        text="Arm A has a mean of .31 and arm B of .30. Each was trained once. The interval over dialogues lies above "
        "zero. What may you say?",
        right="these trained weights of A answer such dialogues better than these of B",
        wrong={
            "the recipe of A is better than that of B": "Another seed gives other weights. One training of each says "
            "nothing about how much that changes.",
            "nothing, since the means are so close": "The interval lies above zero, so the difference is not by chance "
            "of the dialogues.",
            "A is better by .01 on every dialogue": "A mean says nothing about each single dialogue.",
        },
        why="The interval is over dialogues, with the weights as they are. For the recipe, train several seeds.",
    ),
)

WRONG_SOLUTIONS = {
    "reads": (
        WrongSolution(
            "def reads(low, high, margin):\n    return 'better' if low > 0 else 'worse' if high < 0 else 'cannot tell'",
            says="inside the margin, is equivalent",
        ),
        WrongSolution(
            "def reads(low, high, margin):\n"
            "    if -margin < low and high < margin:\n"
            "        return 'equivalent'\n"
            "    return 'better' if low > 0 else 'worse' if high < 0 else 'cannot tell'",
            says="even where it is less than the margin",
        ),
        WrongSolution(
            "def reads(low, high, margin):\n"
            "    middle = (low + high) / 2\n"
            "    return 'better' if middle > 0 else 'worse'",
            says="holds zero and is wide cannot tell",
        ),
    )
}
