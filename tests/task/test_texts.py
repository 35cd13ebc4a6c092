"""One visible text is one text; words that a wrong encoding spoiled are found, and right words are not suspected."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.files import write_lines
from luthier.task.examples import Columns, read_examples, unit_of
from luthier.task.texts import Cleaning, spoiled_word
from tests.task.test_opened import SENTENCES

BUSY = [HealthCheck.too_slow]  # a machine that others use draws slowly

SPOILED_AS = ("cp1252", "latin-1", "cp1251", "mac_roman", "cp437")


@settings(max_examples=200, deadline=None, suppress_health_check=BUSY)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_composed_and_decomposed_are_one_text_and_one_unit(text: str) -> None:
    apart = unicodedata.normalize("NFD", text)
    assert Cleaning().text(apart, 1) == Cleaning().text(text, 1) == unicodedata.normalize("NFC", text)
    assert unit_of(apart) == unit_of(text)


def test_what_was_composed_is_counted_and_said(tmp_path: Path) -> None:
    rows = [{"a": f"cafe\u0301 {i}" if i % 2 else f"caf\u00e9 {i}", "b": "e\u0301te\u0301"} for i in range(4)]
    write_lines(tmp_path / "x.jsonl", rows)
    examples, notes = read_examples(tmp_path / "x.jsonl", Columns(input="a", target="b"), "train")
    assert {example.input[:4] for example in examples} == {"caf\u00e9"}
    assert {example.references for example in examples} == {("\u00e9t\u00e9",)}
    assert (notes.composed, notes.composed_rows) == (6, (1, 2, 3, 4))
    assert notes.sentences() == [
        "x.jsonl: 6 texts had letters and their marks apart and were composed, in rows 1, 2, 3, 4"
    ]


@pytest.mark.parametrize("language", SENTENCES)
def test_right_texts_are_not_suspected(language: str) -> None:
    assert spoiled_word(SENTENCES[language]) == ("", "")


SPOILED = ("German", "French", "Spanish", "English", "Polish", "Czech", "Turkish", "Russian", "Greek", "Vietnamese")


@pytest.mark.parametrize("language", SPOILED)
def test_utf_8_that_was_read_in_another_encoding_is_found(language: str) -> None:
    found = 0
    for encoding in ("cp1252", "latin-1"):
        spoiled = SENTENCES[language].encode().decode(encoding, "replace")
        cleaning = Cleaning()
        cleaning.text(spoiled, 7)
        found += tuple(cleaning.spoiled_rows) == (7,)
    assert found == 2


def test_spoiled_words_are_said_with_what_they_were_and_left(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.jsonl", [{"a": "Das CafÃ© Ã¶ffnet", "b": "ja"}, {"a": "ein Caf\ufffd", "b": "ja"}])
    examples, notes = read_examples(tmp_path / "x.jsonl", Columns(input="a", target="b"), "train")
    assert examples[0].input == "Das CafÃ© Ã¶ffnet"
    (sentence,) = notes.sentences()
    assert sentence == notes.warnings()[0]
    assert "'CafÃ©' seems to be 'Café'), in rows 1, 2; export the rows again as UTF-8" in sentence
