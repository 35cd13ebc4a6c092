"""Questions of lesson 1.1: what stands in a prompt."""

from __future__ import annotations

from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution


def _parts(dice: Random) -> dict[str, Any]:
    return {
        "system": dice.randrange(8, 60),
        "control": dice.randrange(6, 20),
        "template": dice.randrange(5, 40),
        "typed": dice.randrange(10, 200),
    }


def _messages(dice: Random) -> dict[str, Any]:
    a, b, c = (dice.randrange(4, 120) for _ in range(3))
    return {"wrap": dice.randrange(3, 8), "lead": dice.randrange(2, 5), "a": a, "b": b, "c": c}


QUESTIONS = (
    Question(
        row="1.1",
        name="share",
        text="In a prompt the system message has {system} tokens, control tokens are {control}, the instruction of the "
        "template has {template}, and you typed {typed}. What share of the tokens that the model reads is yours?",
        draw=_parts,
        answer=lambda system, control, template, typed: 100 * typed / (system + control + template + typed),
        again=lambda system, control, template, typed: (
            100 - 100 * (system + control + template) / (system + control + template + typed)
        ),
        wrong={
            "The model does not see your words alone. It reads all parts of the prompt.": lambda: 100,
            "You left the control tokens out. They are read as all others are.": (
                lambda system, template, typed: 100 * typed / (system + template + typed)
            ),
            "You left the system message out. It is read although you did not type it.": (
                lambda control, template, typed: 100 * typed / (control + template + typed)
            ),
            "You counted the template's instruction as yours.": (
                lambda system, control, template, typed: (
                    100 * (typed + template) / (system + control + template + typed)
                )
            ),
        },
        why="Divide {typed} by the sum of all parts: {answer:.3g} %.",
        unit="%",
    ),
    Question(
        row="1.1",
        name="read",
        text="A chat template puts {wrap} tokens around each message, and {lead} tokens behind the last one, where the "
        "answer begins. You send a question, get an answer, and ask again. The three messages have {a}, {b} and {c} "
        "tokens. How many tokens does the model read for its second answer?",
        draw=_messages,
        answer=lambda wrap, lead, a, b, c: a + b + c + 3 * wrap + lead,
        again=lambda wrap, lead, a, b, c: sum(wrap + one for one in (a, b, c)) + lead,
        wrong={
            "You counted the words alone. Control tokens are read too.": lambda a, b, c: a + b + c,
            "You counted the last message alone. The model has no memory; the whole chat is sent again.": (
                lambda wrap, lead, c: c + wrap + lead
            ),
            "You left out the model's own first answer. It is a part of the prompt now.": (
                lambda wrap, lead, a, c: a + c + 2 * wrap + lead
            ),
            "You wrapped the chat once. Each message has its own control tokens.": (
                lambda wrap, lead, a, b, c: a + b + c + wrap + lead
            ),
        },
        why="Three messages with {wrap} tokens around each, and {lead} at the end: {answer} tokens.",
        tolerance=0,
    ),
    Choice(
        row="1.1",
        name="sees",
        text="You type a question into a chat program. What does the model read?",
        right="what you typed, inside what programs put around it",
        wrong={
            "what you typed": "The chat template adds control tokens, and often a system message.",
            "the meaning of what you typed": "It reads tokens. Any meaning is made of them inside.",
            "what you typed and its own memory of you": (
                "Its weights hold no memory of you. What it seems to remember was put into the prompt."
            ),
        },
        why="Programs build the prompt, and your words are one part of it.",
    ),
)

WRONG_SOLUTIONS = {
    "find_mine": (
        WrongSolution(
            "def find_mine(whole, typed):\n"
            "    for start in range(len(whole) - len(typed) + 1):\n"
            "        if whole[start : start + len(typed)] == typed:\n"
            "            return [start, len(typed), len(whole) - start - len(typed)]\n"
            "    return []",
            says="take the last place",
        ),
        WrongSolution(
            "def find_mine(whole, typed):\n"
            "    for start in range(len(whole) - len(typed) - 1, -1, -1):\n"
            "        if whole[start : start + len(typed)] == typed:\n"
            "            return [start, len(typed), len(whole) - start - len(typed)]\n"
            "    return []",
            says="at the very end",
        ),
        WrongSolution(
            "def find_mine(whole, typed):\n"
            "    if typed[0] not in whole:\n"
            "        return []\n"
            "    start = whole.index(typed[0])\n"
            "    return [start, len(typed), len(whole) - len(typed)]",
            says="before, inside and behind",
        ),
    )
}
