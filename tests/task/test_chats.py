"""Chats of every format become the same turns and the last reply the reference; what is no text is named by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import DataError, SettingsError
from luthier.files import write_lines
from luthier.records import Example
from luthier.task.chats import messages_in
from luthier.task.create import init_task
from luthier.task.examples import Columns, asked_example, read_examples
from luthier.task.prompt import template
from luthier.task.task import load_task

TURNS = (("system", "Be brief."), ("user", "Where?"), ("assistant", "Up."), ("user", "Which room?"))
NAMES = {"system": "system", "user": "human", "assistant": "gpt"}


def openai(turns: Any) -> list[dict[str, Any]]:
    return [{"role": role, "content": words} for role, words in turns]


def sharegpt(turns: Any) -> list[dict[str, Any]]:
    return [{"from": NAMES[role], "value": words} for role, words in turns]


def parts(turns: Any) -> list[dict[str, Any]]:
    return [{"role": role, "content": [{"type": "text", "text": words}]} for role, words in turns]


def read(folder: Path, *cells: Any, **columns: Any) -> tuple[list[Example], list[str]]:
    write_lines(folder / "x.jsonl", [{"chat": cell, "b": "a text"} for cell in cells])
    examples, notes = read_examples(folder / "x.jsonl", Columns(**{"input": "chat", **columns}), "train")
    return examples, notes.sentences()


FORMATS = {
    "openai": openai,
    "sharegpt": sharegpt,
    "parts": parts,
    "json": lambda turns: json.dumps(openai(turns)),
    "python": lambda turns: repr(openai(turns)),
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_turns_and_the_last_reply(form: str, tmp_path: Path) -> None:
    cell = FORMATS[form]([*TURNS, ("assistant", "Nine.")])
    assert messages_in(cell)
    (example,), said = read(tmp_path, cell)
    assert (example.turns, example.references, said) == (TURNS, ("Nine.",), [])
    assert [message["content"] for message in template(example, "{input}")] == [words for _, words in TURNS]
    assert example.input == "system: Be brief.\nuser: Where?\nassistant: Up.\nuser: Which room?"


def test_one_question_is_a_plain_input(tmp_path: Path) -> None:
    (example,), _ = read(tmp_path, openai([("user", "Where?"), ("assistant", "Up.")]))
    assert (example.input, example.turns, example.references) == ("Where?", (), ("Up.",))


def test_a_target_column_leaves_the_whole_chat_to_the_prompt(tmp_path: Path) -> None:
    (example,), _ = read(tmp_path, openai(TURNS), target="b")
    assert (example.turns, example.references) == (TURNS, ("a text",))


@pytest.mark.parametrize("ends_in_reply, form", [(False, "turns"), (True, "text")])
def test_beside_a_target_chats_are_turns_or_texts_by_how_they_end(
    ends_in_reply: bool, form: str, tmp_path: Path
) -> None:
    """A chat that ends in a reply is no question: it is a text to be summed up or sorted."""
    last = [("assistant", "Nine.")] if ends_in_reply else []
    rows = [
        {"chat": openai([*TURNS, ("assistant", "x"), ("user", f"{i}?"), *(last * (i % 2))]), "b": "c"}
        for i in range(20)
    ]
    write_lines(tmp_path / "x.jsonl", rows)
    init_task(tmp_path / "task", tmp_path / "x.jsonl", input="chat", target="b")
    task = load_task(tmp_path / "task")
    assert task.spec.data is not None and task.spec.data.columns.chat == form
    assert all(bool(example.turns) == (form == "turns") for example in task.train)
    assert all(example.input.startswith("system: Be brief.\nuser: Where?") for example in task.train)


def test_what_is_joined_or_left_out_is_counted(tmp_path: Path) -> None:
    twice = [("user", "Hi."), ("user", "Where?"), ("assistant", "Up."), ("user", "Thanks.")]
    (example,), said = read(tmp_path, openai(twice))
    assert (example.input, example.references) == ("Hi.\n\nWhere?", ("Up.",))
    assert said == [
        "x.jsonl: 1 turns of a chat were joined to the turn before, which has the same role",
        "x.jsonl: 1 turns of chats stood after the last reply and were left out",
    ]


REFUSED: dict[str, tuple[Any, str]] = {
    "no reply": (openai([("user", "Where?")]), "the chat has no turn of the assistant"),
    "no question": (openai([("system", "Be brief."), ("assistant", "Up.")]), "ends in no turn of the user"),
    "an unknown role": (
        [{"role": "narrator", "content": "x"}],
        "message 1 has the role 'narrator'; the roles read here",
    ),
    "a tool": (
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}],
        "message 2 calls a tool",
    ),
    "an image": ([{"role": "user", "content": [{"type": "image_url"}]}], "message 1 has no text"),
    "no content": ([{"role": "user", "content": None}], "message 1 has no text"),
    "null": (None, "the chat is empty"),
    "an empty list": ([], "the chat is empty"),
    "a text": ("hello", "no target or labels column is named, and this is no chat"),
    "a list of texts": (["a", "b"], "no target or labels column is named, and this is no chat"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_chat_is_refused_by_row(name: str, tmp_path: Path) -> None:
    cell, sentence = REFUSED[name]
    good = openai([("user", "Where?"), ("assistant", "Up.")])
    with pytest.raises(DataError) as error:
        read(tmp_path, good, cell)
    assert "x.jsonl, row 2, field 'chat': " in str(error.value) and sentence in str(error.value)


def test_init_keeps_the_roles_and_asks_without_words_of_its_own(tmp_path: Path) -> None:
    rows = [{"messages": openai([*TURNS[:3], ("user", f"Room {i}?"), ("assistant", f"{i}.")])} for i in range(20)]
    write_lines(tmp_path / "x.jsonl", rows)
    init_task(tmp_path / "task", tmp_path / "x.jsonl", input="messages")
    task = load_task(tmp_path / "task")
    assert task.spec.prompt.templates == {"plain": "{input}"}
    assert {role for example in task.train for role, _ in example.turns} == {"system", "user", "assistant"}
    assert len(task.hashes()) == 3


@pytest.mark.parametrize("instruction", [None, "Answer {question} from {context}.", "Be brief."])
def test_several_columns_stand_in_every_prompt(instruction: str | None, tmp_path: Path) -> None:
    rows = [{"context": f"Room {i} is up.", "question": f"Where is {i}?", "answer": "Up."} for i in range(20)]
    write_lines(tmp_path / "x.jsonl", rows)
    task = init_task(
        tmp_path / "task", tmp_path / "x.jsonl", input=["context", "question"], target="answer", instruction=instruction
    )
    for example in (*task.train, *task.dev, *task.test):
        for name in ("plain", "bare"):
            (message,) = template(example, task.template(name))
            assert example.fields["context"] in message["content"] and example.fields["question"] in message["content"]


WRONG = {
    "unknown": (
        "{context} {question} {foo}",
        "holds {foo}, which is nothing here; there are {context}, {question}, {input}",
    ),
    "left out": ("{question}", "holds {context} 0 times; write each input column once"),
    "twice": ("{question} {context} {context}", "holds {context} 2 times"),
    "labels of a task of texts": ("{context} {question} {labels}", "holds {labels}, which is nothing here"),
}


@pytest.mark.parametrize("name", WRONG)
def test_placeholders_are_refused_never_dropped(name: str, tmp_path: Path) -> None:
    instruction, sentence = WRONG[name]
    write_lines(tmp_path / "x.jsonl", [{"context": f"{i}", "question": "b", "answer": "c"} for i in range(20)])
    with pytest.raises(SettingsError) as error:
        init_task(
            tmp_path / "task", tmp_path / "x.jsonl", input=["context", "question"], target="answer",
            instruction=instruction,
        )  # fmt: skip
    assert sentence in str(error.value)


def test_a_single_column_may_be_called_by_its_name(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.jsonl", [{"note": f"{i}", "answer": "c"} for i in range(20)])
    task = init_task(
        tmp_path / "task", tmp_path / "x.jsonl", input="note", target="answer", instruction="Sum up: {note}"
    )
    assert task.template() == "Sum up: {input}"


def test_ask_takes_what_a_row_holds() -> None:
    assert asked_example("Where\r\nis cafe\u0301?", "Say: {input}").input == "Where\nis caf\u00e9?"
    assert asked_example(json.dumps(openai(TURNS)), "{input}").turns == TURNS
    fields = asked_example('{"b": "two", "a": 1}', "{a} {b}").fields
    assert fields == {"a": "1", "b": "two"}
    with pytest.raises(
        DataError, match=r'the arm reads several columns; give them as JSON: \{"a": "...", "b": "..."\}'
    ):
        asked_example("two", "{a} {b}")
