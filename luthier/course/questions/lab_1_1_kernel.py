"""Questions of lab 1.1: which Python runs a cell."""

from __future__ import annotations

from pathlib import PurePosixPath
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution

FOLDERS = ("/home/me/envs", "/opt/envs", "/srv/python", "/home/me/work", "/usr/local/envs")
NAMES = ("course", "base", "torch", "plain", "lab", "old", "new", "study")


def _pythons(dice: Random) -> dict[str, Any]:
    kernel, terminal = (f"{dice.choice(FOLDERS)}/{name}{dice.randrange(1, 30)}" for name in dice.sample(NAMES, 2))
    notebook = f"/home/me/notebooks/{dice.choice(NAMES)}{dice.randrange(1, 30)}"
    return {"kernel": kernel, "terminal": terminal, "notebook": notebook}


def _versions(dice: Random) -> dict[str, Any]:
    versions = tuple(
        f"{dice.choice((3, 4))}.{dice.choice((dice.randrange(2, 10), dice.randrange(10, 60)))}.{dice.randrange(0, 12)}"
        for _ in range(5)
    )
    return {"versions": versions, "shown": ", ".join(versions)}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


QUESTIONS = (
    Question(
        row="lab1.1",
        name="where",
        text="A notebook in {notebook} has a kernel that runs {kernel}/bin/python. In a terminal, `which pip` says "
        "{terminal}/bin/pip. You type `pip install rouge-score` in the terminal. Into which environment does it go? "
        "Write its folder.",
        draw=_pythons,
        answer=lambda terminal: terminal,
        again=lambda terminal: str(PurePosixPath(f"{terminal}/bin/pip").parents[1]),
        wrong={
            "That is the kernel's environment. The terminal's pip knows nothing of the kernel.": lambda kernel: kernel,
            "That is where the notebook lies. A notebook has no packages.": lambda notebook: notebook,
            "That is the folder of programs. Packages belong to the environment above it.": (
                lambda terminal: f"{terminal}/bin"
            ),
        },
        why="A pip installs into the environment that it belongs to: {answer}. The cell does not see it there.",
        tolerance=0,
    ),
    Question(
        row="lab1.1",
        name="newest",
        text="Which of these versions is the newest: {shown}?",
        draw=_versions,
        answer=lambda versions: max(versions, key=_numbers),
        again=lambda versions: sorted(versions, key=lambda one: [f"{part:04d}" for part in _numbers(one)])[-1],
        wrong={
            "You compared letter by letter. Between the points stand numbers, and 10 is more than 9.": (
                lambda versions: max(versions)
            ),
            "That is the oldest one.": lambda versions: min(versions, key=_numbers),
            "You looked at the last number first. The first one counts most.": (
                lambda versions: max(versions, key=lambda one: _numbers(one)[::-1])
            ),
        },
        why="Compare the numbers between the points from left to right: {answer}.",
        tolerance=0,
    ),
    Choice(
        row="lab1.1",
        name="pip",
        text="`import rouge_score` fails in a cell, although you have installed it in a terminal. What do you look at "
        "first?",
        right="sys.executable in the cell, and the Python that the pip of the terminal belongs to",
        wrong={
            "whether the notebook is saved": "A notebook is only the page. The kernel imports.",
            "whether the machine has enough memory": "Memory is not what an import lacks when it says that there is no "
            "such module.",
            "the version of the browser": "The browser shows the page and runs nothing.",
        },
        why="Most often they are two Pythons. `%pip install` in a cell takes the kernel's.",
    ),
)

WRONG_SOLUTIONS = {
    "at_least": (
        WrongSolution("def at_least(version, wanted):\n    return version >= wanted", says="57 is more than 9"),
        WrongSolution(
            "def at_least(version, wanted):\n"
            "    def number(text):\n"
            "        return float('.'.join(text.split('.')[:2]))\n"
            "    return number(version) >= number(wanted)",
            says="57 is more than 9",
        ),
        WrongSolution(
            "def at_least(version, wanted):\n"
            "    mine, needed = ([int(part) for part in text.split('.')] for text in (version, wanted))\n"
            "    return mine >= needed",
            says="are the same version",
        ),
    )
}
