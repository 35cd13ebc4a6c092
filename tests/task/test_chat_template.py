"""Chat templates: as transformers renders them, with content in the form they read, and the day that was measured."""

from __future__ import annotations

from datetime import date

import pytest

from luthier.errors import PromptError
from luthier.records import Example
from luthier.task.chat_template import ChatTemplate, today
from luthier.task.prompt import Renderer, template
from tests import tiny
from tests.hostile.templates import SOUND_TEMPLATES, WHOLE

TURNS = template(Example("x", "Ann: May I come?", ("No.",)), "Sum up.\n\n{input}", tiny.examples(2))
DATED = "Today is {{ strftime_now('%d %b %Y') }}. " + WHOLE


def made(source: str, day: str = "2026-07-05") -> ChatTemplate:
    return ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}, "a/chat_template.jinja", day)


@pytest.mark.parametrize("source", SOUND_TEMPLATES)
@pytest.mark.parametrize("answer_follows", [True, False])
def test_the_text_is_what_transformers_makes(source: str, answer_follows: bool) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = source
    own = ChatTemplate.of(tokenizer, today())
    assert own is not None
    turns = [
        dict(turn) | ({"content": [{"type": "text", "text": turn["content"]}]} if own.takes_parts else {})
        for turn in TURNS
    ]
    theirs = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer_follows)
    assert own.text(TURNS, answer_follows=answer_follows) == theirs
    assert all(turn["content"] in theirs for turn in TURNS)


def test_content_is_given_as_parts_only_where_a_text_would_vanish() -> None:
    assert made(WHOLE.replace("message['content']", "message['content'][0]['text']")).takes_parts
    either = "{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text }}{% endif %}"
    both = "{% for m in messages %}" + either + "{% endfor %}"
    assert not made(both).takes_parts
    assert not made("Hello").takes_parts  # it drops the input in either form


@pytest.mark.parametrize(
    "format", ["%d %b %Y", "%Y-%m-%d", "%A, %-d %B", "100%% on %d", "%H:%M", "%x %X %c", "%%d %j %U"]
)
def test_the_clock_says_the_day_in_every_format(format: str) -> None:
    text = made("{{ strftime_now('" + format + "') }}{% for m in messages %}{{ m.content }}{% endfor %}").text(TURNS)
    assert text.startswith(date(2026, 7, 5).strftime(format.replace("%H:%M", "00:00").replace("%X", "00:00:00"))) or (
        "%c" in format and "Jul" in text
    )


def test_the_same_day_gives_the_same_prompt_and_another_day_another() -> None:
    tokenizer = tiny.tokenizer(chat=True)
    tokenizer.chat_template = DATED
    prompts = [
        Renderer(tokenizer, "decoder", 512, day=day).prompt(Example("x", "Hello", ()), "{input}").text
        for day in ("2026-07-05", "2026-07-05", "2026-07-06")
    ]
    assert prompts[0] == prompts[1] != prompts[2]
    assert prompts[0].startswith("Today is 05 Jul 2026. <|im_start|>user\nHello")
    assert made(DATED).reads_clock and not made(WHOLE).reads_clock


@pytest.mark.parametrize("source, said", [
    ("{% for m in messages %}", "Unexpected end of template"),
    ("{{ raise_exception('A system message must come first') }}", "A system message must come first"),
    ("{{ 1 / 0 }}", "division by zero"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ("{{ ''.__class__.__mro__ }}", "unsafe"),
    ("{% include '/etc/passwd' %}", "no loader"),
])  # fmt: skip
def test_whatever_a_template_raises_is_a_sentence_with_its_file(source: str, said: str) -> None:
    with pytest.raises(PromptError, match=f"^a/chat_template.jinja: the chat template cannot be rendered .*{said}"):
        made(source).text(TURNS)


@pytest.mark.parametrize("value, said", [
    (7, "is int and no text"), ([1], "is list and no text"), ({"default": 7}, "is int and no text"),
    ({"tool_use": "x"}, "has the names tool_use, and none is 'default'"),
])  # fmt: skip
def test_a_template_that_is_no_text_is_a_sentence(value: object, said: str) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = value
    with pytest.raises(PromptError, match=f"the tokenizer: the chat template .*{said}"):
        ChatTemplate.of(tokenizer, today())
