"""Questions of lab 2.3a: how much LoRA trains."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _layers(dice: Random) -> dict[str, Any]:
    return {
        "inputs": dice.randrange(128, 4096, 64),
        "outputs": dice.randrange(128, 4096, 64),
        "rank": dice.choice((2, 4, 8, 16, 32)),
        "blocks": dice.randrange(4, 40),
    }


QUESTIONS = (
    Question(
        row="lab2.3a",
        name="trainable",
        text="A model has {blocks} blocks. LoRA of rank {rank} goes into one linear layer of each block, which has "
        "{inputs} inputs and {outputs} outputs. How many parameters train?",
        draw=_layers,
        answer=lambda inputs, outputs, rank, blocks: blocks * rank * (inputs + outputs),
        again=lambda inputs, outputs, rank, blocks: sum(inputs * rank + rank * outputs for _ in range(blocks)),
        wrong={
            "You counted the layer's own weights. They are frozen.": (
                lambda inputs, outputs, blocks: blocks * inputs * outputs
            ),
            "You counted one of the two matrices.": lambda inputs, rank, blocks: blocks * rank * inputs,
            "You counted one block.": lambda inputs, outputs, rank: rank * (inputs + outputs),
            "You multiplied the two matrices. Their product has the layer's size, but they are kept apart.": (
                lambda inputs, outputs, rank, blocks: blocks * rank * inputs * outputs
            ),
        },
        why="{blocks} x {rank} x ({inputs} + {outputs}) = {answer:,}.",
        tolerance=0,
    ),
    Question(
        row="lab2.3a",
        name="share",
        text="A layer has {inputs} inputs and {outputs} outputs. LoRA has rank {rank}. How many percent of the layer's "
        "own weights does LoRA train?",
        draw=_layers,
        answer=lambda inputs, outputs, rank: 100 * rank * (inputs + outputs) / (inputs * outputs),
        again=lambda inputs, outputs, rank: 100 * rank / outputs + 100 * rank / inputs,
        wrong={
            "You compared the rank with the inputs alone.": lambda inputs, rank: 100 * rank / inputs,
            "You compared the rank with the sum of both sides.": (
                lambda inputs, outputs, rank: 100 * rank / (inputs + outputs)
            ),
        },
        why="{rank} x ({inputs} + {outputs}) of {inputs} x {outputs}: {answer:.3g} %.",
        unit="%",
    ),
    Choice(
        row="lab2.3a",
        name="where",
        text="You raise LoRA's rank from 8 to 16. What doubles?",
        right="the trainable parameters and the adapter's file",
        wrong={
            "the memory of the training": "The frozen weights and the activations are most of it, and they stay.",
            "the model": "The model stays as it is. LoRA stands beside it.",
            "the time of a step": "Each token still passes through all the weights, and that is most of the work.",
        },
        why="Rank is the inner width of the two matrices. Only what follows from them doubles.",
    ),
)

WRONG_SOLUTIONS = {
    "lora_parameters": (
        WrongSolution(
            "def lora_parameters(layers, targets, rank):\n"
            "    meant = [path for path in layers if any(one in path for one in targets)]\n"
            "    return sum(rank * sum(layers[path]) for path in meant)",
            says="the last part of the path",
        ),
        WrongSolution(
            "def lora_parameters(layers, targets, rank):\n"
            "    return sum(2 * rank * sizes[0] for path, sizes in layers.items() if path.split('.')[-1] in targets)",
            says="add both",
        ),
        WrongSolution(
            "def lora_parameters(layers, targets, rank):\n"
            "    return sum(rank * sum(sizes) for sizes in layers.values())",
            says="each module that is meant",
        ),
    )
}
