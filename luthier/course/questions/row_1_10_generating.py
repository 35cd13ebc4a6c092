"""Questions of lesson 1.10: texts as paths of a tree."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _path(dice: Random) -> dict[str, Any]:
    shares = [dice.randrange(12, 95) / 100 for _ in range(3)]
    return {"a": shares[0], "b": shares[1], "c": shares[2]}


def _tree(dice: Random) -> dict[str, Any]:
    """Two first tokens, and two behind each; the less likely first token leads to the likeliest text."""
    while True:
        p, x, y = (dice.randrange(52, 90) / 100 for _ in range(3))
        if (1 - p) * y > p * x:
            return {"p": p, "q": round(1 - p, 2), "x": x, "rest_x": round(1 - x, 2), "y": y, "rest_y": round(1 - y, 2)}


QUESTIONS = (
    Question(
        row="1.10",
        name="path",
        text="A model writes three tokens. Their probabilities, each behind those before it, are {a}, {b} and {c}. "
        "What is the probability of the whole text?",
        draw=_path,
        answer=lambda a, b, c: a * b * c,
        again=lambda a, b, c: math.exp(math.log(a) + math.log(b) + math.log(c)),
        wrong={
            "You took the mean of the steps. The probability of a text is their product.": (
                lambda a, b, c: (a + b + c) / 3
            ),
            "You took the least likely step alone. Each step makes the text less likely.": lambda a, b, c: min(a, b, c),
            "You took the last step alone. Its probability holds only behind the tokens before it.": lambda c: c,
            "You left out the last step.": lambda a, b: a * b,
        },
        why="Multiply the steps: {a} x {b} x {c} = {answer:.4g}.",
    ),
    Question(
        row="1.10",
        name="likeliest",
        text="First comes A with {p} or B with {q}. Behind A comes C with {x} or D with {rest_x}. Behind B comes E "
        "with {y} or F with {rest_y}. How many times as likely as greedy's text is the likeliest text of two tokens?",
        draw=_tree,
        answer=lambda p, x, y: (1 - p) * y / (p * x),
        again=lambda p, q, x, rest_x, y, rest_y: max(p * x, p * rest_x, q * y, q * rest_y) / (p * x),
        wrong={
            "Greedy does not find the likeliest text here. Multiply the steps of all four texts.": lambda: 1,
            "You compared the second steps alone. The first step counts too.": lambda x, y: y / x,
            "You divided the wrong way round. The likeliest text is the likelier one.": (
                lambda p, x, y: (p * x) / ((1 - p) * y)
            ),
            "You added the steps. The probability of a text is their product.": (lambda p, x, y: (1 - p + y) / (p + x)),
        },
        why="Greedy takes A and C: {p} x {x}. B and E together are likelier: {q} x {y}, {answer:.3g} times as likely.",
    ),
    Choice(
        row="1.10",
        name="goal",
        text="What does greedy decoding find?",
        right="in each step the likeliest next token",
        wrong={
            "the likeliest text": "It never looks ahead, so a likelier text can lie behind a less likely token.",
            "the best text": "The model has probabilities, and no notion of what is good.",
            "another text each time": "It draws nothing. The same model and prompt give the same text.",
        },
        why="Greedy is the best choice of each step, and not of the whole.",
    ),
)

WRONG_SOLUTIONS = {
    "beam": (
        WrongSolution(
            "def beam(tree, width, steps):\n"
            "    kept = [('', 1.0)]\n"
            "    for _ in range(steps):\n"
            "        longer = [(text + token, so_far * share) for text, so_far in kept\n"
            "                  for token, share in tree.get(text, {}).items()]\n"
            "        kept = sorted(longer, key=lambda one: -one[1])[:width]\n"
            "    return list(kept[0])",
            says="a finished text stays",
        ),
        WrongSolution(
            "def beam(tree, width, steps):\n"
            "    kept = [('', 1.0)]\n"
            "    for _ in range(steps):\n"
            "        kept = [(text + token, so_far * share) for text, so_far in kept\n"
            "                for token, share in tree.get(text, {'': 1.0}).items()]\n"
            "    return list(sorted(kept, key=lambda one: -one[1])[0])",
            says="cannot come back",
        ),
        WrongSolution(
            "def beam(tree, width, steps):\n"
            "    text, so_far = '', 1.0\n"
            "    for _ in range(steps):\n"
            "        if text in tree:\n"
            "            token = max(tree[text], key=tree[text].get)\n"
            "            text, so_far = text + token, so_far * tree[text][token]\n"
            "    return [text, so_far]",
            says="compare whole texts",
        ),
    )
}
