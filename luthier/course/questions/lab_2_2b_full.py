"""Questions of lab 2.2b: steps, epochs and rows."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _training(dice: Random) -> dict[str, Any]:
    return {
        "rows": dice.randrange(200, 5000),
        "batch": dice.choice((4, 8, 16, 32)),
        "epochs": dice.randrange(2, 8),
        "most": dice.randrange(1, 6),
    }


def _limited(dice: Random) -> dict[str, Any]:
    return {"rows": dice.randrange(20, 150), "batch": dice.choice((4, 8, 16)), "limit": dice.randrange(100, 1500)}


def _finished(rows: int, batch: int, limit: int) -> int:
    """Epochs that end before the limit, step by step."""
    epochs = left = 0
    for _ in range(limit):
        left = (left or rows) - batch
        if left <= 0:
            epochs, left = epochs + 1, 0
    return epochs


QUESTIONS = (
    Question(
        row="lab2.2b",
        name="epochs",
        text="A training reads {rows} rows in batches of {batch}. The last batch of an epoch holds what is left. The "
        "settings ask for 1,000 epochs and at most {limit:,} steps. How many whole epochs does it finish?",
        draw=_limited,
        answer=lambda rows, batch, limit: limit // math.ceil(rows / batch),
        again=_finished,
        wrong={
            "The limit of steps wins over the number of epochs.": lambda: 1000,
            "You took each step for a row. A step reads a batch.": lambda rows, limit: limit // rows,
            "You left out the last, smaller batch of each epoch. It is a step too.": (
                lambda rows, batch, limit: limit // (rows // batch)
            ),
            "You counted the epoch that the limit breaks off.": (
                lambda rows, batch, limit: math.ceil(limit / math.ceil(rows / batch))
            ),
        },
        why="The rows make a step for each {batch}, and one for the rest. Into {limit:,} steps that goes "
        "{answer} times.",
        tolerance=0,
    ),
    Question(
        row="lab2.2b",
        name="unseen",
        text="A training has {rows:,} rows, batches of {batch}, {epochs} epochs, and a limit of {most} steps. What "
        "percent of the rows did the model never read?",
        draw=_training,
        answer=lambda rows, batch, most: 100 * (rows - batch * most) / rows,
        again=lambda rows, batch, most: 100 - 100 * batch * most / rows,
        wrong={
            "You gave the percent that it read.": lambda rows, batch, most: 100 * batch * most / rows,
            "You took the limit for a limit of rows. Each step reads a whole batch.": (
                lambda rows, most: 100 * (rows - most) / rows
            ),
            "You took the epochs times the limit. The limit is for the whole training.": (
                lambda rows, batch, most, epochs: 100 * (rows - batch * most * epochs) / rows
            ),
        },
        why="{most} steps read {most} x {batch} rows; of {rows:,} the rest, {answer:.4g} %, was never read.",
        unit="%",
    ),
    Choice(
        row="lab2.2b",
        name="one-step",
        text="A notebook trains with at most one step and shows that the tuned model beats the base. What is likely?",
        right="the tuned model was loaded from elsewhere, or the difference is chance",
        wrong={
            "one step is enough for a large model": "One step moves each number by about the learning rate.",
            "the batch was very large": "The settings say how large. It is a few rows.",
            "the loss was already low": "Then there was nothing to learn, and no gain either.",
        },
        why="One step of a few rows hardly moves a model. Look which weights were judged.",
    ),
)

WRONG_SOLUTIONS = {
    "steps_and_rows": (
        WrongSolution(
            "def steps_and_rows(rows, batch, epochs, most=None):\n"
            "    steps = rows // batch * epochs\n"
            "    steps = steps if most is None else min(steps, most)\n"
            "    return steps, min(rows, steps * batch)",
            says="the last batch of each epoch",
        ),
        WrongSolution(
            "def steps_and_rows(rows, batch, epochs, most=None):\n    return -(-rows // batch) * epochs, rows",
            says="a limit of steps wins",
        ),
        WrongSolution(
            "def steps_and_rows(rows, batch, epochs, most=None):\n"
            "    steps = -(-rows // batch) * epochs if most is None else most\n"
            "    return steps, min(rows, steps * batch)",
            says="changes nothing",
        ),
    )
}
