"""Questions of lab 2.1b: leaks, and rows that do not fit."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _leak(dice: Random) -> dict[str, Any]:
    test = dice.randrange(50, 900, 10)
    return {"test": test, "leaked": dice.randrange(3, test // 5), "mean": dice.randrange(15, 55)}


def _window(dice: Random) -> dict[str, Any]:
    pairs = [(dice.randrange(380, 540), dice.randrange(10, 90)) for _ in range(8)]
    pairs[0] = (512 - pairs[0][1], pairs[0][1])  # the end token alone is too much
    dice.shuffle(pairs)
    return {"pairs": tuple(pairs), "lines": "; ".join(f"{a} and {b}" for a, b in pairs)}


QUESTIONS = (
    Question(
        row="lab2.1b",
        name="leak",
        text="A test set has {test} rows, of which {leaked} also stand in train. The tuned model scores 100 on these "
        "and {mean} on the others. How many points too high is its mean?",
        draw=_leak,
        answer=lambda test, leaked, mean: leaked * (100 - mean) / test,
        again=lambda test, leaked, mean: (100 * leaked + mean * (test - leaked)) / test - mean,
        wrong={
            "You gave the share of leaked rows. Each of them gains only what it lacked.": (
                lambda test, leaked: 100 * leaked / test
            ),
            "You gave the mean with the leak, not how much too high it is.": (
                lambda test, leaked, mean: (100 * leaked + mean * (test - leaked)) / test
            ),
            "You divided by the rows that did not leak. The mean is over all.": (
                lambda test, leaked, mean: leaked * (100 - mean) / (test - leaked)
            ),
        },
        why="{leaked} of {test} rows gain 100 - {mean} points each: {answer:.3g} on average.",
    ),
    Question(
        row="lab2.1b",
        name="window",
        text="Eight rows have these tokens of prompt and answer, without the end token: {lines}. The window is 512. "
        "How many rows do not fit into a decoder?",
        draw=_window,
        answer=lambda pairs: sum(a + b + 1 > 512 for a, b in pairs),
        again=lambda pairs: len(pairs) - sum(512 - a - b >= 1 for a, b in pairs),
        wrong={
            "You forgot the end token.": lambda pairs: sum(a + b > 512 for a, b in pairs),
            "You looked at the prompts alone. The answer stands in the same window.": (
                lambda pairs: sum(a > 512 for a, b in pairs)
            ),
            "You counted the rows that fit.": lambda pairs: sum(a + b + 1 <= 512 for a, b in pairs),
        },
        why="Add prompt, answer and one end token of each row: {answer} are above 512.",
        tolerance=0,
    ),
    Choice(
        row="lab2.1b",
        name="where",
        text="You find ten dialogues that stand in train and in test. What do you do?",
        right="take them out of train, and train again",
        wrong={
            "leave them in both, and train for fewer epochs": "One epoch is enough to show them to the model. Then the "
            "test no longer asks about new dialogues.",
            "nothing, ten rows are few": "Ten rows with full marks can move a mean by more than a training does.",
            "put all of them into dev": "Then dev chooses what has learned them by heart.",
        },
        why="The test set stays what was agreed. Train loses ten rows of many. Lesson 1.14 takes "
        "them out of test. That is sound too, but then the test is another one.",
    ),
)

WRONG_SOLUTIONS = {
    "over_window": (
        WrongSolution(
            "def over_window(rows, window):\n    return [at for at, (a, b) in enumerate(rows) if a + b > window]",
            says="the end token needs a place",
        ),
        WrongSolution(
            "def over_window(rows, window):\n    return [at for at, (a, b) in enumerate(rows) if a > window]",
            says="prompt and answer share",
        ),
        WrongSolution(
            "def over_window(rows, window):\n    return [at for at, (a, b) in enumerate(rows) if a + b + 1 >= window]",
            says="just fits",
        ),
    )
}
