"""Questions of lesson 2.6: ROUGE and BLEU."""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution

_WORDS = (
    "ann", "ben", "buys", "bread", "cake", "and", "tea", "for", "the", "party", "today", "with", "milk", "jam", "salt"
)  # fmt: skip


def _bags(dice: Random) -> dict[str, Any]:
    """A reference and an answer that repeats a word more often than the reference has it."""
    reference = [dice.choice(_WORDS) for _ in range(dice.randrange(5, 10))]
    kept = dice.sample(reference, dice.randrange(2, len(reference)))
    answer = [*kept, *([dice.choice(kept)] * dice.randrange(1, 4)), *dice.sample(_WORDS, dice.randrange(1, 5))]
    dice.shuffle(answer)
    return {"reference": " ".join(reference), "answer_text": " ".join(answer)}


def _orders(dice: Random) -> dict[str, Any]:
    """A reference of different words, and an answer that drops, moves and adds some."""
    reference = dice.sample(_WORDS, dice.randrange(5, 9))
    answer = [word for word in reference if dice.random() < 0.8]
    for word in dice.sample([one for one in _WORDS if one not in reference], dice.randrange(1, 4)):
        answer.insert(dice.randrange(len(answer) + 1), word)
    at = dice.randrange(len(answer))
    answer.insert(dice.randrange(len(answer)), answer.pop(at))
    return {"reference": " ".join(reference), "answer_text": " ".join(answer)}


def _f1(shared: float, of_reference: int, of_answer: int) -> float:
    return 2 * shared / (of_reference + of_answer)


def _overlap(reference: str, answer_text: str) -> int:
    return (Counter(reference.split()) & Counter(answer_text.split())).total()


def _lcs(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        above = row[:]
        for j, second in enumerate(other):
            row[j + 1] = above[j] + 1 if word == second else max(row[j], above[j + 1])
    return row[-1]


def _run(one: list[str], other: list[str]) -> int:
    """The longest run of words without a gap that stands in both."""
    text = f" {' '.join(other)} "
    return max(
        (b - a for a in range(len(one)) for b in range(a + 1, len(one) + 1) if f" {' '.join(one[a:b])} " in text),
        default=0,
    )


def _rising(reference: str, answer_text: str) -> int:
    """The longest common subsequence of different words, as the longest rising one of their places in the reference."""
    place = {word: at for at, word in enumerate(reference.split())}
    best: list[tuple[int, int]] = []
    for word in answer_text.split():
        if word in place:
            best.append((place[word], 1 + max((n for at, n in best if at < place[word]), default=0)))
    return max((n for _, n in best), default=0)


def _by_library(reference: str, answer_text: str) -> float:
    from luthier.scoring.rouge import rouge_values

    return rouge_values(("rouge1",), answer_text, [reference], "mean", "unicode")["rouge1"]


def _bleu(dice: Random) -> dict[str, Any]:
    references = dice.randrange(200, 2000)
    answers = round(references * dice.uniform(0.55, 0.95))
    p1 = round(dice.uniform(0.4, 0.8), 2)
    p2 = round(p1 * dice.uniform(0.4, 0.7), 2)
    p3 = round(p2 * dice.uniform(0.4, 0.7), 2)
    p4 = round(p3 * dice.uniform(0.4, 0.7), 3)
    return {"references": references, "answers": answers, "p1": p1, "p2": p2, "p3": p3, "p4": p4}


QUESTIONS = (
    Question(
        row="2.6",
        name="rouge-1",
        text='The reference is "{reference}". The answer is "{answer_text}". What is F1 of ROUGE-1, without a stemmer, '
        "as a number from 0 to 1?",
        draw=_bags,
        answer=lambda reference, answer_text: _f1(
            _overlap(reference, answer_text), len(reference.split()), len(answer_text.split())
        ),
        again=_by_library,
        wrong={
            "You counted a repeated word each time. A word counts at most as often as the reference has it.": (
                lambda reference, answer_text: _f1(
                    sum(word in reference.split() for word in answer_text.split()),
                    len(reference.split()),
                    len(answer_text.split()),
                )
            ),
            "That is recall alone. F1 takes precision as well.": (
                lambda reference, answer_text: _overlap(reference, answer_text) / len(reference.split())
            ),
            "That is precision alone. F1 takes recall as well.": (
                lambda reference, answer_text: _overlap(reference, answer_text) / len(answer_text.split())
            ),
        },
        why="Count each word at most as often as both texts have it, double that, and divide by the words of both "
        "texts: {answer:.3f}.",
    ),
    Question(
        row="2.6",
        name="rouge-l",
        text='The reference is "{reference}". The answer is "{answer_text}". What is F1 of ROUGE-L, as a number from 0 '
        "to 1?",
        draw=_orders,
        answer=lambda reference, answer_text: _f1(
            _lcs(reference.split(), answer_text.split()), len(reference.split()), len(answer_text.split())
        ),
        again=lambda reference, answer_text: (
            2 * _rising(reference, answer_text) / len([*reference.split(), *answer_text.split()])
        ),
        wrong={
            "You stopped at the first gap. A common subsequence may have other words in between.": (
                lambda reference, answer_text: _f1(
                    _run(reference.split(), answer_text.split()), len(reference.split()), len(answer_text.split())
                )
            ),
            "You counted all shared words. ROUGE-L counts those that stand in the same order.": (
                lambda reference, answer_text: _f1(
                    _overlap(reference, answer_text), len(reference.split()), len(answer_text.split())
                )
            ),
            "That is recall alone. F1 takes precision as well.": (
                lambda reference, answer_text: _lcs(reference.split(), answer_text.split()) / len(reference.split())
            ),
        },
        why="Find the most words that stand in both in one order, double that, and divide by the words of both texts: "
        "{answer:.3f}.",
    ),
    Question(
        row="2.6",
        name="bleu",
        text="All answers together have {answers} words, their references {references}. Of the answers' runs of one, "
        "two, three and four words, these shares stand in a reference: {p1}, {p2}, {p3}, {p4}. What is BLEU (0 to 1)?",
        draw=_bleu,
        answer=lambda answers, references, p1, p2, p3, p4: (
            math.exp(1 - references / answers) * math.exp(sum(math.log(p) for p in (p1, p2, p3, p4)) / 4)
        ),
        again=lambda answers, references, p1, p2, p3, p4: (
            math.e ** ((answers - references) / answers) * (p1 * p2 * p3 * p4) ** 0.25
        ),
        wrong={
            "You left the brevity penalty out. The answers are shorter than the references.": (
                lambda p1, p2, p3, p4: (p1 * p2 * p3 * p4) ** 0.25
            ),
            "You took the plain mean of the four shares. BLEU takes their geometric mean.": (
                lambda answers, references, p1, p2, p3, p4: math.exp(1 - references / answers) * (p1 + p2 + p3 + p4) / 4
            ),
            "You multiplied by the ratio of lengths. The penalty is e to the power of 1 - references / answers.": (
                lambda answers, references, p1, p2, p3, p4: answers / references * (p1 * p2 * p3 * p4) ** 0.25
            ),
        },
        why="The fourth root of the product of the four shares, times e to the power of 1 - {references} / {answers}: "
        "{answer:.3g}.",
    ),
    Choice(
        row="2.6",
        name="truth",
        text="Two answers have the same ROUGE-1, ROUGE-2 and ROUGE-L. What do you know?",
        right="they share equally much with the reference, relative to their length",
        wrong={
            "they mean the same": 'No: "really" and "never" in one place score the same and say opposite things.',
            "both are true": "ROUGE compares words with the reference. It never asks whether a sentence is true.",
            "a reader likes both equally": "ROUGE knows nothing of readers. That is asked of people.",
        },
        why="ROUGE counts shared words, and nothing else.",
    ),
)

WRONG_SOLUTIONS = {
    "rouge_l": (
        WrongSolution(
            "def rouge_l(reference, answer):\n"
            "    one, other = reference.lower().split(), answer.lower().split()\n"
            "    best = 0\n"
            "    for i in range(len(one)):\n"
            "        for j in range(len(other)):\n"
            "            n = 0\n"
            "            while i + n < len(one) and j + n < len(other) and one[i + n] == other[j + n]:\n"
            "                n += 1\n"
            "            best = max(best, n)\n"
            "    return 2 * best / (len(one) + len(other))",
            says="a subsequence may have gaps",
        ),
        WrongSolution(
            "def rouge_l(reference, answer):\n"
            "    one, other = reference.lower().split(), answer.lower().split()\n"
            "    shared = sum(word in other for word in one)\n"
            "    return 2 * shared / (len(one) + len(other))",
            says="only words in the same order count",
        ),
        WrongSolution(
            "def rouge_l(reference, answer):\n"
            "    one, other = reference.lower().split(), answer.lower().split()\n"
            "    return sum(word in other for word in one) / len(one)",
            says="return their F1",
        ),
    )
}
