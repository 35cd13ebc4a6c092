"""Questions of lab 2.3b: adapters on the disk."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _adapter(dice: Random) -> dict[str, Any]:
    return {
        "layers": dice.randrange(10, 300),
        "inputs": dice.randrange(256, 4096, 64),
        "outputs": dice.randrange(256, 4096, 64),
        "rank": dice.choice((4, 8, 16, 32)),
    }


def _tasks(dice: Random) -> dict[str, Any]:
    return {"tasks": dice.randrange(3, 60), "model": dice.randrange(200, 9000, 10), "adapter": dice.randrange(2, 60)}


QUESTIONS = (
    Question(
        row="lab2.3b",
        name="megabytes",
        text="LoRA of rank {rank} goes into {layers} layers of {inputs} inputs and {outputs} outputs. It is saved at "
        "four bytes a number. How many MB (10^6 bytes) does the adapter take?",
        draw=_adapter,
        answer=lambda layers, inputs, outputs, rank: layers * rank * (inputs + outputs) * 4 / 1e6,
        again=lambda layers, inputs, outputs, rank: (
            sum(4 * rank * inputs + 4 * rank * outputs for _ in range(layers)) / 1e6
        ),
        wrong={
            "You counted numbers, not bytes.": (
                lambda layers, inputs, outputs, rank: layers * rank * (inputs + outputs) / 1e6
            ),
            "You saved the layers themselves. An adapter holds only what was added.": (
                lambda layers, inputs, outputs: layers * inputs * outputs * 4 / 1e6
            ),
            "You counted one of the two matrices.": lambda layers, inputs, rank: layers * rank * inputs * 4 / 1e6,
        },
        why="{layers} x {rank} x ({inputs} + {outputs}) x 4 bytes: {answer:.4g} MB.",
        unit="MB",
    ),
    Question(
        row="lab2.3b",
        name="tasks",
        text="A model takes {model:,} MB, an adapter {adapter} MB. How many MB does it save to keep {tasks} tasks as "
        "one model with adapters, in place of {tasks} fully tuned models?",
        draw=_tasks,
        answer=lambda tasks, model, adapter: tasks * model - (model + tasks * adapter),
        again=lambda tasks, model, adapter: (tasks - 1) * model - sum(adapter for _ in range(tasks)),
        wrong={
            "You forgot that the adapters need the model.": lambda tasks, model, adapter: tasks * (model - adapter),
            "You gave what model and adapters take.": lambda tasks, model, adapter: model + tasks * adapter,
            "You left out the adapters.": lambda tasks, model: (tasks - 1) * model,
        },
        why="{tasks} x {model:,} less ({model:,} + {tasks} x {adapter}): {answer:,} MB.",
        unit="MB",
    ),
    Choice(
        row="lab2.3b",
        name="probes",
        text="An adapter loads without an error in a new process. What does that show?",
        right="that the file can be read; probes show whether it answers as trained",
        wrong={
            "that it works": "An adapter that was saved before its training loads just as well.",
            "that it belongs to this model": "Sizes may fit another model of the same shape.",
            "that its scores can be trusted": "Scores belong to answers that were asked for again.",
        },
        why="Equal answers to the same probes show that what was trained is what was saved.",
    ),
)

WRONG_SOLUTIONS = {
    "differing": (
        WrongSolution(
            "def differing(here, there):\n"
            "    return [one for one in here if one in there and here[one].strip() != there[one].strip()]",
            says="without an answer",
        ),
        WrongSolution(
            "def differing(here, there):\n    return [one for one in here if here[one] == there.get(one)]",
            says="name the probes",
        ),
        WrongSolution(
            "def differing(here, there):\n    return [one for one in here if here[one] != there.get(one)]",
            says="white space",
        ),
    )
}
