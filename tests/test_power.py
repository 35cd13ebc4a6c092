"""Power fails at every moment of a write: what is found afterwards is the old thing or the new one, whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.files import append_lines, building, read_lines, replacing, write_json, write_lines, write_text
from tests.power import recorded


def contents(folder: Path) -> dict[str, bytes]:
    """What a reader of the folder sees: files in the making have hidden names."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {name: path.read_bytes() for path in files if ".part" not in (name := path.relative_to(folder).as_posix())}


def build(root: Path, data: bytes) -> None:
    with building(root / "model") as part:
        (part / "weights.bin").write_bytes(data * 5000)
        (part / "deep").mkdir()
        (part / "deep" / "config.json").write_bytes(data)


WRITES: dict[str, Callable[[Path, str], None]] = {
    "text": lambda root, text: write_text(root / "a" / "b" / "x.txt", text * 100),
    "json": lambda root, text: write_json(root / "x.json", {"text": text}),
    "lines": lambda root, text: write_lines(root / "x.jsonl", [{"text": text}] * 9),
    "folder": lambda root, text: build(root, text.encode()),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_whole_thing_is_the_old_one_or_the_new_one(name: str, tmp_path: Path) -> None:
    root, write = tmp_path / "root", WRITES[name]
    root.mkdir()
    whole: list[dict[str, bytes]] = [{}]
    with recorded(root, tmp_path / "cuts") as disk:
        for text in ("one", "two"):
            write(root, text)
            whole.append(contents(root))
    found = [contents(cut) for cut in disk.cuts]
    assert all(each in whole for each in found)
    assert found[-1] == whole[-1] and {len(each) for each in whole} != {0}, "it is on disk when the call returns"


def test_lines_that_were_added_stay_and_the_tail_is_dropped(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    rows = [{"n": n, "text": "x" * 50} for n in range(6)]
    with recorded(root, tmp_path / "cuts") as disk:
        for start in (0, 2, 4):
            append_lines(root / "x.jsonl", rows[start : start + 2])
    found = [read_lines(cut / "x.jsonl") for cut in disk.cuts]
    assert all(each == rows[: len(each)] for each in found)
    lengths = [len(read_lines(cut / "x.jsonl")) for cut in disk.cuts if cut.name.endswith("lost")]
    assert lengths == sorted(lengths) and lengths[-1] == 6


def test_the_shim_sees_a_write_that_is_not_safe(tmp_path: Path) -> None:
    """A rename whose data was never synced: the test must be able to fail."""
    root = tmp_path / "root"
    root.mkdir()
    with recorded(root, tmp_path / "cuts") as disk:
        (root / "x.part").write_bytes(b"new" * 100)
        (root / "x.part").rename(root / "x")
    assert {(cut / "x").read_bytes() if (cut / "x").exists() else None for cut in disk.cuts} == {None, b"new" * 50}


def test_a_block_that_fails_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    build(tmp_path, b"old")
    before = contents(tmp_path)
    (tmp_path / ".model.left-by-a-kill.part").mkdir()
    with pytest.raises(ZeroDivisionError), building(tmp_path / "model") as part:
        (part / "weights.bin").write_bytes(b"half")
        raise ZeroDivisionError
    assert contents(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
