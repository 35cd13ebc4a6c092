"""Questions of lesson 2.2: what a small training reads."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _training(dice: Random) -> dict[str, Any]:
    return {"rows": dice.randrange(20, 2000), "batch": dice.choice((4, 8, 16)), "epochs": dice.randrange(2, 9)}


def _tokens(dice: Random) -> dict[str, Any]:
    return {
        "rows": dice.randrange(20, 900),
        "prompt": dice.randrange(30, 300),
        "answers": dice.randrange(5, 60),
        "epochs": dice.randrange(2, 6),
    }


QUESTIONS = (
    Question(
        row="2.2",
        name="steps",
        text="A task has {rows} training rows. A step reads {batch} of them, and the last step of an epoch reads what "
        "is left. How many steps do {epochs} epochs have?",
        draw=_training,
        answer=lambda rows, batch, epochs: epochs * math.ceil(rows / batch),
        again=lambda rows, batch, epochs: sum(len(range(0, rows, batch)) for _ in range(epochs)),
        wrong={
            "You gave the steps of one epoch.": lambda rows, batch: math.ceil(rows / batch),
            "You counted a step for each row.": lambda rows, epochs: rows * epochs,
            "You left out the last step of each epoch, which reads what is left.": (
                lambda rows, batch, epochs: epochs * (rows // batch)
            ),
        },
        why="{rows} rows are {batch} a step and one step for the rest, {epochs} times: {answer:,}.",
        tolerance=0,
    ),
    Question(
        row="2.2",
        name="tokens",
        text="{rows} rows have {prompt} tokens of prompt and {answers} tokens of answer each. They are read for "
        "{epochs} epochs. How many targets does the model learn from in all?",
        draw=_tokens,
        answer=lambda rows, answers, epochs: rows * answers * epochs,
        again=lambda rows, answers, epochs: sum(rows * answers for _ in range(epochs)),
        wrong={
            "You counted the prompts as well. They are read and have no target.": (
                lambda rows, prompt, answers, epochs: rows * (prompt + answers) * epochs
            ),
            "You counted one epoch.": lambda rows, answers: rows * answers,
            "You counted one target for each row.": lambda rows, epochs: rows * epochs,
        },
        why="{rows} x {answers} x {epochs} = {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="2.2",
        name="few",
        text="You have 48 rows that show one form of answer. Is a fine-tuning worth a try?",
        right="yes, a form is learned from few rows; measure it on new ones",
        wrong={
            "no, fine-tuning takes thousands of rows": "Knowledge may. A form is learned in a few steps.",
            "yes, and no test rows are needed with so few": "Without new rows nobody knows whether it was learned.",
            "no, a prompt can always do the same": "Small models often do not follow a prompt. That is measured too.",
        },
        why="Few rows teach a form. A test set that was kept aside shows whether they did.",
    ),
)

WRONG_SOLUTIONS = {
    "in_form": (
        WrongSolution(
            "def in_form(answers):\n    return sum(answer.count(' | ') == 2 for answer in answers) / len(answers)",
            says="a number in digits",
        ),
        WrongSolution(
            "def in_form(answers):\n    return sum(answer != '' for answer in answers) / len(answers)",
            says="three parts",
        ),
    )
}
