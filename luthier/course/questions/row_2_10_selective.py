"""Questions of lesson 2.10: some of a model's own parameters learn."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _layer(dice: Random) -> dict[str, Any]:
    width = dice.randrange(256, 2049, 64)
    return {
        "width": width,
        "inner": dice.randrange(2, 5) * width + 64 * dice.randrange(1, 9),
        "vocabulary": dice.randrange(10_000, 120_000, 1000),
        "last": dice.randrange(2, 9),
    }


def _share(dice: Random) -> dict[str, Any]:
    layers = dice.randrange(12, 49)
    return {
        "layers": layers,
        "each": round(dice.uniform(2, 60), 1),
        "embedding": dice.randrange(20, 600),
        "last": dice.randrange(1, layers // 2),
    }


QUESTIONS = (
    Question(
        row="2.10",
        name="last-layers",
        text="A layer has four matrices of {width} x {width}, three of {width} x {inner}, and two norms of {width} "
        "numbers. The embedding table has {vocabulary:,} rows. How many parameters learn when the last {last} layers "
        "are chosen?",
        draw=_layer,
        answer=lambda width, inner, last: last * (4 * width**2 + 3 * width * inner + 2 * width),
        again=lambda width, inner, last: sum(
            [width * width] * 4 * last + [width * inner] * 3 * last + [width] * 2 * last
        ),
        wrong={
            "You counted one layer.": lambda width, inner: 4 * width**2 + 3 * width * inner + 2 * width,
            "You forgot the norms. They belong to the layer too.": (
                lambda width, inner, last: last * (4 * width**2 + 3 * width * inner)
            ),
            "You added the embedding table. It belongs to no layer and stays frozen.": (
                lambda width, inner, last, vocabulary: (
                    last * (4 * width**2 + 3 * width * inner + 2 * width) + vocabulary * width
                )
            ),
            "You counted the attention alone.": lambda width, last: last * 4 * width**2,
        },
        why="A layer has 4 x {width}^2 + 3 x {width} x {inner} + 2 x {width} parameters. {last} layers: {answer:,}.",
        tolerance=0,
    ),
    Question(
        row="2.10",
        name="share",
        text="A model has {layers} layers of {each} million parameters and an embedding table of {embedding} million, "
        "which is also its output layer. The last {last} layers learn. What share of all parameters is that, as a "
        "number from 0 to 1?",
        draw=_share,
        answer=lambda layers, each, embedding, last: last * each / (layers * each + embedding),
        again=lambda layers, each, embedding, last: (
            1 - ((layers - last) * each + embedding) / (layers * each + embedding)
        ),
        wrong={
            "You forgot the embedding table. It is a part of all parameters.": lambda layers, last: last / layers,
            "You counted the table twice. Input and output share one.": (
                lambda layers, each, embedding, last: last * each / (layers * each + 2 * embedding)
            ),
            "You let the table learn. Only the chosen layers do.": (
                lambda layers, each, embedding, last: (last * each + embedding) / (layers * each + embedding)
            ),
        },
        why="{last} x {each} of {layers} x {each} + {embedding} million: {answer:.3g}.",
    ),
    Choice(
        row="2.10",
        name="five-percent",
        text="Two choices each let 5 % of a model's parameters learn. One scores .22, the other .34. What is known?",
        right="neither which parts are better nor how good either can be, before each had a rate of its own",
        wrong={
            "5 % are too few for the first one": "At another rate the same 5 % may learn the task.",
            "the second choice has the better parts": "Perhaps. Perhaps its rate was nearer to its best one.",
            "any 5 % will do, so the difference is chance": "Equal counts in different places can differ completely.",
        },
        why="Where the parameters stand and how fast they move both decide. Tune each choice with equal effort.",
    ),
)

WRONG_SOLUTIONS = {
    "last_blocks": (
        WrongSolution(
            "def last_blocks(names, count):\n"
            "    blocks = sorted({name.split('blocks.')[1].split('.')[0] for name in names if 'blocks.' in name})\n"
            "    return [n for n in names if any(f'blocks.{block}.' in n for block in blocks[-count:])]",
            says="blocks are ordered as numbers",
        ),
        WrongSolution(
            "def last_blocks(names, count):\n    return names[-count:]",
            says="all parameters of a block",
        ),
        WrongSolution(
            "def last_blocks(names, count):\n    return [name for name in names if 'blocks.' in name]",
            says="one block was asked for",
        ),
    )
}
