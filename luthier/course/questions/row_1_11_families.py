"""Questions of lesson 1.11: three families of transformers."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _lengths(dice: Random) -> dict[str, Any]:
    return {"written": dice.randrange(10, 200), "source": dice.randrange(10, 400)}


QUESTIONS = (
    Question(
        row="1.11",
        name="pairs",
        text="An encoder-decoder has read {source} tokens and has written {written} ones. Count the pairs of a token "
        "that looks and a token that is seen in one layer of its decoder, cross-attention included.",
        draw=_lengths,
        answer=lambda written, source: written * (written + 1) // 2 + written * source,
        again=lambda written, source: sum(place + source for place in range(1, written + 1)),
        wrong={
            "You let written tokens see later ones. A decoder only looks back.": (
                lambda written, source: written * written + written * source
            ),
            "You left cross-attention out. Each written token sees the whole source.": (
                lambda written, source: written * (written + 1) // 2
            ),
            "You did not count that a token sees itself.": (
                lambda written, source: written * (written - 1) // 2 + written * source
            ),
            "You counted the encoder's pairs as well.": (
                lambda written, source: written * (written + 1) // 2 + written * source + source * source
            ),
        },
        why="Written tokens look back: {written} x ({written} + 1) / 2. Each also sees the source: {written} x "
        "{source}. Together {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="1.11",
        name="old-gpt",
        text="What is the difference between BERT and GPT that decides what each can be used for?",
        right="who may look at whom, and what is learned from it",
        wrong={
            "BERT is an older GPT": "They are of the same year, 2018. BERT is another family, not an earlier version.",
            "BERT is smaller than GPT": "The largest BERT had more parameters than the first GPT.",
            "GPT has attention and BERT has none": "Both are transformers, built from the same blocks.",
        },
        why="BERT is an encoder that fills in hidden words. GPT is a decoder that writes the next one.",
    ),
)

WRONG_SOLUTIONS = {
    "visible_pairs": (
        WrongSolution(
            "def visible_pairs(family, tokens, source=0):\n"
            "    return tokens * tokens if family == 'encoder' else tokens * (tokens + 1) // 2",
            says="add the pairs across",
        ),
        WrongSolution(
            "def visible_pairs(family, tokens, source=0):\n"
            "    back = tokens * (tokens - 1) // 2\n"
            "    return tokens * tokens if family == 'encoder' else back + tokens * source",
            says="a token sees itself and those before it",
        ),
        WrongSolution(
            "def visible_pairs(family, tokens, source=0):\n    return tokens * tokens + tokens * source",
            says="in a decoder",
        ),
    )
}
