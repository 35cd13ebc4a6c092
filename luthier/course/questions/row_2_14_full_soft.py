"""Questions of lesson 2.14: a fair comparison of two methods."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _needed(dice: Random) -> dict[str, Any]:
    return {"sd": dice.randrange(40, 250), "margin": dice.randrange(5, 60)}


def _effort(dice: Random) -> dict[str, Any]:
    rates = dice.randrange(2, 9)
    return {
        "rows": dice.randrange(40, 900),
        "epochs": dice.randrange(2, 8),
        "full": rates,
        "soft": rates + dice.randrange(1, 9),
    }


QUESTIONS = (
    Question(
        row="2.14",
        name="examples",
        text="Two methods differ by {margin} thousandths in truth. The difference of one example has a standard "
        "deviation of {sd} thousandths. To show it in four of five studies takes n examples, with 2.8 sd / root(n) "
        "equal to the difference. How large is n? (Do not round it to a whole number.)",
        draw=_needed,
        answer=lambda sd, margin: (2.8 * sd / margin) ** 2,
        again=lambda sd, margin: 7.84 * sd * sd / (margin * margin),
        wrong={
            "You forgot to square. The interval falls with the root of the number of examples.": (
                lambda sd, margin: 2.8 * sd / margin
            ),
            "You squared the standard deviation alone.": lambda sd, margin: 2.8 * sd * sd / margin,
            "You took 2, which shows the difference in only half of the studies.": (
                lambda sd, margin: (2 * sd / margin) ** 2
            ),
        },
        why="n = (2.8 x {sd} / {margin}) squared, which is {answer:.4g}.",
    ),
    Question(
        row="2.14",
        name="effort",
        text="A training reads {rows} rows {epochs} times. For full fine-tuning you tried {full} rates, for soft "
        "prompts {soft}, with one training each. How many more rows were read for soft prompts?",
        draw=_effort,
        answer=lambda rows, epochs, full, soft: (soft - full) * rows * epochs,
        again=lambda rows, epochs, full, soft: soft * rows * epochs - full * rows * epochs,
        wrong={
            "You forgot that each training reads the rows several times.": (
                lambda rows, full, soft: (soft - full) * rows
            ),
            "You gave all that was read for soft prompts, not the difference.": (
                lambda rows, epochs, soft: soft * rows * epochs
            ),
            "You gave what both read together.": lambda rows, epochs, full, soft: (soft + full) * rows * epochs,
        },
        why="{soft} - {full} trainings more, each {epochs} times {rows} rows: {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="2.14",
        name="cannot-tell",
        text="A paper says: with the usual rate of 3e-5 full fine-tuning beats soft prompts. What does it show?",
        right="that soft prompts do badly at a rate chosen for the other method",
        wrong={
            "that full fine-tuning is better": "Only one of the two had a rate that suits it.",
            "that the rate is fair, since both had the same": "The same rate is not the same chance. A soft prompt "
            "begins far away and moves few numbers, so it needs larger steps.",
            "that soft prompts need more rows": "Rows were not varied. Steps were too small.",
        },
        why="Each method must be tried at as many rates of its own, and dev must choose.",
    ),
)

WRONG_SOLUTIONS = {
    "fair_choice": (
        WrongSolution(
            "def fair_choice(trials):\n"
            "    rate = max(trials, key=lambda one: trials[one][1])\n"
            "    return rate, trials[rate][1]",
            says="the test set must not choose",
        ),
        WrongSolution(
            "def fair_choice(trials):\n"
            "    rate = max(trials, key=lambda one: trials[one][0])\n"
            "    return rate, trials[rate][0]",
            says="the share on test is reported",
        ),
        WrongSolution(
            "def fair_choice(trials):\n"
            "    rate = max(trials, key=lambda one: trials[one][0])\n"
            "    return rate, trials[rate][1]",
            says="of equal shares on dev",
        ),
    )
}
