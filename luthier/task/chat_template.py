"""A model's chat template: messages -> the text that the model was trained to continue.

Two things of a template are settled here, so that a prompt is the same whoever renders it, and whenever:

    content   some templates read a message's content as a text, others as a list of parts; the template is asked which
    clock     a template may print today's date; the day is a part of the rendering, kept with what was measured

A template is a program that comes with a model. model/template_trial.py runs it in a process of its own first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.errors import PromptError
from luthier.files import sha256_of_text

Message = dict[str, str]  # {"role": "user" | "assistant" | "system", "content": text}

MARK = "\ue000answer\ue000"  # private-use characters: no tokenizer or template treats them specially
CLOCK = "strftime_now"  # what transformers calls the clock of a template
_DIRECTIVES = "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ"  # of strftime; a day begins at midnight
_FLAGS = ("-", "_", "0", "^", "#", "")  # between % and a directive
_PERCENT = ("%%", "\ue001"), ("\ue001", "%")  # the first and the last replacement: a sign that is meant as it stands
# A macro of the clock's name stands before the clock itself. It fills the format from the day's words.
_CLOCK_OF_DAY = (
    "{% macro " + CLOCK + "(format) %}{% set said = namespace(text=format) %}{% for pair in luthier_day %}"
    "{% set said.text = said.text | replace(pair[0], pair[1]) %}{% endfor %}{{ said.text }}{% endmacro %}\n"
)


def today() -> str:
    """The date of today here, as templates print it: 2026-07-30."""
    return date.today().isoformat()


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template, the tokens that it may name, the file that it stands in, and the day that it prints.

    `day` is a date such as 2026-07-30. Rendering raises PromptError, one sentence, whatever the template does.
    """

    source: str
    tokens: Mapping[str, Any]
    file: str
    day: str

    @classmethod
    def of(cls, tokenizer: Any, day: str) -> ChatTemplate | None:
        """The template that a tokenizer brings; None where it has none. Raises PromptError for one that is no text."""
        given = getattr(tokenizer, "chat_template", None)
        if not given:
            return None
        file = _file_of(tokenizer)
        source = given.get("default") if isinstance(given, dict) else given
        if not isinstance(source, str):
            problem = f"is {type(source).__name__} and no text"
            if isinstance(given, dict) and "default" not in given:
                problem = f"has the names {', '.join(map(str, given))[:80]}, and none is 'default'"
            raise PromptError(f"{file}: the chat template {problem}; mend it, or choose another model")
        return cls(source, dict(tokenizer.special_tokens_map), file, day)

    @property
    def reads_clock(self) -> bool:
        """Whether the text may depend on the day."""
        return CLOCK in self.source

    @property
    def sha256(self) -> str:
        """One hash over all that the template renders with, but for messages and day."""
        return sha256_of_text(self.source, repr(sorted(self.tokens.items(), key=lambda item: item[0])))

    def text(self, messages: Sequence[Message], *, answer_follows: bool = True) -> str:
        """The conversation as text; with `answer_follows` up to where the next answer begins."""
        return self._render(messages, answer_follows, self.takes_parts)

    @cached_property
    def takes_parts(self) -> bool:
        """Whether a message's words reach the text only when its content is a list of parts."""
        question: list[Message] = [{"role": "user", "content": MARK}]
        refused = None
        try:
            if MARK in self._render(question, True, parts=False):
                return False
        except PromptError as error:
            refused = error
        try:
            if MARK in self._render(question, True, parts=True):
                return True
        except PromptError:
            pass
        if refused:
            raise refused
        return False

    def _render(self, messages: Sequence[Message], answer_follows: bool, parts: bool) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        given: list[dict[str, Any]] = [dict(message) for message in messages]
        if parts:
            given = [one | {"content": [{"type": "text", "text": one["content"]}]} for one in given]
        source, clock = (_CLOCK_OF_DAY + self.source, _words_of(self.day)) if self.reads_clock else (self.source, [])
        try:
            rendered: Any = render_jinja_template(
                conversations=[given],
                chat_template=source,
                add_generation_prompt=answer_follows,
                **{**self.tokens, **({"luthier_day": clock} if clock else {})},
            )
        except Exception as error:  # a template is a foreign program, so it can raise anything
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise PromptError(
                f"{self.file}: the chat template cannot be rendered ({said}); mend it, or choose another model"
            ) from error
        return str(rendered[0][0])


def _words_of(day: str) -> list[tuple[str, str]]:
    """(directive of strftime, what it is on that day), in the order in which a format is filled."""
    moment = datetime.fromisoformat(day)
    named = [(f"%{flag}{letter}", moment.strftime(f"%{flag}{letter}")) for flag in _FLAGS for letter in _DIRECTIVES]
    first, last = _PERCENT
    return [first, *named, last]


def _file_of(tokenizer: Any) -> str:
    """The file that holds a tokenizer's chat template, as far as its folder tells."""
    folder = Path(str(getattr(tokenizer, "name_or_path", "") or ""))
    if not folder.parts or not folder.is_dir():
        return "the tokenizer"
    own = folder / "chat_template.jinja"
    return str(own if own.is_file() else folder / "tokenizer_config.json")
