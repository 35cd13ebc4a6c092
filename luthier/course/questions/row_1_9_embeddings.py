"""Questions of lesson 1.9: embeddings and positions."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _rotary(dice: Random) -> dict[str, Any]:
    width = dice.choice((32, 64, 128))
    return {
        "width": width,
        "base": dice.choice((10_000, 50_000, 100_000, 500_000)),
        "pair": dice.randrange(1, width // 4),
        "query": (query := dice.randrange(40, 500)),
        "key": query - dice.randrange(2, 39),
    }


def _learned(dice: Random) -> dict[str, Any]:
    return {
        "vocabulary": dice.randrange(20_000, 130_000, 8),
        "window": dice.choice((512, 1024, 2048, 4096)),
        "width": dice.choice((256, 512, 576, 768, 1024, 2048)),
    }


QUESTIONS = (
    Question(
        row="1.9",
        name="angle",
        text="Rotary positions with base {base:,} turn heads of width {width}. A query stands at position {query} "
        "and a key at {key}. By how many radians is pair {pair} of the query turned further than that of the key? "
        "Pairs count from 0.",
        draw=_rotary,
        answer=lambda base, width, query, key, pair: (query - key) * base ** (-2 * pair / width),
        again=lambda base, width, query, key, pair: (
            query * math.exp(-2 * pair / width * math.log(base)) - key / math.exp(2 * pair / width * math.log(base))
        ),
        wrong={
            "You took the query's own angle. Attention sees the difference of both.": (
                lambda base, width, query, pair: query * base ** (-2 * pair / width)
            ),
            "You turned each pair alike. Later pairs turn more slowly.": lambda query, key: query - key,
            "You left out the factor 2 in the power. Pair i turns by base to the power of -2i/K.": (
                lambda base, width, query, key, pair: (query - key) * base ** (-pair / width)
            ),
            "The sign of the power is wrong. Later pairs turn more slowly, not faster.": (
                lambda base, width, query, key, pair: (query - key) * base ** (2 * pair / width)
            ),
        },
        why="The distance times {base:,} to the power of -2 x {pair} / {width}: {answer:.4g}.",
        unit="radians",
    ),
    Question(
        row="1.9",
        name="table",
        text="A model has {vocabulary:,} tokens, a window of {window:,} and a width of {width:,}. It learns a vector "
        "for each token and one for each position. How many parameters are that?",
        draw=_learned,
        answer=lambda vocabulary, window, width: (vocabulary + window) * width,
        again=lambda vocabulary, window, width: vocabulary * width + window * width,
        wrong={
            "You left the positions out. Each place of the window has a vector too.": (
                lambda vocabulary, width: vocabulary * width
            ),
            "You gave each token a vector for each position. They are added, so both tables stand alone.": (
                lambda vocabulary, window, width: vocabulary * window * width
            ),
            "You counted a position as one number. It is a vector of the same width.": (
                lambda vocabulary, window, width: vocabulary * width + window
            ),
        },
        why="({vocabulary:,} + {window:,}) x {width:,} = {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="1.9",
        name="order",
        text="An encoder has embeddings and attention, and no positions. You shuffle the words of its input. What "
        "changes in the output of a word?",
        right="nothing",
        wrong={
            "its vector, since embeddings know the order": "An embedding is looked up by the token alone.",
            "its vector, since attention sees other neighbours": (
                "Attention compares contents. All words are still there, so each one finds the same."
            ),
            "the model fails": "It runs as before. It only cannot tell the two texts apart.",
        },
        why="Without positions an encoder sees a bag of words.",
    ),
)

WRONG_SOLUTIONS = {
    "turned_at": (
        WrongSolution(
            "def turned_at(vector, position, base):\n"
            "    made = []\n"
            "    for pair in range(0, len(vector), 2):\n"
            "        x, y = vector[pair], vector[pair + 1]\n"
            "        angle = position * base ** (-pair / len(vector))\n"
            "        made += [x * math.cos(angle) - y * math.sin(angle), y * math.cos(angle) + x * math.sin(angle)]\n"
            "    return made",
            says="number i + K/2",
        ),
        WrongSolution(
            "def turned_at(vector, position, base):\n"
            "    half = len(vector) // 2\n"
            "    left, right = [], []\n"
            "    for pair in range(half):\n"
            "        x, y = vector[pair], vector[pair + half]\n"
            "        angle = math.radians(position * base ** (-2 * pair / len(vector)))\n"
            "        left.append(x * math.cos(angle) - y * math.sin(angle))\n"
            "        right.append(y * math.cos(angle) + x * math.sin(angle))\n"
            "    return left + right",
            says="in radians",
        ),
    )
}
