"""Questions of lab 2.2a: which positions have a target."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _batch(dice: Random) -> dict[str, Any]:
    prompts = [dice.randrange(60, 400) for _ in range(3)]
    answers = [dice.randrange(8, 70) for _ in range(3)]
    lines = "; ".join(f"{a} and {b}" for a, b in zip(prompts, answers, strict=True))
    return {"prompts": tuple(prompts), "answers": tuple(answers), "lines": lines, "length": 512}


def _zeros(dice: Random) -> dict[str, Any]:
    return {
        "rows": dice.randrange(20, 600),
        "length": dice.choice((512, 768, 1024)),
        "prompt": dice.randrange(80, 300),
        "written": dice.randrange(10, 80),
    }


QUESTIONS = (
    Question(
        row="lab2.2a",
        name="targets",
        text="A batch has three rows with these tokens of prompt and answer, the end tokens not counted: {lines}. All "
        "are padded to {length}. How many positions have a target?",
        draw=_batch,
        answer=lambda answers: sum(answers) + 3,
        again=lambda answers: sum(one + 1 for one in answers),
        wrong={
            "You forgot the end tokens. They are learned too.": lambda answers: sum(answers),
            "You counted the prompts as well. They are read and not learned.": (
                lambda prompts, answers: sum(prompts) + sum(answers) + 3
            ),
            "You counted all positions, padding included.": lambda length: 3 * length,
        },
        why="The answers and one end token for each: {answer}.",
        tolerance=0,
    ),
    Question(
        row="lab2.2a",
        name="zeros",
        text="{rows} rows of an encoder-decoder have answers of {written} tokens, end token included. Somebody pads "
        "their labels to {length} with 0 in place of -100. What percent of the positions that have a loss are padding?",
        draw=_zeros,
        answer=lambda written, length: 100 * (length - written) / length,
        again=lambda rows, written, length: 100 - 100 * (rows * written) / (rows * length),
        wrong={
            "You gave the share of real targets.": lambda written, length: 100 * written / length,
            "You took the prompt off as well. An encoder-decoder's labels hold the answer alone.": (
                lambda prompt, written, length: 100 * (length - prompt - written) / length
            ),
            "You compared padding with the answers, not with all positions.": (
                lambda written, length: 100 * (length - written) / written
            ),
        },
        why="({length} - {written}) of {length} positions are padding: {answer:.3g} %.",
        unit="%",
    ),
    Choice(
        row="lab2.2a",
        name="end",
        text="A model was trained with labels that had no end token. What do you see when it answers?",
        right="it writes on until its limit of new tokens",
        wrong={
            "it writes nothing": "It learned to write answers. Only their end was never shown to it.",
            "it stops after the first sentence": "Nothing taught it to stop anywhere.",
            "its loss is higher": "The loss is no sign of it; it is computed on the targets that are there.",
        },
        why="The end token is a token like others, and has to be learned like others.",
    ),
)

WRONG_SOLUTIONS = {
    "labels_of": (
        WrongSolution(
            "def labels_of(rows, end, length):\n"
            "    found = []\n"
            "    for prompt, target in rows:\n"
            "        own = ([-100] * len(prompt) + [*target, end])[:length]\n"
            "        found.append(own + [0] * (length - len(own)))\n"
            "    return found",
            says="padding has -100 too",
        ),
        WrongSolution(
            "def labels_of(rows, end, length):\n"
            "    found = []\n"
            "    for prompt, target in rows:\n"
            "        own = [*prompt, *target, end][:length]\n"
            "        found.append(own + [-100] * (length - len(own)))\n"
            "    return found",
            says="the prompt has -100",
        ),
        WrongSolution(
            "def labels_of(rows, end, length):\n"
            "    found = []\n"
            "    for prompt, target in rows:\n"
            "        own = [-100] * len(prompt) + [*target, end]\n"
            "        found.append(own + [-100] * (length - len(own)))\n"
            "    return found",
            says="cut at its end",
        ),
    )
}
