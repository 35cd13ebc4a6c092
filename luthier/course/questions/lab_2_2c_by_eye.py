"""Questions of lab 2.2c: votes of people."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _table(dice: Random) -> dict[str, Any]:
    """Pairs on which two raters said first or second, as four counts."""
    return {key: dice.randrange(3, 60) for key in ("both_first", "both_second", "only_a", "only_b")}


def _kappa(both_first: int, both_second: int, only_a: int, only_b: int) -> float:
    n = both_first + both_second + only_a + only_b
    observed = (both_first + both_second) / n
    a, b = (both_first + only_a) / n, (both_first + only_b) / n
    chance = a * b + (1 - a) * (1 - b)
    return (observed - chance) / (1 - chance)


def _closed(both_first: int, both_second: int, only_a: int, only_b: int) -> float:
    """The closed form of two raters and two keys."""
    top = 2 * (both_first * both_second - only_a * only_b)
    first = (both_first + only_a) * (only_a + both_second)
    return top / (first + (both_first + only_b) * (only_b + both_second))


def _votes(dice: Random) -> dict[str, Any]:
    return {"wins": dice.randrange(5, 90), "losses": dice.randrange(5, 90), "ties": dice.randrange(5, 60)}


QUESTIONS = (
    Question(
        row="lab2.2c",
        name="kappa",
        text="Two raters judged the same pairs. Both said first {both_first} times and second {both_second} times. "
        "{only_a} times A said first and B second, {only_b} times the other way round. How large is kappa, the "
        "agreement beyond chance?",
        draw=_table,
        answer=_kappa,
        again=_closed,
        wrong={
            "You gave the share of pairs on which they agree. Chance alone gives a part of it.": (
                lambda both_first, both_second, only_a, only_b: (
                    (both_first + both_second) / (both_first + both_second + only_a + only_b)
                )
            ),
            "You took one half as the agreement of chance. It follows from how often each presses a key.": (
                lambda both_first, both_second, only_a, only_b: (
                    2 * (both_first + both_second) / (both_first + both_second + only_a + only_b) - 1
                )
            ),
        },
        why="Observed less chance, divided by one less chance: {answer:.3g}.",
    ),
    Question(
        row="lab2.2c",
        name="win-rate",
        text="The tuned model won {wins} pairs, lost {losses}, and {ties} were ties. What is its win rate in percent, "
        "with ties counted half?",
        draw=_votes,
        answer=lambda wins, losses, ties: 100 * (wins + ties / 2) / (wins + losses + ties),
        again=lambda wins, losses, ties: 50 * (1 + (wins - losses) / (wins + losses + ties)),
        wrong={
            "You left the ties out. They are votes as well.": lambda wins, losses: 100 * wins / (wins + losses),
            "You counted ties as lost.": lambda wins, losses, ties: 100 * wins / (wins + losses + ties),
            "You counted ties as won.": lambda wins, losses, ties: 100 * (wins + ties) / (wins + losses + ties),
        },
        why="({wins} + {ties} / 2) of all pairs: {answer:.3g} %.",
        unit="%",
    ),
    Choice(
        row="lab2.2c",
        name="planted",
        text="A rater has three of ten planted pairs right, where the better text is known. What do you do with the "
        "rater's votes?",
        right="leave them out, and say so",
        wrong={
            "keep them, all votes count": "Three of ten is less than chance. These votes are no reading.",
            "turn each of them round": "Votes that are no reading do not become one when turned.",
            "ask for more votes of the same rater": "More of the same would be no reading either.",
        },
        why="Planted pairs are there to find votes that nobody read for.",
    ),
)

WRONG_SOLUTIONS = {
    "kappa": (
        WrongSolution(
            "def kappa(a, b):\n    return sum(one == other for one, other in zip(a, b)) / len(a)",
            says="which is what chance gives",
        ),
        WrongSolution(
            "def kappa(a, b):\n"
            "    keys = set(a + b)\n"
            "    observed = sum(one == other for one, other in zip(a, b)) / len(a)\n"
            "    chance = 1 / len(keys)\n"
            "    return 1.0 if chance == 1 else (observed - chance) / (1 - chance)",
            says="each rater's own shares",
        ),
    )
}
