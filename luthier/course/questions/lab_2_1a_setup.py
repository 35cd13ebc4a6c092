"""Questions of lab 2.1a: where a cell runs, and what a configuration trains."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _config(dice: Random) -> dict[str, Any]:
    return {
        "millions": dice.randrange(60, 900),
        "width": dice.randrange(256, 2048, 64),
        "layers": dice.randrange(6, 40),
        "rank": dice.choice((4, 8, 16, 32)),
    }


def _versions(dice: Random) -> dict[str, Any]:
    major = dice.randrange(0, 5)
    minors = dice.sample(range(2, 40), 5)
    names = [f"{major}.{minor}" for minor in minors]
    return {"major": major, "minors": tuple(minors), "shown": ", ".join(names)}


QUESTIONS = (
    Question(
        row="lab2.1a",
        name="share",
        text="A model has {millions} million parameters in {layers} blocks. LoRA of rank {rank} goes into two square "
        "layers of each block, with {width} inputs and outputs. What percent of the model's parameters is that?",
        draw=_config,
        answer=lambda millions, width, layers, rank: 100 * layers * 2 * rank * 2 * width / (millions * 1e6),
        again=lambda millions, width, layers, rank: (
            sum(rank * width + width * rank for _ in range(2 * layers)) / millions / 10_000
        ),
        wrong={
            "You counted one layer of each block.": (
                lambda millions, width, layers, rank: 100 * layers * rank * 2 * width / (millions * 1e6)
            ),
            "You counted one matrix in one layer. LoRA has two in each.": (
                lambda millions, width, layers, rank: 100 * layers * rank * width / (millions * 1e6)
            ),
            "You took the rank twice.": (
                lambda millions, width, layers, rank: 100 * layers * 2 * rank * rank * width / (millions * 1e6)
            ),
        },
        why="{layers} x 2 layers x {rank} x (2 x {width}) of {millions} million: {answer:.3g} %.",
        unit="%",
    ),
    Question(
        row="lab2.1a",
        name="newest",
        text="These versions of a package are offered: {shown}. Which one is the newest? (Answer with the version.)",
        draw=_versions,
        answer=lambda major, minors: f"{major}.{max(minors)}",
        again=lambda major, minors: ".".join(map(str, sorted((major, one) for one in minors)[-1])),
        wrong={
            "You compared them as decimal numbers. The parts are compared one by one.": (
                lambda major, minors: max((f"{major}.{one}" for one in minors), key=float)
            ),
        },
        why="The first part is the same, and {answer} has the largest second part.",
    ),
    Choice(
        row="lab2.1a",
        name="which",
        text="You ran pip install in a terminal, and the notebook still has the old version. What is the likeliest "
        "reason?",
        right="the terminal's pip belongs to another Python",
        wrong={
            "the package is broken": "Then it would not have installed. The notebook looks in another place.",
            "pip needs administrator rights": "It would have said so.",
            "notebooks cannot use new packages": "They can, after the kernel is started again, if it is their Python.",
        },
        why="Each Python has packages of its own. sys.executable in a cell says which one runs it.",
    ),
)

WRONG_SOLUTIONS = {
    "too_old": (
        WrongSolution(
            "def too_old(wanted, found):\n"
            "    return [name for name in wanted if name not in found or float(found[name]) < float(wanted[name])]",
            says="compare part by part",
        ),
        WrongSolution(
            "def too_old(wanted, found):\n"
            "    def parts(version):\n"
            "        return [int(part) for part in version.split('.')]\n"
            "    return [name for name in wanted if name not in found or parts(found[name]) < parts(wanted[name])]",
            says="the same version",
        ),
        WrongSolution(
            "def too_old(wanted, found):\n    return [name for name in found if name in wanted]",
            says="older than wanted",
        ),
    )
}
