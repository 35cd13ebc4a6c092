"""Text: what is read, what is held out, what is dropped, and the hash that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.scratch.corpus import docstrings_of, read_corpus, required_packages

LONG = "A sentence that is long enough to be kept as a part of a document. "


def folder_of_texts(folder: Path, count: int = 40) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:02}.txt").write_text("\n\n".join([f"{LONG * 4}Number {number}.", "Shared by all.\n"]))
    return folder


def test_documents_are_kept_apart_and_a_repeated_paragraph_is_dropped(tmp_path: Path) -> None:
    corpus = read_corpus(str(folder_of_texts(tmp_path / "texts")))
    names = [{one.name for one in part} for part in (corpus.train, corpus.held_out, corpus.elsewhere)]
    assert len(names[0]) + len(names[1]) == 40 and not names[0] & names[1] and names[2] == set()
    assert 1 <= len(names[1]) <= 8
    texts = [one.text for one in (*corpus.train, *corpus.held_out)]
    assert sum("Shared by all." in text for text in texts) == 1
    assert read_corpus(str(tmp_path / "texts")) == corpus


def test_the_hash_changes_with_any_text_and_sides_do_not(tmp_path: Path) -> None:
    before = read_corpus(str(folder_of_texts(tmp_path / "texts")))
    file = tmp_path / "texts" / before.train[0].name
    file.write_text(file.read_text() + "\n\nOne more word.")
    after = read_corpus(str(tmp_path / "texts"))
    assert after.sha256 != before.sha256
    assert [one.name for one in after.held_out] == [one.name for one in before.held_out]


def test_lines_of_json_are_documents(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": f"{LONG * 4}{n}"}) + "\n" for n in range(30)))
    assert len(read_corpus(str(file)).train) + len(read_corpus(str(file)).held_out) == 30


@pytest.mark.parametrize("content", ["", "short"])
def test_too_little_text_is_a_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match="give at least two"):
        read_corpus(str(tmp_path / "a.txt"))
    with pytest.raises(DataError):
        read_corpus(str(tmp_path / "nothing.jsonl"))


def test_docstrings_are_those_of_module_classes_and_functions(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        '"""Module."""\nclass A:\n    """Class."""\n    def f(self):\n        """Method."""\n    x = "no"\n'
    )
    assert docstrings_of(file) == "Module.\n\nClass.\n\nMethod."
    file.write_bytes(b"def \xff broken(:")
    assert docstrings_of(file) == ""


def test_packages_are_luthier_s_own_and_no_extras() -> None:
    found = required_packages()
    assert {"torch", "numpy", "scipy"} <= set(found) and "pytest" not in found
    assert list(found) == sorted(found)
