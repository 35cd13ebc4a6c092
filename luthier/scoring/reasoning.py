"""Reasoning blocks of answers: what a model wrote to itself before its answer, in tags such as <think>...</think>.

    answer's text --without_reasoning--> what is left, for a task that says reasoning = "leave out"

A block is everything from an opening tag to its closing tag. Where the opening tag is missing, as with models whose
prompt ends in it, the block begins with the text; where the closing tag is missing, the answer was stopped inside it
and nothing is left behind it.
"""

from __future__ import annotations

import re

NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think", "begin_of_thought")
_NAME = "|".join(NAMES)
# <think> of most models, [THINK] of Magistral, ◁think▷ of Kimi, <|begin_of_thought|> of Sky-T1.
_OPEN = re.compile(rf"(?:<\|?|\[|◁)\s*(?:{_NAME})\s*(?:\|?>|\]|▷)", re.IGNORECASE)
_CLOSE = re.compile(
    rf"(?:</|\[/|◁/)\s*(?:{_NAME})\s*(?:>|\]|▷)|<\|\s*(?:/(?:{_NAME})|end_of_thought)\s*\|>", re.IGNORECASE
)


def without_reasoning(text: str) -> str:
    """The text without its reasoning blocks; unchanged where it holds none."""
    if not (marks := _marks(text)):
        return text
    kept, at, depth = [], 0, 0
    if not marks[0][2]:  # it closes what the prompt has opened
        at, marks = marks[0][1], marks[1:]
    for start, end, opens in marks:
        if opens:
            kept += [text[at:start]] if depth == 0 else []
            depth += 1
        elif depth:
            depth, at = depth - 1, end
        # A closing tag without an opening one stays: it closes nothing.
    return "".join([*kept, text[at:] if depth == 0 else ""]).strip()


def holds_reasoning(text: str) -> bool:
    """Whether the text has a reasoning block, or a part of one."""
    return bool(_marks(text))


def _marks(text: str) -> list[tuple[int, int, bool]]:
    """(start, end, whether it opens) of every tag, in order."""
    if not any(sign in text for sign in "<[◁"):
        return []
    marks = [(*match.span(), True) for match in _OPEN.finditer(text)]
    return sorted(marks + [(*match.span(), False) for match in _CLOSE.finditer(text)])
