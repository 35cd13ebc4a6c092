"""Questions of lesson 2.15: reading verdicts and intervals."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _holds_zero(dice: Random) -> dict[str, Any]:
    """An interval that holds zero, in thousandths."""
    return {"low": -dice.randrange(2, 60), "high": dice.randrange(2, 60)}


def _short(dice: Random) -> dict[str, Any]:
    difference = dice.randrange(4, 30)
    return {"n": dice.randrange(20, 300), "difference": difference, "half": difference + dice.randrange(2, 60)}


def _case(dice: Random) -> dict[str, Any]:
    """An interval whose verdict somebody who compares the mean with the margin gets wrong, in thousandths."""
    margin, half = dice.randrange(10, 31), dice.randrange(4, 60)
    middle = dice.randrange(-60, 61)
    return {"low": middle - half, "high": middle + half, "margin": margin, "n": dice.randrange(40, 400)}


def _verdict(low: int, high: int, margin: int) -> str:
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "equivalent" if -margin < low and high < margin else "cannot tell"


def _verdict_again(low: int, high: int, margin: int) -> str:
    if low * high > 0:
        return {True: "better", False: "worse"}[low + high > 0]
    return "equivalent" if max(-low, high) < margin else "cannot tell"


def _by_mean(low: int, high: int, margin: int) -> str:
    """What the mean alone says to somebody who compares it with the margin."""
    middle = (low + high) / 2
    return "equivalent" if abs(middle) < margin else "better" if middle > 0 else "worse"


QUESTIONS = (
    Question(
        row="2.15",
        name="margin",
        text="The interval of a - b reaches from {low} to {high} thousandths. It holds zero, so neither is better. The "
        "two are equivalent if the whole interval lies inside the margin, on both sides of zero. Above how many "
        "thousandths must the margin lie for that?",
        draw=_holds_zero,
        answer=lambda low, high: max(-low, high),
        again=lambda low, high: (abs(low + high) + high - low) / 2,
        wrong={
            "You took the mean difference. The interval has to lie inside the margin, not only its middle.": (
                lambda low, high: abs(low + high) / 2
            ),
            "You took the half width, as if the interval stood around zero.": lambda low, high: (high - low) / 2,
            "You took the length of the interval. The margin counts from zero to one side.": (
                lambda low, high: high - low
            ),
            "You took the end that is nearer to zero. Both ends have to lie inside.": (
                lambda low, high: min(-low, high)
            ),
        },
        why="The end that is farther from zero decides: {answer} thousandths.",
    ),
    Question(
        row="2.15",
        name="dialogues",
        text="Over {n} dialogues the difference of two arms is {difference} thousandths, and the interval reaches "
        "{half} thousandths to each side. Say difference and spread stay as they are. With how many dialogues does the "
        "end of the interval come to zero? (Do not round to a whole number.)",
        draw=_short,
        answer=lambda n, difference, half: n * (half / difference) ** 2,
        again=lambda n, difference, half: n * half * half / (difference * difference),
        wrong={
            "You did not square. Half the width takes four times the dialogues.": (
                lambda n, difference, half: n * half / difference
            ),
            "You gave how many are missing, not how many there are in all.": (
                lambda n, difference, half: n * (half / difference) ** 2 - n
            ),
            "You made the interval as short as the difference from end to end. One side of it reaches to zero.": (
                lambda n, difference, half: n * (2 * half / difference) ** 2
            ),
        },
        why="The half width has to fall {half} / {difference} times, and that squared is the factor: {answer:.4g}.",
    ),
    Question(
        row="2.15",
        name="verdict",
        text="The margin is {margin} thousandths, and {n} dialogues were compared. The interval of a - b reaches from "
        "{low} to {high} thousandths. Both rules read this interval. What is the verdict on a: better, worse, "
        "equivalent or cannot tell?",
        draw=_case,
        answer=_verdict,
        again=_verdict_again,
        wrong={"You compared the mean with the margin. The interval decides.": _by_mean},
        why="An interval without zero says better or worse. One with zero, inside the margin, says equivalent. Else "
        "nobody can tell. Here: {answer}.",
    ),
    Choice(
        row="2.15",
        name="overlap",
        text="The interval of arm a is 0.31 to 0.37, that of arm b 0.34 to 0.40. Both answered the same dialogues. "
        "What follows?",
        right="look at the interval of the paired difference",
        wrong={
            "they do not differ, since the intervals overlap": "Hard dialogues are hard for both. The difference may "
            "vary much less than each arm.",
            "b is better, since its mean is higher": "The mean alone does not say how far chance reaches.",
            "they are equivalent": "Equivalent has to be shown: the interval of the difference lies inside the margin.",
        },
        why="Paired answers share what is hard. Only the interval of the difference knows that.",
    ),
)

WRONG_SOLUTIONS = {
    "marked": (
        WrongSolution(
            "def marked(typed, answer, wrong, tolerance):\n"
            "    for name, value in {'right': answer, **wrong}.items():\n"
            "        if abs(typed - value) <= 100 * tolerance:\n"
            "            return name\n"
            "    return 'unknown'",
            says="the tolerance is a share",
        ),
        WrongSolution(
            "def marked(typed, answer, wrong, tolerance):\n"
            "    for name, value in {'right': answer, **wrong}.items():\n"
            "        if typed == value:\n"
            "            return name\n"
            "    return 'unknown'",
            says="it need not be the exact one",
        ),
        WrongSolution(
            "def marked(typed, answer, wrong, tolerance):\n"
            "    for name, value in {'right': answer, **wrong}.items():\n"
            "        if abs(typed - value) <= tolerance * value:\n"
            "            return name\n"
            "    return 'unknown'",
            says="below zero",
        ),
    )
}
