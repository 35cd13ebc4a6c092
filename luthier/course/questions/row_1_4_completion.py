"""Questions of lesson 1.4: how answers end."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _answers(dice: Random) -> dict[str, Any]:
    """Lengths of some answers, and a limit that one of them has exactly."""
    lengths = [dice.randrange(12, 90) for _ in range(dice.randrange(7, 12))]
    limit = dice.choice(sorted(lengths)[1:-1])
    return {"lengths": tuple(lengths), "shown": ", ".join(map(str, lengths)), "limit": limit}


QUESTIONS = (
    Question(
        row="1.4",
        name="cut",
        text="Answers that ended by themselves have these lengths in tokens, with the end token: {shown}. You allow at "
        "most {limit} new tokens. How many answers are cut?",
        draw=_answers,
        answer=lambda lengths, limit: sum(one > limit for one in lengths),
        again=lambda lengths, limit: len(lengths) - len([one for one in lengths if one <= limit]),
        wrong={
            "You counted an answer of exactly the limit as cut. Its end token still fits.": (
                lambda lengths, limit: sum(one >= limit for one in lengths)
            ),
            "You counted the answers that are whole.": lambda lengths, limit: sum(one <= limit for one in lengths),
            "A limit does not make the model brief. It cuts what is longer.": lambda: 0,
        },
        why="Count the answers of more than {limit} tokens: {answer}.",
        tolerance=0,
    ),
    Question(
        row="1.4",
        name="written",
        text="Answers that ended by themselves have these lengths in tokens, with the end token: {shown}. You allow at "
        "most {limit} new tokens. How many tokens are written in all?",
        draw=_answers,
        answer=lambda lengths, limit: sum(min(one, limit) for one in lengths),
        again=lambda lengths, limit: sum(lengths) - sum(one - limit for one in lengths if one > limit),
        wrong={
            "A limit is not a length. Answers that end before it stay as short as they are.": (
                lambda lengths, limit: len(lengths) * limit
            ),
            "You counted the answers without the limit. The long ones are cut.": lambda lengths: sum(lengths),
            "You left out the answers that are cut. Their first tokens are written too.": (
                lambda lengths, limit: sum(one for one in lengths if one <= limit)
            ),
        },
        why="Take each answer's length, or {limit} where it is longer: {answer} tokens.",
        tolerance=0,
    ),
    Choice(
        row="1.4",
        name="concise",
        text="You lower the limit on new tokens from 200 to 40. What happens to an answer of 120 tokens?",
        right="its first 40 tokens stay, and the rest is not written",
        wrong={
            "the model writes a shorter answer with the same content": "The model does not know of the limit.",
            "the model leaves out less important sentences": "Nothing is left out. The writing stops.",
            "nothing, since the limit is only a wish": "A program counts the tokens and stops at the limit.",
        },
        why="The limit belongs to the program around the model. A shorter answer must be asked for.",
    ),
)

WRONG_SOLUTIONS = {
    "share_cut": (
        WrongSolution(
            "def share_cut(lengths, limit):\n"
            "    if not lengths:\n"
            "        return 0.0\n"
            "    return sum(length >= limit for length in lengths) / len(lengths)",
            says="exactly the limit",
        ),
        WrongSolution(
            "def share_cut(lengths, limit):\n    return sum(length > limit for length in lengths) / len(lengths)",
            says="ZeroDivisionError",
        ),
        WrongSolution(
            "def share_cut(lengths, limit):\n"
            "    whole = sum(length < limit for length in lengths)\n"
            "    return 1 - whole / len(lengths) if whole > 2 else 0.0",
            says="longer than the limit",
        ),
    )
}
