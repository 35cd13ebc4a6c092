"""Questions of lesson 1.14: the life cycle of a project."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _leaked(dice: Random) -> dict[str, Any]:
    clean = dice.randrange(20, 300, 5)
    return {"clean": clean, "leaks": dice.randrange(5, clean), "right": dice.randrange(30, 90)}


def _pairs(dice: Random) -> dict[str, Any]:
    return {"pairs": dice.randrange(40, 2000), "share": dice.choice((10, 15, 20, 25, 30))}


QUESTIONS = (
    Question(
        row="1.14",
        name="leaked-score",
        text="A program is right on {right} % of new rows. Your test has {clean} new rows and {leaks} rows that the "
        "program has learned by heart. Which accuracy do you measure on average?",
        draw=_leaked,
        answer=lambda clean, leaks, right: (clean * right + leaks * 100) / (clean + leaks),
        again=lambda clean, leaks, right: 100 - clean / (clean + leaks) * (100 - right),
        wrong={
            "You took the honest accuracy. Rows that are known by heart are all right, and lift the mean.": (
                lambda right: right
            ),
            "You took the mean of both accuracies. There are more rows of one kind than of the other.": (
                lambda right: (right + 100) / 2
            ),
            "You divided by the new rows alone. The leaked rows are in the test too.": (
                lambda clean, leaks, right: (clean * right + leaks * 100) / clean
            ),
        },
        why="({clean} x {right} % + {leaks} x 100 %) / ({clean} + {leaks}) = {answer:.4g} %.",
        unit="%",
    ),
    Question(
        row="1.14",
        name="pairs",
        text="In a file {pairs} texts stand twice. Somebody draws {share} % of the rows as the test, each row by "
        "itself. Of how many texts does one copy land in the test and the other one in the training rows, on average?",
        draw=_pairs,
        answer=lambda pairs, share: pairs * 2 * share / 100 * (1 - share / 100),
        again=lambda pairs, share: pairs * (1 - (share / 100) ** 2 - (1 - share / 100) ** 2),
        wrong={
            "You counted only one order. The first copy may be in the test, or the second.": (
                lambda pairs, share: pairs * share / 100 * (1 - share / 100)
            ),
            "You counted all texts that reach the test, also those with both copies there.": (
                lambda pairs, share: pairs * (1 - (1 - share / 100) ** 2)
            ),
            "You counted every text that stands twice. Many have both copies on one side.": lambda pairs: pairs,
        },
        why="A text is split when one copy is drawn and the other is not: 2 x {share} % x (100 - {share}) %. Of "
        "{pairs} texts that is {answer:.4g}. So equal texts are to be drawn together.",
    ),
    Choice(
        row="1.14",
        name="next-step",
        text="You have a task with a train and a test file, and `check` finds nothing. What comes next?",
        right="measure baselines and a model that is simply asked",
        wrong={
            "train the largest model that fits": "Without a measurement before it, nobody can say what training has "
            "brought.",
            "look at the test rows and write a template that fits them": "Then the test no longer says how it does on "
            "rows that nobody has seen.",
            "ship the model and see what users say": "Users pay for what a test would have shown.",
        },
        why="A study of what is there already takes minutes. It says whether training is needed, and how many rows "
        "are.",
    ),
)

WRONG_SOLUTIONS = {
    "leaks_in": (
        WrongSolution(
            "def leaks_in(train_texts, test_texts):\n"
            "    return [at for at, text in enumerate(test_texts) if text in train_texts]",
            says="capitals and white space",
        ),
        WrongSolution(
            "def leaks_in(train_texts, test_texts):\n"
            "    def same(text):\n"
            "        return ' '.join(text.casefold().split())\n"
            "    seen = [same(text) for text in train_texts]\n"
            "    return [at for at, text in enumerate(test_texts) if any(one in same(text) for one in seen)]",
            says="a longer text is another text",
        ),
        WrongSolution(
            "def leaks_in(train_texts, test_texts):\n    return [text for text in test_texts if text in train_texts]",
            says="a copied text is a leak",
        ),
    )
}
