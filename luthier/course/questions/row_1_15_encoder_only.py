"""Questions of lesson 1.15: encoders, and hidden tokens."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _rows(dice: Random) -> dict[str, Any]:
    return {"tokens": 100 * dice.randrange(1, 41), "rows": dice.randrange(2, 65)}


def _texts(dice: Random) -> dict[str, Any]:
    return {"tokens": 20 * dice.randrange(1, 4), "texts": dice.randrange(100, 5000)}


QUESTIONS = (
    Question(
        row="1.15",
        name="supervised",
        text="A batch has {rows} rows of {tokens} tokens. An encoder learns from 15 % of the tokens. Of these 80 % "
        "become a mask, 10 % another token, and 10 % stay. How many tokens of the batch count in the loss?",
        draw=_rows,
        answer=lambda tokens, rows: rows * tokens * 15 // 100,
        again=lambda tokens, rows: int(sum([Fraction(15, 100) * tokens] * rows)),
        wrong={
            "You counted the masks alone. Tokens that were exchanged or left count too, if they were chosen.": (
                lambda tokens, rows: rows * tokens * 12 // 100
            ),
            "You counted what the encoder does not see as it was. A chosen token that stays counts as well.": (
                lambda tokens, rows: rows * tokens * 135 // 1000
            ),
            "You counted all tokens. An encoder says nothing where nothing was chosen.": (
                lambda tokens, rows: rows * tokens
            ),
            "You counted one row of the batch.": lambda tokens: tokens * 15 // 100,
        },
        why="15 % of {rows} x {tokens} tokens are {answer:,}, whatever becomes of them.",
        tolerance=0,
    ),
    Question(
        row="1.15",
        name="texts",
        text="Each text has {tokens} tokens. A decoder reads {texts:,} texts and has nothing before a first token. How "
        "many texts does an encoder have to read to be asked for as many tokens, 15 % of each text?",
        draw=_texts,
        answer=lambda tokens, texts: texts * (tokens - 1) / (0.15 * tokens),
        again=lambda tokens, texts: float(Fraction(texts * (tokens - 1), 1) / Fraction(15 * tokens, 100)),
        wrong={
            "You let the decoder say the first token of each text. Nothing stands before it.": (
                lambda texts: texts / 0.15
            ),
            "You took as many texts. An encoder learns from 15 % of what it reads.": lambda texts: texts,
            "You turned it round: the encoder needs more texts, not fewer.": (
                lambda tokens, texts: texts * 0.15 * tokens / (tokens - 1)
            ),
            "You took 85 %. That is the part that it is not asked for.": (
                lambda tokens, texts: texts * (tokens - 1) / (0.85 * tokens)
            ),
        },
        why="The decoder is asked {texts:,} x ({tokens} - 1) times, and a text asks the encoder 0.15 x {tokens} times: "
        "{answer:.4g} texts.",
    ),
    Choice(
        row="1.15",
        name="writes",
        text="Why is an encoder not used to write a text?",
        right="it says each hidden token by itself, so the tokens do not fit together",
        wrong={
            "it has no vocabulary": "It has one, and gives each token of it a probability at each hidden place.",
            "it is too small": "Size is not the reason. A large encoder has the same trouble.",
            "it has not learned which words are likely": "It has. But it learned it for places among known words.",
        },
        why="A decoder draws one token and reads it before it draws the next.",
    ),
)

WRONG_SOLUTIONS = {
    "hide": (
        WrongSolution(
            "def hide(ids, places, mask):\n"
            "    return [[mask if at in places else one for at, one in enumerate(ids)], list(ids)]",
            says="a place that is not hidden has the label -100",
        ),
        WrongSolution(
            "def hide(ids, places, mask):\n"
            "    return [list(ids), [one if at in places else -100 for at, one in enumerate(ids)]]",
            says="a hidden token becomes the mask",
        ),
        WrongSolution(
            "def hide(ids, places, mask):\n"
            "    gone = {ids[at] for at in places}\n"
            "    return [[mask if one in gone else one for one in ids], [one if one in gone else -100 for one in ids]]",
            says="places are hidden",
        ),
    )
}
