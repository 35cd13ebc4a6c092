"""Questions of lesson 2.3: shares of a mixture."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _tokens(dice: Random) -> dict[str, Any]:
    return {
        "rows_a": dice.randrange(50, 500, 10),
        "rows_b": dice.randrange(50, 5000, 10),
        "long": dice.randrange(25, 90),
        "short": dice.randrange(2, 12),
    }


def _temperature(dice: Random) -> dict[str, Any]:
    return {"large": dice.randrange(1000, 90_000, 100), "small": dice.randrange(20, 900, 10)}


QUESTIONS = (
    Question(
        row="2.3",
        name="token-share",
        text="A training holds {rows_a} rows of summaries with {long} answer tokens each, and {rows_b} rows of labels "
        "with {short} answer tokens each. What percent of the answer tokens belong to the summaries?",
        draw=_tokens,
        answer=lambda rows_a, rows_b, long, short: 100 * rows_a * long / (rows_a * long + rows_b * short),
        again=lambda rows_a, rows_b, long, short: 100 / (1 + rows_b * short / (rows_a * long)),
        wrong={
            "You took the share of the rows. A row of long answers has more tokens.": (
                lambda rows_a, rows_b: 100 * rows_a / (rows_a + rows_b)
            ),
            "You took the lengths alone, as if the rows were equal.": (lambda long, short: 100 * long / (long + short)),
            "You gave the share of the labels.": (
                lambda rows_a, rows_b, long, short: 100 * rows_b * short / (rows_a * long + rows_b * short)
            ),
        },
        why="{rows_a} x {long} of {rows_a} x {long} + {rows_b} x {short} tokens: {answer:.3g} %.",
        unit="%",
    ),
    Question(
        row="2.3",
        name="temperature",
        text="Two tasks have {large:,} and {small} rows. They are mixed with a temperature of 2: each size is raised "
        "to the power 1/2. What percent of the samples does the small task get?",
        draw=_temperature,
        answer=lambda large, small: 100 * small**0.5 / (small**0.5 + large**0.5),
        again=lambda large, small: 100 / (1 + (large / small) ** 0.5),
        wrong={
            "You took the sizes themselves. That is a temperature of 1.": (
                lambda large, small: 100 * small / (small + large)
            ),
            "You squared the sizes. A temperature above one evens the shares out.": (
                lambda large, small: 100 * small**2 / (small**2 + large**2)
            ),
            "You compared with the large task alone, not with both together.": (
                lambda large, small: 100 * (small / large) ** 0.5
            ),
        },
        why="The roots of {small} and {large:,} share: {answer:.3g} %.",
        unit="%",
    ),
    Choice(
        row="2.3",
        name="equal",
        text="Two tasks get equally many rows in a training. Do they pull at the model equally?",
        right="no, the task with longer answers pulls more",
        wrong={
            "yes, equal rows are equal weight": "The loss is a mean over answer tokens. A row of long answers holds "
            "more of them.",
            "no, the task with longer inputs pulls more": "Inputs are read. Only answer tokens have a loss.",
            "no, the task that stands first pulls more": "Rows are shuffled.",
        },
        why="Each answer token weighs the same, so rows with more of them weigh more.",
    ),
)

WRONG_SOLUTIONS = {
    "token_shares": (
        WrongSolution(
            "def token_shares(rows, length):\n"
            "    total = sum(length.values())\n"
            "    return {task: own / total for task, own in length.items()}",
            says="its rows times its length",
        ),
        WrongSolution(
            "def token_shares(rows, length):\n"
            "    total = sum(rows.values())\n"
            "    return {task: own / total for task, own in rows.items()}",
            says="with equal rows",
        ),
    )
}
