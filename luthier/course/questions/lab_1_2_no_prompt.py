"""Questions of lab 1.2: answers without an instruction, and a baseline."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _counts(dice: Random) -> dict[str, Any]:
    answer, reference = dice.randrange(20, 80), dice.randrange(20, 80)
    return {"answer_words": answer, "reference_words": reference, "shared": dice.randrange(5, min(answer, reference))}


def _two(dice: Random) -> dict[str, Any]:
    words = dice.randrange(20, 60)
    first, second = dice.randrange(20, 60), dice.randrange(20, 60)
    return {
        "words": words,
        "first": first,
        "second": second,
        "one": dice.randrange(3, min(words, first)),
        "two": dice.randrange(3, min(words, second)),
    }


QUESTIONS = (
    Question(
        row="lab1.2",
        name="f1",
        text="An answer has {answer_words} words and its reference {reference_words}. They share {shared} words. What "
        "is ROUGE-1 (F1), from 0 to 1?",
        draw=_counts,
        answer=lambda answer_words, reference_words, shared: 2 * shared / (answer_words + reference_words),
        again=lambda answer_words, reference_words, shared: (
            2 / (1 / (shared / answer_words) + 1 / (shared / reference_words))
        ),
        wrong={
            "That is the precision: the share of the answer's words. F1 also takes the share of the reference's.": (
                lambda answer_words, shared: shared / answer_words
            ),
            "That is the recall: the share of the reference's words. F1 also takes the share of the answer's.": (
                lambda reference_words, shared: shared / reference_words
            ),
            "You divided by all words once. Shared words stand in both texts.": (
                lambda answer_words, reference_words, shared: shared / (answer_words + reference_words)
            ),
        },
        why="2 x {shared} / ({answer_words} + {reference_words}) = {answer:.4g}.",
    ),
    Question(
        row="lab1.2",
        name="two-references",
        text="An answer of {words} words has two references. It shares {one} words with the first one, which has "
        "{first} words, and {two} with the second, which has {second}. luthier takes the mean "
        "of the two F1. What is it, from 0 to 1?",
        draw=_two,
        answer=lambda words, first, second, one, two: (2 * one / (words + first) + 2 * two / (words + second)) / 2,
        again=lambda words, first, second, one, two: one / (words + first) + two / (words + second),
        wrong={
            "You took the better one of the two. That is higher, the more references there are.": (
                lambda words, first, second, one, two: max(2 * one / (words + first), 2 * two / (words + second))
            ),
            "You put both references together into one text.": (
                lambda words, first, second, one, two: 2 * (one + two) / (words + first + second)
            ),
            "You took the worse one of the two. The mean takes both.": (
                lambda words, first, second, one, two: min(2 * one / (words + first), 2 * two / (words + second))
            ),
        },
        why="(2 x {one} / ({words} + {first}) + 2 x {two} / ({words} + {second})) / 2 = {answer:.4g}.",
    ),
    Choice(
        row="lab1.2",
        name="fluent",
        text="A model's answers are fluent English, and their mean ROUGE-1 is .23. What else do you need?",
        right="the score of a simple baseline on the same dialogues",
        wrong={
            "nothing, fluent answers are good answers": "A text can be fluent and still say what is not so.",
            "a larger model": "First find out what the number is worth.",
            "the training loss of the model": "It says how well texts are foreseen, and not how good summaries are.",
        },
        why="Copied lines often reach as much. A number says something only beside another one.",
    ),
)

WRONG_SOLUTIONS = {
    "first_lines": (
        WrongSolution(
            "def first_lines(dialogue, count):\n    return '\\n'.join(dialogue.split('\\n')[:count])",
            says="an empty line does not count",
        ),
        WrongSolution(
            "def first_lines(dialogue, count):\n    return '. '.join(dialogue.split('. ')[:count])",
            says="take the first lines, whole",
        ),
    )
}
