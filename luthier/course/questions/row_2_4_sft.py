"""Questions of lesson 2.4: which tokens are corrected, and what a loss is the mean of."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _padded(dice: Random) -> dict[str, Any]:
    return {
        "row": dice.choice((256, 384, 512, 768, 1024)),
        "target": dice.randrange(20, 120),
        "honest": round(dice.uniform(1.2, 6), 2),
        "pad": round(dice.uniform(0.002, 0.04), 3),
    }


def _batches(dice: Random) -> dict[str, Any]:
    return {
        "n": dice.randrange(10, 90),
        "m": dice.randrange(150, 900),
        "a": round(dice.uniform(3, 6), 2),
        "b": round(dice.uniform(0.8, 2.5), 2),
        "rows_a": dice.randrange(5, 9),
        "rows_b": dice.randrange(2, 5),
    }


QUESTIONS = (
    Question(
        row="2.4",
        name="printed",
        text="Labels are filled up to {row} positions, and padding counts as an answer. An answer has {target} tokens. "
        "Their mean loss is {honest}; that of the padding is {pad}. Which mean loss is printed for this row?",
        draw=_padded,
        answer=lambda row, target, honest, pad: (target * honest + (row - target) * pad) / row,
        again=lambda row, target, honest, pad: pad + (honest - pad) * target / row,
        wrong={
            "That is the loss of the answer alone. Padding is counted here, and it is the larger part.": (
                lambda honest: honest
            ),
            "You took the mean of both means. Each counts with its number of positions.": (
                lambda honest, pad: (honest + pad) / 2
            ),
            "You forgot to divide by all positions: padding is counted in the number too.": (
                lambda row, target, honest, pad: (target * honest + (row - target) * pad) / target
            ),
        },
        why="Sum {target} x {honest} and the rest x {pad}, and divide by all {row} positions: {answer:.3g}.",
    ),
    Question(
        row="2.4",
        name="mean",
        text="A training step reads two micro-batches. The first has {rows_a} rows, {n} supervised tokens and a mean "
        "loss of {a}. The second has {rows_b} rows with {m} supervised tokens and a mean loss of {b}. What is the "
        "mean loss of a supervised token in this step?",
        draw=_batches,
        answer=lambda n, m, a, b: (n * a + m * b) / (n + m),
        again=lambda n, m, a, b: b + (a - b) * n / (n + m),
        wrong={
            "You took the mean of the means. A token of the small batch would count more than one of the large.": (
                lambda a, b: (a + b) / 2
            ),
            "You weighted by rows. The loss is a mean over tokens.": (
                lambda rows_a, rows_b, a, b: (rows_a * a + rows_b * b) / (rows_a + rows_b)
            ),
            "You added the means.": lambda a, b: a + b,
        },
        why="Sum the losses, {n} x {a} + {m} x {b}, and divide once by {n} + {m}: {answer:.3g}.",
    ),
    Choice(
        row="2.4",
        name="low",
        text="After a few minutes of fine-tuning a program prints a loss of 0.07. What do you look at first?",
        right="which positions the loss is the mean of",
        wrong={
            "nothing; a loss near zero means that it has learned": "If padding counts, a model that knows only padding "
            "has such a loss.",
            "a higher learning rate": "The rate is no question before the number means something.",
            "a smaller model": "The size does not tell what the number counts.",
        },
        why="A mean is worth what it is taken over. With padding counted, nine of ten positions are trivial.",
    ),
)

WRONG_SOLUTIONS = {
    "labels": (
        WrongSolution(
            "def labels(prompt_ids, target_ids, row):\n"
            "    made = [-100] * len(prompt_ids) + list(target_ids)\n"
            "    return (made + [0] * (row - len(made)))[:row]",
            says="padding has the label -100",
        ),
        WrongSolution(
            "def labels(prompt_ids, target_ids, row):\n"
            "    made = list(prompt_ids) + list(target_ids)\n"
            "    return (made + [-100] * (row - len(made)))[:row]",
            says="the prompt is read and not corrected",
        ),
        WrongSolution(
            "def labels(prompt_ids, target_ids, row):\n"
            "    made = [-100] * len(prompt_ids) + list(target_ids)\n"
            "    made = (made + [0] * (row - len(made)))[:row]\n"
            "    return [-100 if one == 0 else one for one in made]",
            says="a 0 inside the answer is a token",
        ),
    )
}
