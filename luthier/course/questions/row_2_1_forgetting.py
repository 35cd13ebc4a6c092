"""Questions of lesson 2.1: what a second training costs a first task."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _points(dice: Random) -> dict[str, Any]:
    rows = dice.randrange(100, 1000, 10)
    before = dice.randrange(rows // 2, rows)
    return {"rows": rows, "before": before, "after": dice.randrange(rows // 10, before)}


def _spread(dice: Random) -> dict[str, Any]:
    rows = dice.randrange(100, 1000)
    lost = dice.randrange(10, rows // 3)
    return {"rows": rows, "lost": lost, "gained": dice.randrange(2, lost)}


def _replay(dice: Random) -> dict[str, Any]:
    return {"new": dice.randrange(500, 50_000, 25), "percent": dice.choice((5, 10, 15, 20, 25, 30, 40))}


QUESTIONS = (
    Question(
        row="2.1",
        name="points",
        text="An old task has {rows} test rows. Before the new training {before} are right, afterwards {after}. "
        "How many percentage points were lost?",
        draw=_points,
        answer=lambda rows, before, after: 100 * (before - after) / rows,
        again=lambda rows, before, after: 100 * before / rows - 100 * after / rows,
        wrong={
            "You gave the loss as a share of what was right before. Points are shares of all rows.": (
                lambda before, after: 100 * (before - after) / before
            ),
            "You gave what is still right.": lambda rows, after: 100 * after / rows,
            "You counted rows. A point is a hundredth of all rows.": lambda before, after: before - after,
        },
        why="100 x ({before} - {after}) / {rows} = {answer:.3g} points.",
        unit="%",
    ),
    Question(
        row="2.1",
        name="interval",
        text="The same {rows} rows were asked before and after a training. {lost} rows that were right are wrong now, "
        "and {gained} that were wrong are right. The standard error of the difference is about root(lost + gained) / "
        "rows. How many points does an interval of two standard errors reach to each side?",
        draw=_spread,
        answer=lambda rows, lost, gained: 200 * math.sqrt(lost + gained) / rows,
        again=lambda rows, lost, gained: 100 * math.sqrt(4 * lost + 4 * gained) / rows,
        wrong={
            "You subtracted the gained rows. Both kinds make the difference uncertain.": (
                lambda rows, lost, gained: 200 * math.sqrt(lost - gained) / rows
            ),
            "You gave the lost points themselves.": lambda rows, lost, gained: 100 * (lost - gained) / rows,
            "You gave one standard error.": lambda rows, lost, gained: 100 * math.sqrt(lost + gained) / rows,
        },
        why="Rows that changed make the spread: 200 x root({lost} + {gained}) / {rows} = {answer:.3g} points.",
        unit="%",
    ),
    Question(
        row="2.1",
        name="replay-rows",
        text="A training has {new:,} rows of a new task. Rows of the old task are to be added, so that {percent} % of "
        "all rows are old. How many rows are added? (Do not round to a whole number.)",
        draw=_replay,
        answer=lambda new, percent: new * percent / (100 - percent),
        again=lambda new, percent: new / (1 - percent / 100) - new,
        wrong={
            "You took the share of the new rows. It is meant of all rows, old and new.": (
                lambda new, percent: new * percent / 100
            ),
            "You gave all rows together.": lambda new, percent: new * 100 / (100 - percent),
        },
        why="Old rows are {percent} of 100, new ones the rest: {new:,} x {percent} / (100 - {percent}) = {answer:.4g}.",
    ),
    Choice(
        row="2.1",
        name="loss",
        text="The loss of a fine-tuning falls on train and on dev. What does that say about other tasks?",
        right="nothing; they have to be measured before and after",
        wrong={
            "they get better too": "Fine-tuning does not only add. It moves the same parameters that did other tasks.",
            "they stay as they were, since dev falls too": "Dev holds rows of the new task. It says nothing of others.",
            "they are lost": "That depends on the tasks, the steps and the method. Nobody knows before measuring.",
        },
        why="A loss speaks of the rows that it was computed on.",
    ),
)

WRONG_SOLUTIONS = {
    "forgotten": (
        WrongSolution(
            "def forgotten(before, after, allowed):\n"
            "    return [task for task in before if before[task] - after[task] > allowed]",
            says="what is allowed is in points",
        ),
        WrongSolution(
            "def forgotten(before, after, allowed):\n"
            "    return [task for task in before if 100 * (before[task] - after.get(task, 0)) > allowed]",
            says="the largest loss comes first",
        ),
        WrongSolution(
            "def forgotten(before, after, allowed):\n"
            "    lost = {task: 100 * abs(before[task] - after.get(task, 0)) for task in before}\n"
            "    return sorted((task for task in lost if lost[task] > allowed), key=lambda task: -lost[task])",
            says="a task that gained",
        ),
        WrongSolution(
            "def forgotten(before, after, allowed):\n"
            "    lost = {task: 100 * (before[task] - after[task]) for task in before if task in after}\n"
            "    return sorted((task for task in lost if lost[task] > allowed), key=lambda task: -lost[task])",
            says="nobody measured",
        ),
    )
}
