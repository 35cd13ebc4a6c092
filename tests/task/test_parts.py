"""Inputs of several columns or turns: nothing of them is lost in a prompt, and what does not fit is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.errors import PromptError
from luthier.records import Example
from luthier.results.record import read_lines_of, write_lines_of
from luthier.results.shipped_note import Shot
from luthier.task.parts import composed, cuttable, fill, joined, placeholders, shortened, transcript
from luthier.task.prompt import Renderer, template
from tests import tiny

BUSY = [HealthCheck.too_slow]  # a machine that others use draws slowly

TURNS = (("system", "Be brief."), ("user", "Where is it?"), ("assistant", "Upstairs."), ("user", "Which room?"))
CHAT = Example("c", transcript(TURNS), ("Nine.",), row=3, turns=TURNS)
COLUMNS = {"context": "Room nine is upstairs.", "question": "Where is it?"}
PAIR = Example("p", joined(COLUMNS), ("Upstairs.",), fields=COLUMNS)


def test_a_chat_keeps_its_roles_and_its_question_goes_into_the_template() -> None:
    assert template(CHAT, "Answer: {input}") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": "Upstairs."},
        {"role": "user", "content": "Answer: Which room?"},
    ]


def test_the_shots_of_a_chat_stand_between_its_system_turn_and_its_own_turns() -> None:
    roles = [message["role"] for message in template(CHAT, "{input}", [CHAT])]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user", "assistant", "user"]


def test_several_columns_stand_at_their_placeholders() -> None:
    assert fill("{question}\n\n({context})", PAIR) == "Where is it?\n\n(Room nine is upstairs.)"
    assert fill("Say: {input}", PAIR) == "Say: Room nine is upstairs.\n\nWhere is it?"
    assert fill(composed(["context", "question"]), PAIR) == PAIR.input


def test_a_paragraph_of_blank_columns_is_left_out() -> None:
    blank = replace(PAIR, fields=COLUMNS | {"context": " "})
    assert fill("Context: {context}\n\n{question}\n\nAnswer:", blank) == "Where is it?\n\nAnswer:"


names = st.sampled_from(["input", "a", "b c", "ü"])


@settings(deadline=None, suppress_health_check=BUSY)
@given(st.dictionaries(names, st.text(alphabet="{}abcinput ü\n", max_size=30), min_size=1))
def test_braces_inside_texts_are_never_placeholders(fields: dict[str, str]) -> None:
    text = "<" + "|".join(f"{{{name}}}" for name in fields) + ">"
    example = Example("x", joined(fields), ("y",), fields=fields)
    if any(value.strip() for value in fields.values()):
        assert fill(text, example) == "<" + "|".join(fields.values()) + ">"


@pytest.mark.parametrize(
    "text, found",
    [
        ("{a} and {b}", ["a", "b"]),
        ('{"label": 1} {}', []),
        (r"\boxed{answer}", []),
        ("{{a}}", []),
        ("{input}", ["input"]),
    ],
)
def test_placeholders_are_names_in_braces(text: str, found: list[str]) -> None:
    assert placeholders(text) == found


@settings(max_examples=60, deadline=None, suppress_health_check=BUSY)
@given(st.integers(0, 60), st.sampled_from([CHAT, PAIR, replace(CHAT, turns=(), input="Where is room nine?")]))
def test_a_shorter_example_is_never_longer_and_keeps_the_system_turn(characters: int, example: Example) -> None:
    now, before = shortened(example, characters), shortened(example, max(0, characters - 1))
    assert len(before.input) <= len(now.input) <= len(example.input)
    assert shortened(example, cuttable(example)) == example
    if example.turns:
        assert now.turns[0] == TURNS[0] and now.turns[-1][0] == "user"


@pytest.mark.parametrize("example", [CHAT, PAIR], ids=["chat", "columns"])
def test_what_does_not_fit_is_cut_and_counted(example: Example) -> None:
    renderer = Renderer(tiny.tokenizer(chat=True), "decoder", 512)
    text = "{input}" if example.turns else "{question}\n\n{context}"
    whole = renderer.prompt(example, text)
    small = replace(renderer, window=len(whole.prompt_ids) - 2).prompt(example, text)
    assert whole.tokens_cut == 0 < small.tokens_cut
    assert len(small.prompt_ids) <= len(whole.prompt_ids) - 2
    with pytest.raises(PromptError, match="the instruction alone does not fit"):
        replace(renderer, window=4).prompt(example, text)


@pytest.mark.parametrize("example", [CHAT, PAIR, Example("x", "in", ("out",))], ids=["chat", "columns", "one text"])
def test_files_hold_the_parts_and_only_where_there_are_some(example: Example, tmp_path: Path) -> None:
    write_lines_of(tmp_path / "examples.jsonl", [example])
    assert read_lines_of(Example, tmp_path / "examples.jsonl") == [example]
    assert ("turns" in (tmp_path / "examples.jsonl").read_text()) == bool(example.turns)
    shot = Shot.of(example)
    assert Shot.model_validate_json(shot.model_dump_json(exclude_unset=True)).example == example
    assert ("fields" in shot.as_json()) == bool(example.fields)


def test_a_control_token_in_a_row_or_in_a_shot_is_named_with_its_row() -> None:
    renderer = Renderer(tiny.tokenizer(), "decoder", 512)
    token = min(renderer.control_tokens)
    bad = Example("bad", f"Say {token} now", ("Yes.",), row=12)
    for example, shots in ((bad, []), (CHAT, [bad])):
        with pytest.raises(PromptError, match=r"example 'bad' \(row 12\): the text 'Say"):
            renderer.prompt(example, "{input}", shots)
    spoken = Example("bad", "Say it", (f"Yes {token}",), row=12)
    with pytest.raises(PromptError, match=r"example 'bad' \(row 12\)"):
        renderer.prompt(spoken, "{input}", train=True)
