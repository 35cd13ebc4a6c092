"""Chats in a cell: OpenAI's messages and ShareGPT's conversations -> turns, the last reply as the target.

    {"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Upstairs."}]}
    {"conversations": [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Upstairs."}]}

Turns that one role says in a row are joined, what is said after the last reply is left out, and both are counted. What
is no text (an image, a call of a tool) raises an error: an answer that rests on it cannot be asked for here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

from luthier.errors import DataError
from luthier.records import Turn
from luthier.task.parts import QUESTION, REPLY, RULES
from luthier.task.texts import Cleaning

_ROLES = {
    "user": QUESTION, "human": QUESTION, "prompter": QUESTION,
    "assistant": REPLY, "gpt": REPLY, "model": REPLY, "bot": REPLY, "chatgpt": REPLY,
    "system": RULES, "developer": RULES,
}  # fmt: skip
_KEYS = (("role", "content"), ("from", "value"), ("role", "text"), ("role", "value"), ("from", "content"))
_BREAK = "\n\n"

Refuse = Callable[[str], DataError]


def messages_in(cell: Any) -> list[dict[str, Any]]:
    """The messages with roles that a cell holds, as a list or as its JSON; none where it is no chat."""
    if isinstance(cell, str) and cell.lstrip()[:1] == "[" and ("role" in cell or "from" in cell):
        cell = _list_in(cell)
    if not isinstance(cell, list) or not all(isinstance(part, dict) for part in cell):
        return []
    return cell if cell and all({"role", "from"} & set(part) for part in cell) else []


def _list_in(text: str) -> Any:
    """The list that a text writes, as JSON or as Python does (pandas writes lists into a csv so); None: no list."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def ends_in_question(messages: list[dict[str, Any]]) -> bool:
    """Whether the last message of a chat is the user's."""
    last = messages[-1]
    return _ROLES.get(str(last.get("role", last.get("from"))).strip().lower()) == QUESTION


def turns_of(messages: list[dict[str, Any]], row: int, cleaning: Cleaning, refused: Refuse) -> list[Turn]:
    """The turns of a chat, each role's in a row joined. Raises DataError for what is no turn of text."""
    turns: list[Turn] = []
    for number, message in enumerate(messages, 1):
        role = _role(message, number, refused)
        words = cleaning.text(_words(message, number, refused), row)
        if turns and turns[-1][0] == role:
            cleaning.chats["turns of a chat were joined to the turn before, which has the same role"] += 1
            turns[-1] = (role, turns[-1][1] + _BREAK + words)
        else:
            turns.append((role, words))
    return turns


def asked_and_replied(turns: list[Turn], cleaning: Cleaning, refused: Refuse) -> tuple[tuple[Turn, ...], str]:
    """What is said up to the last question, and the last reply. Raises DataError where there is no such pair."""
    last = max((place for place, (role, _) in enumerate(turns) if role == REPLY), default=-1)
    if last < 0:
        raise refused("the chat has no turn of the assistant, which would be the reference; write one")
    if after := len(turns) - 1 - last:
        cleaning.chats["turns of chats stood after the last reply and were left out"] += after
    return asked(turns[:last], refused), turns[last][1]


def asked(turns: list[Turn], refused: Refuse) -> tuple[Turn, ...]:
    """The turns of a chat that ends in a question. Raises DataError for any other."""
    if not turns or turns[-1][0] != QUESTION:
        raise refused("the chat up to there ends in no turn of the user; write the question there")
    return tuple(turns)


def _role(message: dict[str, Any], number: int, refused: Refuse) -> str:
    name = message.get("role", message.get("from"))
    role = _ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise refused(f"message {number} has the role {name!r}; the roles read here are {', '.join(_ROLES)}")
    if message.get("tool_calls") or message.get("function_call"):
        raise refused(f"message {number} calls a tool, which is not read here; leave the row out")
    return role


def _words(message: dict[str, Any], number: int, refused: Refuse) -> str:
    """The text of a message; parts of text become one."""
    content = next((message[words] for role, words in _KEYS if role in message and words in message), None)
    if isinstance(content, list) and all(isinstance(part, dict) and "text" in part for part in content):
        content = _BREAK.join(str(part["text"]) for part in content)
    if not isinstance(content, str):
        raise refused(f"message {number} has no text; write its content as a text in quotes, or leave the row out")
    return content
