"""Questions of lab 2.3c: people against a metric."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _counts(dice: Random) -> dict[str, Any]:
    return {
        "same": dice.randrange(10, 90),
        "other": dice.randrange(5, 80),
        "metric_ties": dice.randrange(2, 30),
        "ties": dice.randrange(5, 60),
    }


def _coin(dice: Random) -> dict[str, Any]:
    return {"pairs": dice.randrange(60, 900), "points": dice.randrange(20, 120) / 10}


QUESTIONS = (
    Question(
        row="lab2.3c",
        name="agreement",
        text="People and ROUGE-1 prefer the same text in {same} pairs and different ones in {other} pairs. In "
        "{metric_ties} further pairs people prefer a text and ROUGE-1 has a tie. In {ties} pairs people see a tie. "
        "In how many percent do they agree, with ties of people left out and ties of the metric counted half?",
        draw=_counts,
        answer=lambda same, other, metric_ties: 100 * (same + metric_ties / 2) / (same + other + metric_ties),
        again=lambda same, other, metric_ties: 50 + 50 * (same - other) / (same + other + metric_ties),
        wrong={
            "You kept the ties of people. There is nothing for the metric to agree with.": (
                lambda same, other, metric_ties, ties: (
                    100 * (same + metric_ties / 2) / (same + other + metric_ties + ties)
                )
            ),
            "You left out the ties of the metric. It had a chance to agree and did not take it.": (
                lambda same, other: 100 * same / (same + other)
            ),
            "You counted ties of the metric as disagreement.": (
                lambda same, other, metric_ties: 100 * same / (same + other + metric_ties)
            ),
        },
        why="({same} + {metric_ties} / 2) of {same} + {other} + {metric_ties} pairs: {answer:.3g} %.",
        unit="%",
    ),
    Question(
        row="lab2.3c",
        name="coin",
        text="A coin agrees with people in half of {pairs} pairs on average. The share has a standard error of "
        "root(0.25 / pairs). A metric lies {points} points above one half. How many standard errors is that?",
        draw=_coin,
        answer=lambda pairs, points: points / 100 / (0.25 / pairs) ** 0.5,
        again=lambda pairs, points: 2 * points * pairs**0.5 / 100,
        wrong={
            "You left out the root.": lambda pairs, points: points / 100 / (0.25 / pairs),
            "You took 0.5 as the error of the share. It is the spread of a single pair.": (
                lambda points: points / 100 / 0.5
            ),
            "You took one half plus the points.": lambda pairs, points: (0.5 + points / 100) / (0.25 / pairs) ** 0.5,
        },
        why="{points} points are {answer:.3g} standard errors of root(0.25 / {pairs}).",
    ),
    Choice(
        row="lab2.3c",
        name="denied",
        text="A summary is the reference with one word more: not. What does ROUGE-1 give it?",
        right="nearly full marks",
        wrong={
            "zero, since it says the opposite": "ROUGE counts words. It does not know what they say.",
            "less than a paraphrase with other words": "A paraphrase shares fewer words, so it gets less.",
            "half, since one of two facts is wrong": "ROUGE has no facts, only words.",
        },
        why="All words of the reference are there. One more word costs a little precision.",
    ),
)

WRONG_SOLUTIONS = {
    "agreement": (
        WrongSolution(
            "def agreement(votes, differences):\n"
            "    same = [(vote > 0) == (one > 0) for vote, one in zip(votes, differences)]\n"
            "    return sum(same) / len(same)",
            says="a tie are left out",
        ),
        WrongSolution(
            "def agreement(votes, differences):\n"
            "    same = [(vote > 0) == (one > 0) for vote, one in zip(votes, differences) if vote]\n"
            "    return sum(same) / len(same) if same else 0.5",
            says="counts as half",
        ),
    )
}
