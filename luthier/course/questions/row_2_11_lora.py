"""Questions of lesson 2.11: LoRA."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _matrix(dice: Random) -> dict[str, Any]:
    return {
        "inputs": dice.randrange(64, 4097, 32),
        "outputs": dice.randrange(64, 4097, 32),
        "rank": dice.choice((4, 8, 16, 32)),
    }


def _model(dice: Random) -> dict[str, Any]:
    layers, width = dice.randrange(12, 49), dice.randrange(512, 4097, 64)
    millions = round(12 * layers * width**2 * dice.uniform(0.9, 1.4) / 1e6)
    return {"layers": layers, "width": width, "rank": dice.choice((4, 8, 16, 32)), "millions": millions}


QUESTIONS = (
    Question(
        row="2.11",
        name="weights",
        text="A linear layer reads {inputs} numbers and writes {outputs}. How many weights does LoRA of rank {rank} "
        "train beside it?",
        draw=_matrix,
        answer=lambda inputs, outputs, rank: rank * (inputs + outputs),
        again=lambda inputs, outputs, rank: sum([inputs] * rank) + sum([rank] * outputs),
        wrong={
            "That is the layer's own matrix. LoRA leaves it as it is.": lambda inputs, outputs: inputs * outputs,
            "You multiplied inputs and outputs. The two thin matrices never meet as one large one.": (
                lambda inputs, outputs, rank: rank * inputs * outputs
            ),
            "You counted A alone. B has a column for each rank too.": lambda inputs, rank: rank * inputs,
            "You counted B alone. A has a row for each rank too.": lambda outputs, rank: rank * outputs,
            "You left the rank out.": lambda inputs, outputs: inputs + outputs,
        },
        why="A has {rank} x {inputs} weights and B {outputs} x {rank}: {answer:,} together.",
        tolerance=0,
    ),
    Question(
        row="2.11",
        name="share",
        text="A model has {millions:,} million parameters and {layers} layers of width {width}. In each layer LoRA of "
        "rank {rank} stands beside two square matrices, those of queries and values. What share of the model's own "
        "parameters does LoRA train, as a number from 0 to 1?",
        draw=_model,
        answer=lambda layers, width, rank, millions: layers * 2 * rank * 2 * width / (millions * 1e6),
        again=lambda layers, width, rank, millions: sum([(width + width) * rank] * (2 * layers)) / (millions * 10**6),
        wrong={
            "You counted one matrix in each layer. There are two.": (
                lambda layers, width, rank, millions: layers * rank * 2 * width / (millions * 1e6)
            ),
            "You counted one layer. Each layer has its own.": (
                lambda width, rank, millions: 2 * rank * 2 * width / (millions * 1e6)
            ),
            "You took whole matrices. LoRA trains two thin ones beside each.": (
                lambda layers, width, millions: layers * 2 * width * width / (millions * 1e6)
            ),
        },
        why="Each matrix gets {rank} x 2 x {width} weights. There are 2 x {layers} of them: {answer:.3g}.",
    ),
    Choice(
        row="2.11",
        name="shrinks",
        text="You fine-tuned a model with LoRA of rank 8 and merged the update. How large is the model now?",
        right="as large as before",
        wrong={
            "about 1 % of what it was": "That is the share that trained. The frozen weights are all still there.",
            "1 % larger, and slower": "That holds before merging. Merging adds the update to weights that are there.",
            "half as large": "No weight is removed, and none gets fewer bits.",
        },
        why="The adapter's file is small. The model that answers is the whole model.",
    ),
)

WRONG_SOLUTIONS = {
    "merged": (
        WrongSolution(
            "def merged(weight, a, b, alpha):\n"
            "    return [[old + sum(b[o][r] * a[r][i] for r in range(len(a))) for i, old in enumerate(row)]\n"
            "            for o, row in enumerate(weight)]",
            says="the update is scaled by alpha / rank",
        ),
        WrongSolution(
            "def merged(weight, a, b, alpha):\n"
            "    return [[old + alpha * sum(b[o][r] * a[r][i] for r in range(len(a))) for i, old in enumerate(row)]\n"
            "            for o, row in enumerate(weight)]",
            says="the rank is the number of a's rows",
        ),
        WrongSolution(
            "def merged(weight, a, b, alpha):\n"
            "    s = alpha / len(a)\n"
            "    return [[old + s * sum(b[i][r] * a[r][o] for r in range(len(a))) for i, old in enumerate(row)]\n"
            "            for o, row in enumerate(weight)]",
            says="get the sum of b[o][r] * a[r][i]",
        ),
    )
}
