"""Questions of lesson 2.13: what the table of a paired comparison counts."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _study(dice: Random) -> dict[str, Any]:
    return {"dialogues": dice.randrange(24, 400), "references": dice.randrange(2, 6), "sd": dice.randrange(30, 200)}


def _narrower(dice: Random) -> dict[str, Any]:
    return {"dialogues": dice.randrange(30, 900), "times": dice.choice((2, 3, 4, 5))}


QUESTIONS = (
    Question(
        row="2.13",
        name="half-width",
        text="Two arms answered {dialogues} dialogues, each with {references} references. The mean difference of one "
        "dialogue has a standard deviation of {sd} thousandths. Take 2 for Student's t. How many thousandths is the "
        "half width of the interval of the difference?",
        draw=_study,
        answer=lambda dialogues, sd: 2 * sd / math.sqrt(dialogues),
        again=lambda dialogues, sd: math.sqrt(4 * sd * sd / dialogues),
        wrong={
            "You counted rows. References of one dialogue are no further samples.": (
                lambda dialogues, references, sd: 2 * sd / math.sqrt(dialogues * references)
            ),
            "You gave the whole interval. The half width is one side of it.": (
                lambda dialogues, sd: 4 * sd / math.sqrt(dialogues)
            ),
            "You divided by the number of dialogues. The root of it counts.": lambda dialogues, sd: 2 * sd / dialogues,
            "You gave the standard error. The interval reaches two of them to each side.": (
                lambda dialogues, sd: sd / math.sqrt(dialogues)
            ),
        },
        why="Two times {sd} over the root of {dialogues} dialogues: {answer:.3g}.",
    ),
    Question(
        row="2.13",
        name="narrower",
        text="A comparison over {dialogues} dialogues has an interval that is too long. You want one that is {times} "
        "times shorter, from dialogues that vary as these do. How many dialogues does the test set need in all?",
        draw=_narrower,
        answer=lambda dialogues, times: dialogues * times * times,
        again=lambda dialogues, times: sum(dialogues for _ in range(times) for _ in range(times)),
        wrong={
            "You took as many times more dialogues. The interval falls with the root of their number.": (
                lambda dialogues, times: dialogues * times
            ),
            "You gave how many are to be added, not how many there are in all.": (
                lambda dialogues, times: dialogues * (times * times - 1)
            ),
        },
        why="{times} times shorter takes {times} x {times} times as many: {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="2.13",
        name="references",
        text="You have 60 dialogues with one reference each. People will write 120 more summaries. Where do they help "
        "a paired comparison most?",
        right="as references of 120 new dialogues",
        wrong={
            "as two more references of each dialogue": "They make each score steadier. But dialogues stay few, and "
            "most of the spread lies between dialogues.",
            "it makes no difference, 180 rows are 180 rows": "Rows of one dialogue say nearly the same. An interval "
            "that counts them as samples is too short.",
        },
        why="The interval counts dialogues. A new dialogue is a new sample.",
    ),
)

WRONG_SOLUTIONS = {
    "half_width": (
        WrongSolution(
            "def half_width(differences, units):\n"
            "    middle = sum(differences) / len(differences)\n"
            "    variance = sum((one - middle) ** 2 for one in differences) / (len(differences) - 1)\n"
            "    return 2 * (variance / len(differences)) ** 0.5",
            says="rows of one dialogue are one unit",
        ),
        WrongSolution(
            "def half_width(differences, units):\n"
            "    own = {}\n"
            "    for difference, unit in zip(differences, units):\n"
            "        own.setdefault(unit, []).append(difference)\n"
            "    means = [sum(rows) / len(rows) for rows in own.values()]\n"
            "    middle = sum(means) / len(means)\n"
            "    variance = sum((mean - middle) ** 2 for mean in means) / len(means)\n"
            "    return 2 * (variance / len(means)) ** 0.5",
            says="one less than the number of units",
        ),
    )
}
