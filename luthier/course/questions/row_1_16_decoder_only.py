"""Questions of lesson 1.16: decoders, and labels moved by one."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _rows(dice: Random) -> dict[str, Any]:
    lengths = tuple(dice.randrange(20, 400) for _ in range(4))
    return {"lengths": lengths, "shown": ", ".join(map(str, lengths))}


def _bits(dice: Random) -> dict[str, Any]:
    return {"vocabulary": dice.randrange(200, 200_000), "tokens": dice.randrange(50, 3000)}


QUESTIONS = (
    Question(
        row="1.16",
        name="predictions",
        text="A batch has four texts of {shown} tokens, padded to the longest. There is no token before the first one, "
        "and padding does not count. For how many tokens does a decoder get a loss?",
        draw=_rows,
        answer=lambda lengths: sum(lengths) - len(lengths),
        again=lambda lengths: sum(len(range(1, length)) for length in lengths),
        wrong={
            "You counted each first token. Nothing stands before it, so nobody predicts it.": (
                lambda lengths: sum(lengths)
            ),
            "You counted the padding. Those places have no label.": lambda lengths: len(lengths) * max(lengths),
            "You counted the padding, less one for each row. Those places have no label.": (
                lambda lengths: len(lengths) * (max(lengths) - 1)
            ),
            "You counted one prediction for each text. A decoder predicts at every place.": lambda lengths: len(
                lengths
            ),
        },
        why="Each text gives one prediction less than it has tokens: {answer:,} together.",
        tolerance=0,
    ),
    Question(
        row="1.16",
        name="guess",
        text="A decoder has {vocabulary:,} tokens and has learned nothing, so all of them are equally likely. It reads "
        "{tokens} tokens. What is its mean loss a token, in nats?",
        draw=_bits,
        answer=lambda vocabulary: math.log(vocabulary),
        again=lambda vocabulary: -sum([math.log(1 / vocabulary)] * 10) / 10,
        wrong={
            "You answered in bits, with a logarithm of base 2. A nat has base e.": lambda vocabulary: math.log2(
                vocabulary
            ),
            "You took the logarithm of base 10.": lambda vocabulary: math.log10(vocabulary),
            "You summed over the tokens. The mean does not depend on how many are read.": (
                lambda vocabulary, tokens: math.log(vocabulary) * tokens
            ),
        },
        why="The loss is minus the logarithm of the right token's probability, 1 / {vocabulary:,}: {answer:.4g} nats. "
        "A first loss far from it is a sign of a bug.",
    ),
    Choice(
        row="1.16",
        name="too-good",
        text="A decoder's loss on text falls to 0.01 nats a token within a minute. What do you do first?",
        right="look at what stands under each token as its label",
        wrong={
            "stop, since it has learned the text": "No text is that easy to foresee. A loss near zero says that the "
            "model sees the answer.",
            "train longer, to make sure": "A task that is too easy stays so.",
            "raise the learning rate": "The loss is not too slow. It is too good.",
        },
        why="Labels that are not moved ask for a copy, and a copy costs nothing.",
    ),
)

WRONG_SOLUTIONS = {
    "labels_of": (
        WrongSolution(
            "def labels_of(ids, length):\n    return ids + [-100] * (length - len(ids))",
            says="at each place stands the next token",
        ),
        WrongSolution(
            "def labels_of(ids, length):\n    padded = ids + [0] * (length - len(ids))\n    return padded[1:] + [-100]",
            says="padding does not count",
        ),
        WrongSolution(
            "def labels_of(ids, length):\n"
            "    padded = ids[1:] + [0] * (length - len(ids) + 1)\n"
            "    return [one if one else -100 for one in padded]",
            says="also the token 0",
        ),
    )
}
