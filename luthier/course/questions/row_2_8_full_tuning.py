"""Questions of lesson 2.8: what full fine-tuning costs."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _training(dice: Random) -> dict[str, Any]:
    return {"millions": dice.randrange(200, 9000, 5), "activations": dice.randrange(2, 60)}


def _disk(dice: Random) -> dict[str, Any]:
    return {
        "millions": dice.randrange(200, 3000, 5),
        "adapter": dice.randrange(5, 40),
        "tasks": dice.randrange(5, 60),
    }


QUESTIONS = (
    Question(
        row="2.8",
        name="training",
        text="All {millions:,} million parameters of a model train in fp32 with AdamW. The activations take "
        "{activations} GB. How many GB (10^9 bytes) are held at the fullest moment, if everything is there at once?",
        draw=_training,
        answer=lambda millions, activations: 16 * millions / 1000 + activations,
        again=lambda millions, activations: sum([4e6 * millions] * 4) / 1e9 + activations,
        wrong={
            "You counted the weights alone. There are gradients, two moments and activations.": (
                lambda millions: 4 * millions / 1000
            ),
            "You left the activations out.": lambda millions: 16 * millions / 1000,
            "You forgot one of AdamW's two moments.": lambda millions, activations: 12 * millions / 1000 + activations,
            "You took two bytes for a number. fp32 has four.": (
                lambda millions, activations: 8 * millions / 1000 + activations
            ),
        },
        why="Sixteen bytes for each parameter, and the activations: {answer:.4g} GB.",
        unit="GB",
    ),
    Question(
        row="2.8",
        name="disk",
        text="A model of {millions:,} million parameters serves {tasks} tasks. All numbers are stored with two bytes. "
        "How many GB does it save to keep the model once with an adapter of {adapter} million parameters for each "
        "task, and not a model for each task?",
        draw=_disk,
        answer=lambda millions, adapter, tasks: 2 * (tasks * millions - millions - tasks * adapter) / 1000,
        again=lambda millions, adapter, tasks: (
            sum([2e6 * millions] * tasks) / 1e9 - (2e6 * millions + sum([2e6 * adapter] * tasks)) / 1e9
        ),
        wrong={
            "You forgot that the base is kept too.": (
                lambda millions, adapter, tasks: 2 * tasks * (millions - adapter) / 1000
            ),
            "You forgot the adapters themselves.": lambda millions, tasks: 2 * (tasks - 1) * millions / 1000,
            "That is what the adapters take, with their base, and not what they save.": (
                lambda millions, adapter, tasks: 2 * (millions + tasks * adapter) / 1000
            ),
        },
        why="{tasks} models, less one model and {tasks} adapters: {answer:.4g} GB.",
        unit="GB",
    ),
    Choice(
        row="2.8",
        name="issue",
        text="A card holds a model's weights with room to spare; the model answers well. Its full fine-tuning fails "
        "at the first optimizer step. What is the likeliest reason?",
        right="AdamW makes its two moments at the first step, and they no longer fit",
        wrong={
            "the model is too large for the card": "It answers there. Its weights fit.",
            "there are too many training rows": "Rows wait on the disk. Only those of one step are held.",
            "the learning rate is too high": "That spoils the loss. It takes no memory.",
        },
        why="Weights are a quarter of what a step holds, without activations.",
    ),
)

WRONG_SOLUTIONS = {
    "training_gigabytes": (
        WrongSolution(
            "def training_gigabytes(parameters, activations, trainable=1.0):\n"
            "    return 4 * parameters / 1e9 + activations",
            says="four numbers of four bytes",
        ),
        WrongSolution(
            "def training_gigabytes(parameters, activations, trainable=1.0):\n"
            "    return 16 * trainable * parameters / 1e9 + activations",
            says="frozen weights are held",
        ),
        WrongSolution(
            "def training_gigabytes(parameters, activations, trainable=1.0):\n    return 16 * parameters / 1e9",
            says="the activations come on top",
        ),
    )
}
