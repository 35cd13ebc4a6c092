"""Questions of lab 1.4b: which shots a model sees."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _cut(dice: Random) -> dict[str, Any]:
    """Three shots, and a question that the cut goes through."""
    window, question = dice.choice((512, 768, 1024)), dice.randrange(120, 420)
    left = dice.randrange(20, min(question - 20, 250))
    first, second = (dice.randrange(80, (window - left) // 2 - 40) for _ in range(2))
    return {
        "window": window,
        "question": question,
        "first": first,
        "second": second,
        "third": window - left - first - second,
    }


def _tokens(dice: Random) -> dict[str, Any]:
    return {
        "shots": dice.randrange(2, 9),
        "shot": dice.randrange(150, 500),
        "question": dice.randrange(120, 480),
        "answer_tokens": dice.randrange(40, 200),
    }


QUESTIONS = (
    Question(
        row="lab1.4b",
        name="left",
        text="Three shots have {first}, {second} and {third} tokens. Behind them stands your question of {question} "
        "tokens. A program cuts the prompt at {window} tokens without a word: the first ones stay. How many tokens of "
        "your question does the model read?",
        draw=_cut,
        answer=lambda window, first, second, third: window - first - second - third,
        again=lambda window, question, first, second, third: (
            question - len(range(window, first + second + third + question))
        ),
        wrong={
            "You gave what is cut off.": (
                lambda window, question, first, second, third: first + second + third + question - window
            ),
            "You thought that shots are dropped for the question. Only a program that counts does that.": (
                lambda question: question
            ),
            "You thought that all shots stay and the whole question goes. The cut is at a token.": lambda: 0,
            "You left out the last shot. It stands before the question.": (
                lambda window, first, second: window - first - second
            ),
        },
        why="The shots take {first} + {second} + {third} of {window} tokens. The {answer} that are left are the "
        "beginning of the question.",
        tolerance=0,
    ),
    Question(
        row="lab1.4b",
        name="window",
        text="A question has {question} tokens and its answer up to {answer_tokens}. You want {shots} shots of {shot} "
        "tokens each, summary included. How many tokens must the window of a decoder have?",
        draw=_tokens,
        answer=lambda shots, shot, question, answer_tokens: shots * shot + question + answer_tokens,
        again=lambda shots, shot, question, answer_tokens: sum([*[shot] * shots, question, answer_tokens]),
        wrong={
            "You forgot the answer. A decoder writes it into the same window.": (
                lambda shots, shot, question: shots * shot + question
            ),
            "You forgot the question.": lambda shots, shot, answer_tokens: shots * shot + answer_tokens,
            "You kept room for an answer behind each shot. Its summary is in its tokens already.": (
                lambda shots, shot, question, answer_tokens: shots * (shot + answer_tokens) + question + answer_tokens
            ),
            "You counted one shot.": lambda shot, question, answer_tokens: shot + question + answer_tokens,
        },
        why="{shots} x {shot} + {question} + {answer_tokens} = {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="lab1.4b",
        name="no-warning",
        text="A program shows no warning, and the prompt is longer than the window. What may have happened?",
        right="the end of the prompt is gone, and with it the question",
        wrong={
            "nothing, a model reads any length": "It may even run. But it was not trained beyond its window.",
            "the program has chosen the best examples": "Programs cut tokens. They do not weigh examples.",
            "the answer is only shorter": "The prompt was cut, and the answer may belong to no question at all.",
        },
        why="No warning is no proof. Count the tokens, and look at the end of the prompt.",
    ),
)

WRONG_SOLUTIONS = {
    "left_of_each": (
        WrongSolution(
            "def left_of_each(parts, window):\n"
            "    return [min(part, window - sum(parts[:place])) for place, part in enumerate(parts)]",
            says="behind the cut nothing is left",
        ),
        WrongSolution(
            "def left_of_each(parts, window):\n"
            "    return [part if sum(parts[: place + 1]) <= window else 0 for place, part in enumerate(parts)]",
            says="through the middle of a part",
        ),
        WrongSolution(
            "def left_of_each(parts, window):\n"
            "    left, place = list(parts), len(parts) - 1\n"
            "    left[place] -= sum(parts) - window\n"
            "    return left",
            says="behind the cut nothing is left",
        ),
    )
}
