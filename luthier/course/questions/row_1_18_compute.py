"""Questions of lesson 1.18: what training takes."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _slide(dice: Random) -> dict[str, Any]:
    """A table of bytes, and a number that somebody printed below it."""
    weights, activations = dice.choice((2, 4)), dice.randrange(4, 21)
    billions = dice.choice((0.5, 1, 2, 3, 7, 8, 13, 30, 70, 175))
    table = 2 * weights + 8 + activations
    printed = round(billions * table * dice.uniform(1.4, 6), 1)
    return {"weights": weights, "activations": activations, "billions": billions, "printed": printed}


def _training(dice: Random) -> dict[str, Any]:
    return {"millions": dice.randrange(100, 20_000, 5), "width": 2}


QUESTIONS = (
    Question(
        row="1.18",
        name="factor",
        text="A slide lists bytes a parameter: weights {weights}, optimizer states 8, gradients {weights}, activations "
        "{activations}. Below it stands: a model of {billions} billion parameters needs {printed} GB. "
        "How many times too large is the printed number, by the slide's own table?",
        draw=_slide,
        answer=lambda weights, activations, billions, printed: printed / (billions * (2 * weights + 8 + activations)),
        again=lambda weights, activations, billions, printed: (
            printed * 1e9 / sum(each * billions * 1e9 for each in (weights, 8, weights, activations))
        ),
        wrong={
            "You compared with the weights alone; gradients, optimizer states and activations are in the table too.": (
                lambda weights, billions, printed: printed / (billions * weights)
            ),
            "You left the activations out; they are in the table too.": (
                lambda weights, billions, printed: printed / (billions * (2 * weights + 8))
            ),
            "You divided the wrong way round: the printed number is the larger one.": (
                lambda weights, activations, billions, printed: billions * (2 * weights + 8 + activations) / printed
            ),
        },
        why="Sum the table, multiply by the parameters, and divide the printed number by that: {answer:.3g}.",
    ),
    Question(
        row="1.18",
        name="memory",
        text="A model has {millions:,} million parameters, and all of them train. Weight, gradient and both of AdamW's "
        "moments are numbers of {width} bytes each. How many GB (10^9 bytes) do these take, without activations?",
        draw=_training,
        answer=lambda millions, width: 4 * width * millions / 1000,
        again=lambda millions, width: sum([millions * 10**6 * width] * 4) / 10**9,
        wrong={
            "You counted the weights alone. Training also holds a gradient and two moments for each weight.": (
                lambda millions, width: width * millions / 1000
            ),
            "You counted three numbers for each weight. There are four: AdamW keeps two moments.": (
                lambda millions, width: 3 * width * millions / 1000
            ),
            "You kept the moments at four bytes. Here they are numbers of the same width as the weights.": (
                lambda millions, width: (2 * width + 8) * millions / 1000
            ),
            "You took a GB as 2^30 bytes.": lambda millions, width: 4 * width * millions * 10**6 / 2**30,
        },
        why="Four numbers of {width} bytes for each of {millions:,} million parameters make {answer:.4g} GB.",
        unit="GB",
    ),
    Choice(
        row="1.18",
        name="grows",
        text="You read twice as many rows in a training step. Which term of memory grows?",
        right="the activations",
        wrong={
            "the weights": "The weights are the model itself; what it reads does not change their number.",
            "the optimizer states": "They belong to the parameters, two for each, whatever is read.",
            "the gradients": "A gradient belongs to a parameter. Those of all rows are summed into it.",
        },
        why="What each layer computes for each token is kept until the way back, so it grows with the rows.",
    ),
)

WRONG_SOLUTIONS = {
    "training_bytes": (
        WrongSolution(
            "def training_bytes(parameters, trainable, width):\n    return 4 * parameters * width",
            says="a frozen parameter has no gradient",
        ),
        WrongSolution(
            "def training_bytes(parameters, trainable, width):\n    return parameters * width + 2 * trainable * width",
            says="count a weight, a gradient and two moments",
        ),
        WrongSolution(
            "def training_bytes(parameters, trainable, width):\n    return 4 * parameters + 12 * trainable",
            says="a number takes `width` bytes",
        ),
    )
}
