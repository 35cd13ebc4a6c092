"""Questions of lesson 2.5: weights with fewer bits."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _model(dice: Random) -> dict[str, Any]:
    linear = dice.randrange(100, 9000, 10)
    return {
        "linear": linear,
        "embedding": dice.randrange(30, 900, 10),
        "group": dice.choice((32, 64, 128)),
        "bits": dice.choice((3, 4)),
    }


def _group(dice: Random) -> dict[str, Any]:
    return {"largest": round(dice.uniform(0.2, 4), 3), "bits": dice.choice((3, 4, 5))}


QUESTIONS = (
    Question(
        row="2.5",
        name="megabytes",
        text="The linear layers of a model have {linear:,} million weights. They are stored with {bits} bits each, and "
        "{group} of them share a scale of 16 bits. The embedding table has {embedding} million weights, which keep "
        "16 bits. How many MB (10^6 bytes) is that together?",
        draw=_model,
        answer=lambda linear, embedding, group, bits: linear * (bits + 16 / group) / 8 + 2 * embedding,
        again=lambda linear, embedding, group, bits: float(
            Fraction(linear * bits, 8) + Fraction(linear, group) * 2 + 2 * embedding
        ),
        wrong={
            "You left the scales out. Each group has one, of 16 bits.": (
                lambda linear, embedding, bits: linear * bits / 8 + 2 * embedding
            ),
            "You rounded the embedding as well. It keeps its 16 bits.": (
                lambda linear, embedding, group, bits: (linear + embedding) * (bits + 16 / group) / 8
            ),
            "You gave each weight a scale. A group shares one.": (
                lambda linear, embedding, bits: linear * (bits + 16) / 8 + 2 * embedding
            ),
            "You took a weight of few bits as as many bytes.": (
                lambda linear, embedding, group, bits: linear * (bits + 16 / group) + 2 * embedding
            ),
        },
        why="Linear layers: {linear} x ({bits} + 16 / {group}) / 8. The embedding: 2 x {embedding}. Together "
        "{answer:.5g} MB.",
        unit="MB",
    ),
    Question(
        row="2.5",
        name="error",
        text="A group of weights is rounded to {bits} bits. The whole numbers go from -n to n. n is 2 to the power of "
        "{bits} - 1, less one. The largest weight, {largest}, becomes n. How far can a weight of the group move at "
        "most?",
        draw=_group,
        answer=lambda largest, bits: largest / (2 ** (bits - 1) - 1) / 2,
        again=lambda largest, bits: 0.5 * largest / sum(2**k for k in range(bits - 1)),
        wrong={
            "That is a whole step. A weight moves to the nearer end, so by half a step at most.": (
                lambda largest, bits: largest / (2 ** (bits - 1) - 1)
            ),
            "You divided by all numbers from -n to n. The largest weight is n steps from zero.": (
                lambda largest, bits: largest / (2**bits - 1) / 2
            ),
            "You left out the 'one less': n is 2 to the power of bits - 1, less one.": (
                lambda largest, bits: largest / 2 ** (bits - 1) / 2
            ),
        },
        why="A step is {largest} / n, and half of it is {answer:.3g}.",
    ),
    Choice(
        row="2.5",
        name="faster",
        text="A model answers on a processor. Its weights become int4, a quarter of their size, and its answers get "
        "slower. How can that be?",
        right="each product unpacks the weights first, and the program has no product of 4-bit numbers",
        wrong={
            "the model has more parameters now": "The number of weights stays. Each takes fewer bits.",
            "4-bit numbers are less exact, so more steps are needed": "A token takes the same products as before.",
            "that cannot be: fewer bits are always faster": "Fewer bits are less to read. Work decides too.",
        },
        why="Fewer bits save memory for sure, and time only where the program computes with them.",
    ),
)

WRONG_SOLUTIONS = {
    "round_group": (
        WrongSolution(
            "def round_group(weights, bits):\n"
            "    step = max(abs(weight) for weight in weights) / (2**bits - 1)\n"
            "    return [round(weight / step) * step if step else 0.0 for weight in weights]",
            says="a seventh of the largest weight",
        ),
        WrongSolution(
            "def round_group(weights, bits):\n"
            "    step = max(weights) / (2 ** (bits - 1) - 1)\n"
            "    return [round(weight / step) * step if step else 0.0 for weight in weights]",
            says="the largest weight may be a negative one",
        ),
        WrongSolution(
            "def round_group(weights, bits):\n"
            "    step = max(abs(weight) for weight in weights) / (2 ** (bits - 1) - 1)\n"
            "    return [round(weight / step) * step for weight in weights]",
            says="ZeroDivisionError",
        ),
    )
}
