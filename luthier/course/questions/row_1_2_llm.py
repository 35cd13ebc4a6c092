"""Questions of lesson 1.2: what a language model is made of."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _share(dice: Random) -> dict[str, Any]:
    vocabulary, width = dice.randrange(20_000, 130_000, 8), dice.choice((384, 512, 576, 768, 1024))
    millions = round(vocabulary * width / 1e6 * dice.uniform(2.5, 12), 1)
    return {"vocabulary": vocabulary, "width": width, "millions": millions}


def _layer(dice: Random) -> dict[str, Any]:
    width = dice.randrange(128, 4097, 16)
    return {"width": width, "inner": width * dice.randrange(5, 17) // 4}


QUESTIONS = (
    Question(
        row="1.2",
        name="share",
        text="A model has {millions:,} million parameters. Its vocabulary has {vocabulary:,} tokens, and its width is "
        "{width}. The output layer is the embedding once more. What share of the parameters are embeddings?",
        draw=_share,
        answer=lambda vocabulary, width, millions: 100 * vocabulary * width / (millions * 1e6),
        again=lambda vocabulary, width, millions: vocabulary * width / 1e4 / millions,
        wrong={
            "You divided by the other parameters. A share is of all of them.": (
                lambda vocabulary, width, millions: 100 * vocabulary * width / (millions * 1e6 - vocabulary * width)
            ),
            "You counted the output layer as well. It is the same matrix here.": (
                lambda vocabulary, width, millions: 200 * vocabulary * width / (millions * 1e6)
            ),
            "You gave the share of the rest.": (
                lambda vocabulary, width, millions: 100 - 100 * vocabulary * width / (millions * 1e6)
            ),
        },
        why="{vocabulary:,} x {width} of {millions:,} million: {answer:.3g} %.",
        unit="%",
    ),
    Question(
        row="1.2",
        name="layer",
        text="A layer has attention with four square matrices of width {width:,}. Its MLP has three matrices of "
        "{width:,} by {inner:,}. How many weights do these matrices have?",
        draw=_layer,
        answer=lambda width, inner: 4 * width * width + 3 * width * inner,
        again=lambda width, inner: sum([width**2] * 4) + sum([width * inner] * 3),
        wrong={
            "You left out attention's output. There are query, key, value and output.": (
                lambda width, inner: 3 * width * width + 3 * width * inner
            ),
            "You counted two matrices in the MLP. This one has a gate as well.": (
                lambda width, inner: 4 * width * width + 2 * width * inner
            ),
            "You added rows and columns. A matrix has rows times columns.": (
                lambda width, inner: 4 * 2 * width + 3 * (width + inner)
            ),
        },
        why="4 x {width:,} x {width:,} + 3 x {width:,} x {inner:,} = {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="1.2",
        name="stores",
        text="Where does a language model find its next token?",
        right="it computes a probability for every token",
        wrong={
            "in the sentences that it has stored": "It has room for a tiny part of a bit for each token it read.",
            "on the internet": "It runs without any network, as it did here.",
            "in a table of words that follow each other": (
                "A table of pairs would not know of the words before. The model reads all of them."
            ),
        },
        why="All parameters take part in computing the probabilities of all tokens.",
    ),
)

WRONG_SOLUTIONS = {
    "parts_of": (
        WrongSolution(
            "def parts_of(vocabulary, width, layers, inner, kv_width):\n"
            "    return [vocabulary * width, layers * 4 * width * width, layers * 3 * width * inner,\n"
            "            (2 * layers + 1) * width]",
            says="may be narrower",
        ),
        WrongSolution(
            "def parts_of(vocabulary, width, layers, inner, kv_width):\n"
            "    attention = 2 * width * width + 2 * width * kv_width\n"
            "    return [vocabulary * width, layers * attention, layers * 2 * width * inner, (2 * layers + 1) * width]",
            says="rows times columns",
        ),
        WrongSolution(
            "def parts_of(vocabulary, width, layers, inner, kv_width):\n"
            "    attention = 2 * width * width + 2 * width * kv_width\n"
            "    return [vocabulary * width, layers * attention, layers * 3 * width * inner, 3 * layers * width]",
            says="one norm ends it",
        ),
    )
}
