"""evidence.json and SHA256SUMS: whatever is changed in a folder or in a field is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luthier.errors import FolderError
from luthier.files import read_json, write_json
from luthier.results.evidence import SUMS_FILE, Evidence, Export, hashes_of, read_sums, refuse_other, write_sums

EXPORT: dict[str, Any] = {
    "kind": "f16", "file": "gguf/a-f16.gguf", "bytes": 10, "arm": "a@gguf-f16", "prompts_equal": True,
    "largest_distance": 0.01, "same_answers": 9, "answers": 10, "verdict": "equivalent", "difference": 0.0,
    "low": -0.01, "high": 0.01,
}  # fmt: skip


def evidence(**more: Any) -> Evidence:
    plain: dict[str, Any] = {
        "format": 1, "luthier": "0.1.0", "arm": "a", "method": "lora", "task": "t", "base": "b", "base_sha256": "0",
        "precision": "fp32", "data": {"test": "1"}, "study_sha256": "2", "metric": "rouge1", "margin": 0.02,
        "level": 0.95, "n": 10, "look": 1, "decision": "Ship a.", "verdict": "ship", "chosen": True, "pairs": [],
        "exports": [Export(**EXPORT)], "with_examples": True, "not_checked": ["b"], "files": {}, "evidence_sha256": "",
    }  # fmt: skip
    return Evidence(**{**plain, **more}).sealed()


def test_a_field_that_is_changed_is_seen(tmp_path: Path) -> None:
    evidence().write(tmp_path)
    Evidence.read(tmp_path).refuse_changed(tmp_path)
    before = read_json(tmp_path / "evidence.json")
    changes = {
        "arm": "b",
        "n": 11,
        "look": None,
        "decision": "Ship b.",
        "chosen": False,
        "exports": [],
        "files": {"a": "1"},
    }
    for key, value in changes.items():
        write_json(tmp_path / "evidence.json", {**before, key: value})
        with pytest.raises(FolderError, match=r"evidence\.json: a field of it was changed"):
            Evidence.read(tmp_path).refuse_changed(tmp_path)


def test_a_newer_or_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    evidence().write(tmp_path)
    before = read_json(tmp_path / "evidence.json")
    for change, words in [
        ({"format": 2}, "it has format 2"),
        ({"n": "ten"}, "'n' is 'ten'"),
        ({"more": 1}, "'more' is not"),
    ]:
        write_json(tmp_path / "evidence.json", {**before, **change})
        with pytest.raises(FolderError, match=words):
            Evidence.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "good"),
    [({}, True), ({"verdict": "better"}, True), ({"verdict": "worse"}, False), ({"verdict": "cannot tell"}, False),
     ({"verdict": None}, False), ({"prompts_equal": False}, False)],
)  # fmt: skip
def test_which_export_is_good(change: dict[str, Any], good: bool) -> None:
    assert Export(**{**EXPORT, **change}).is_good is good


def test_sums_name_every_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a b.txt").write_text("a")
    (tmp_path / "sub" / "\u00e9").write_text("b")
    first = write_sums(tmp_path)
    sums, here = read_sums(tmp_path), hashes_of(tmp_path, (SUMS_FILE,))
    assert sums == here and set(sums) == {"a b.txt", "sub/\u00e9"}
    refuse_other(tmp_path, sums, here, SUMS_FILE)
    for changed, words in [
        ({**here, "a b.txt": "0"}, "a b.txt: is not the file that SHA256SUMS names"),
        ({**here, "new": "0"}, "new: is not named by SHA256SUMS"),
        ({"a b.txt": here["a b.txt"]}, "is not there, and SHA256SUMS names it"),
    ]:
        with pytest.raises(FolderError, match=words):
            refuse_other(tmp_path, sums, changed, SUMS_FILE)
    assert write_sums(tmp_path) == first
    (tmp_path / SUMS_FILE).write_text("what is this\n")
    with pytest.raises(FolderError, match=r"SHA256SUMS: line 1 is no hash and name"):
        read_sums(tmp_path)
    (tmp_path / SUMS_FILE).unlink()
    with pytest.raises(FolderError, match="cannot be read; is this a folder that `luthier ship` made"):
        read_sums(tmp_path)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(FolderError, match="is a symbolic link"):
        hashes_of(tmp_path)
