"""Questions of lab 1.4b: which shots a model sees."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _shots(dice: Random) -> dict[str, Any]:
    shots = tuple(dice.randrange(90, 420) for _ in range(8))
    return {
        "window": dice.choice((512, 768, 1024, 1536, 2048)),
        "room": dice.randrange(60, 400, 10),
        "question": dice.randrange(100, 420),
        "shots": shots,
        "shown": ", ".join(map(str, shots)),
    }


def _fit(free: int, shots: tuple[int, ...]) -> int:
    """How many shots in order fit into so many tokens."""
    kept = len(shots)
    while kept and sum(shots[:kept]) > free:
        kept -= 1
    return kept


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
        name="seen",
        text="A decoder has a window of {window} tokens, and {room} of them are kept for the answer. Your question has "
        "{question} tokens. Eight shots have {shown} tokens, in this order. The last ones are dropped first until all "
        "fits. How many shots does the model see?",
        draw=_shots,
        answer=lambda window, room, question, shots: _fit(window - room - question, shots),
        again=lambda window, room, question, shots: sum(
            total <= window - room - question for total in accumulate(shots)
        ),
        wrong={
            "You forgot the room for the answer. A decoder's answer stands in the same window.": (
                lambda window, question, shots: _fit(window - question, shots)
            ),
            "You forgot the question and the answer. Both stand in the window.": (
                lambda window, shots: _fit(window, shots)
            ),
            "You took all of them. What does not fit is dropped, with or without a word.": lambda shots: len(shots),
        },
        why="{window} - {room} - {question} tokens are left for shots. The first {answer} fit into them.",
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
    "shots_that_fit": (
        WrongSolution(
            "def shots_that_fit(window, room, question, shots):\n"
            "    kept = len(shots)\n"
            "    while kept and question + sum(shots[:kept]) > window:\n"
            "        kept -= 1\n"
            "    return kept",
            says="the answer takes its room",
        ),
        WrongSolution(
            "def shots_that_fit(window, room, question, shots):\n"
            "    left, kept = window - room - question, 0\n"
            "    for shot in shots:\n"
            "        if shot <= left:\n"
            "            left -= shot\n"
            "            kept += 1\n"
            "    return kept",
            says="a long example is not skipped",
        ),
        WrongSolution(
            "def shots_that_fit(window, room, question, shots):\n"
            "    kept = len(shots)\n"
            "    while kept and sum(shots[:kept]) > window - room:\n"
            "        kept -= 1\n"
            "    return kept",
            says="share the window",
        ),
        WrongSolution(
            "def shots_that_fit(window, room, question, shots):\n"
            "    kept = len(shots)\n"
            "    while kept and question + sum(shots[:kept]) >= window - room:\n"
            "        kept -= 1\n"
            "    return kept",
            says="fits exactly",
        ),
    )
}
