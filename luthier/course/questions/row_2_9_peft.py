"""Questions of lesson 2.9: what PEFT saves."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _share(dice: Random) -> dict[str, Any]:
    return {"base": dice.randrange(100_000, 9_000_000, 7) * 1000, "added": dice.randrange(400, 40_000, 3) * 1000}


def _memory(dice: Random) -> dict[str, Any]:
    return {"millions": dice.randrange(300, 9000, 5), "trained": dice.randrange(1, 40), "other": dice.randrange(1, 30)}


QUESTIONS = (
    Question(
        row="2.9",
        name="share",
        text="A model has {base:,} parameters. All are frozen. LoRA adds {added:,} that train. What share of all "
        "parameters of the adapted model trains, as a number from 0 to 1?",
        draw=_share,
        answer=lambda base, added: added / (base + added),
        again=lambda base, added: 1 - base / (base + added),
        wrong={
            "You took the frozen ones. They do not train.": lambda base, added: base / (base + added),
            "You divided the wrong way round.": lambda base, added: (base + added) / added,
        },
        why="{added:,} of {base:,} + {added:,} make {answer:.3g}.",
    ),
    Question(
        row="2.9",
        name="memory",
        text="A model has {millions:,} million parameters. LoRA trains {trained} million more. All numbers take four "
        "bytes; AdamW keeps two moments and one gradient for each parameter that trains. Activations take {other} GB "
        "in both cases. What share of full fine-tuning's memory does LoRA take, from 0 to 1?",
        draw=_memory,
        answer=lambda millions, trained, other: (
            (4 * millions + 16 * trained + 1000 * other) / (16 * millions + 1000 * other)
        ),
        again=lambda millions, trained, other: (
            ((millions + trained) * 4 + trained * 4 + 2 * trained * 4 + other * 1000)
            / (sum([4 * millions] * 4) + other * 1000)
        ),
        wrong={
            "You took the share of parameters. Frozen weights are held too, and so are activations.": (
                lambda millions, trained: trained / (millions + trained)
            ),
            "You left the activations out. Both need them.": (
                lambda millions, trained: (4 * millions + 16 * trained) / (16 * millions)
            ),
            "You left the frozen weights out. They are held, though they do not train.": (
                lambda millions, trained, other: (16 * trained + 1000 * other) / (16 * millions + 1000 * other)
            ),
        },
        why="LoRA: 4 x {millions} + 16 x {trained} MB and activations. Full: 16 x {millions} MB and activations. "
        "That is {answer:.3g}.",
    ),
    Choice(
        row="2.9",
        name="saves",
        text="LoRA trains half a percent of a model's parameters. What becomes about 200 times smaller?",
        right="gradients, optimizer states and the file that a task needs",
        wrong={
            "the memory of training": "Frozen weights and activations are still held.",
            "the time of training": "The whole model is still read forwards, and nearly all of it backwards.",
            "the model that answers": "It answers with all its weights, and with the adapter.",
        },
        why="What belongs to each parameter that trains shrinks with their number, and nothing else does.",
    ),
)

WRONG_SOLUTIONS = {
    "disk_bytes": (
        WrongSolution(
            "def disk_bytes(parameters, adapter, tasks, width):\n"
            "    return {'full': tasks * parameters * width, 'adapters': tasks * adapter * width}",
            says="an adapter needs its base as well",
        ),
        WrongSolution(
            "def disk_bytes(parameters, adapter, tasks, width):\n"
            "    return {'full': tasks * parameters * width, 'adapters': tasks * (parameters + adapter) * width}",
            says="the base stands there once",
        ),
        WrongSolution(
            "def disk_bytes(parameters, adapter, tasks, width):\n"
            "    return {'full': tasks * parameters * 4, 'adapters': (parameters + tasks * adapter) * 4}",
            says="a number takes `width` bytes",
        ),
    )
}
