"""Questions of lesson 1.3: the context window."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _shots(dice: Random) -> dict[str, Any]:
    return {
        "window": dice.choice((1024, 2048, 4096)),
        "room": dice.randrange(60, 401, 10),
        "asked": dice.randrange(80, 400),
        "shot": dice.randrange(60, 260),
    }


def _cut(dice: Random) -> dict[str, Any]:
    window, room, template = dice.choice((512, 1024, 2048)), dice.randrange(40, 300, 10), dice.randrange(12, 90)
    return {
        "window": window,
        "room": room,
        "template": template,
        "dialogue": window + dice.randrange(20, 900),
    }


def _by_hand(window: int, room: int, asked: int, shot: int) -> int:
    """Shots put into the window one by one."""
    left, count = window - room - asked, 0
    while left >= shot:
        left, count = left - shot, count + 1
    return count


QUESTIONS = (
    Question(
        row="1.3",
        name="shots",
        text="A decoder has a window of {window:,} tokens. {room} of them are kept for the answer. Instruction and "
        "dialogue take {asked} tokens, and each shot takes {shot}. How many shots fit?",
        draw=_shots,
        answer=lambda window, room, asked, shot: (window - room - asked) // shot,
        again=_by_hand,
        wrong={
            "You gave the whole window to the prompt. A decoder's answer stands in the same window.": (
                lambda window, asked, shot: (window - asked) // shot
            ),
            "You left out the instruction and the dialogue. They stand in the window too.": (
                lambda window, room, shot: (window - room) // shot
            ),
            "You counted a shot that does not fit whole. The renderer takes whole shots.": (
                lambda window, room, asked, shot: math.ceil((window - room - asked) / shot)
            ),
        },
        why="{window:,} - {room} - {asked} tokens are left. Shots of {shot} tokens fit in {answer} times.",
        tolerance=0,
    ),
    Question(
        row="1.3",
        name="cut",
        text="A dialogue has {dialogue:,} tokens and the template around it has {template}. The window has {window:,} "
        "tokens, and {room} are kept for the answer. How many tokens of the dialogue are cut?",
        draw=_cut,
        answer=lambda dialogue, template, window, room: dialogue + template + room - window,
        again=lambda dialogue, template, window, room: dialogue - (window - (template + room)),
        wrong={
            "You kept no room for the answer. It stands in the same window.": (
                lambda dialogue, template, window: dialogue + template - window
            ),
            "You left the template out. It takes tokens too, and it is never cut.": (
                lambda dialogue, room, window: dialogue + room - window
            ),
            "You compared the dialogue alone with the window.": lambda dialogue, window: dialogue - window,
        },
        why="Together they would take {dialogue:,} + {template} + {room} tokens. That is {answer:,} too many.",
        tolerance=0,
    ),
    Choice(
        row="1.3",
        name="silent",
        text="A dialogue was cut because it did not fit into the window. How do you learn of it?",
        right="from the program that made the prompt, when it counts what it cuts",
        wrong={
            "the model says that something is missing": "The model sees what is left. It cannot know of the rest.",
            "the answer has the mark '...' at its end": "An answer looks as fluent as any other.",
            "the program always stops with an error": "Many programs cut without a word.",
        },
        why="A cut prompt is a prompt like any other. Only a count tells you.",
    ),
)

WRONG_SOLUTIONS = {
    "fitted": (
        WrongSolution(
            "def fitted(window, room, template, dialogue, shots):\n"
            "    free = window - template\n"
            "    kept = len(shots)\n"
            "    while kept and dialogue + sum(shots[:kept]) > free:\n"
            "        kept -= 1\n"
            "    return [kept, max(0, dialogue - free)]",
            says="the room for the answer",
        ),
        WrongSolution(
            "def fitted(window, room, template, dialogue, shots):\n"
            "    free = window - room - template\n"
            "    kept = 0\n"
            "    for shot in shots:\n"
            "        if dialogue + shot <= free:\n"
            "            free -= shot\n"
            "            kept += 1\n"
            "    return [kept, max(0, dialogue - free)]",
            says="none is skipped",
        ),
        WrongSolution(
            "def fitted(window, room, template, dialogue, shots):\n"
            "    free = window - room - template\n"
            "    if dialogue + sum(shots) <= free:\n"
            "        return [len(shots), 0]\n"
            "    return [0, max(0, dialogue - free)]",
            says="leave out the last shot",
        ),
    )
}
