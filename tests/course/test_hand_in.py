"""A hand-in is read alike whatever became of it: deleted, doubled and broken cells, Colab, VS Code, BOM, CRLF."""

from __future__ import annotations

import ast
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.course import deck
from luthier.course.desk import begin_desk, find_desk
from luthier.course.hand_in import functions_of, pack, packed_in, read_hand_in, trees_of
from luthier.course.marking import mark_holes
from luthier.course.source import Cell
from luthier.errors import DataError, FolderError

LESSON = deck.lesson_of(deck.row_of("1.18"))
MINE = '''def training_bytes(parameters, trainable, width):
    """My own."""
    return own_sum([parameters, trainable, trainable, trainable]) * width'''
HELPER = "def own_sum(numbers):\n    return sum(numbers)"
CELLS = [
    cell.text if not cell.has("hole") else MINE for cell in LESSON.for_learners().cells if not cell.markdown
]  # fmt: skip
HOLE = CELLS.index(MINE)
CELLS.insert(HOLE, HELPER)
STUB = LESSON.stub("training_bytes")
Cells = list[str]

MUTILATED: dict[str, Callable[[Cells], Cells]] = {
    "as it is": lambda cells: cells,
    "all else deleted": lambda cells: [HELPER, MINE],
    "doubled": lambda cells: [one for cell in cells for one in (cell, cell)],
    "an empty one before": lambda cells: [STUB, *cells],
    "an empty one behind": lambda cells: [*cells, STUB],
    "a broken cell": lambda cells: ["def broken(:\n  pass", *cells, "x = = 1"],
    "tests retyped": lambda cells: [cell.replace("== 160", "== 161") for cell in cells],
    "reversed": lambda cells: cells[::-1],
    "an older try before": lambda cells: ["def training_bytes(*_):\n    return 0", *cells],
}


def percent(cells: Cells) -> tuple[str, bytes]:
    return "row_1_18_compute.py", "\n\n".join(f"# %%\n{cell}" for cell in cells).encode()


def notebook(
    cells: Cells, name: str = "row_1_18_compute.ipynb", lines: bool = True, kind: bool = True
) -> tuple[str, bytes]:
    made = [
        ({"cell_type": "code"} if kind else {})
        | {"source": cell.splitlines(keepends=True) if lines else cell, "outputs": [{"text": "160"}]}
        for cell in cells
    ]
    return name, json.dumps({"cells": [{"cell_type": "markdown", "source": "text"}, *made]}).encode()


def colab(cells: Cells) -> tuple[str, bytes]:
    return notebook(
        ["%pip install luthier\n!ls", *[f"#@title A\n{cell}" for cell in cells]], "Copy of row_1_18_compute (1).ipynb"
    )


def exported(cells: Cells) -> tuple[str, bytes]:
    return "row_1_18_compute-2.py", "\n\n".join(f"# In[{n}]:\n\n{cell}" for n, cell in enumerate(cells)).encode()


WRITTEN: dict[str, Callable[[Cells], tuple[str, bytes]]] = {
    "script": percent,
    "notebook": notebook,
    "notebook of texts": lambda cells: notebook(cells, lines=False),
    "notebook without kinds": lambda cells: notebook(cells, kind=False),
    "Colab": colab,
    "exported": exported,
    "another name": lambda cells: ("homework.py", percent(cells)[1]),
    "BOM and CRLF": lambda cells: ("row_1_18_compute.py", b"\xef\xbb\xbf" + percent(cells)[1].replace(b"\n", b"\r\n")),
}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return path


TICKET = {".luthier-course/learner.json": json.dumps({"learner": "ann", "salt": "s", "signature": "x"}).encode()}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("mutilated", MUTILATED)
def test_what_became_of_it_changes_no_function(written: str, mutilated: str, tmp_path: Path) -> None:
    name, data = WRITTEN[written](MUTILATED[mutilated](list(CELLS)))
    handed = read_hand_in(zipped(tmp_path / "h.zip", TICKET | {f"folder/{name}": data}))
    clean = functions_of(trees_of(*percent(CELLS))[0], LESSON)
    assert "own_sum" in clean["training_bytes"]
    assert handed.functions == {"row_1_18_compute": clean}
    assert bool(handed.notes) == (mutilated == "a broken cell"), handed.notes


def test_it_is_marked_like_the_clean_one() -> None:
    (marked,) = mark_holes(LESSON, "1.18", functions_of(trees_of(*percent(CELLS))[0], LESSON))
    assert (marked.passed, marked.checks, marked.says) == (4, 4, ())
    (empty,) = mark_holes(LESSON, "1.18", {})
    assert empty.passed == 0 and empty.says == ("training_bytes: write this function",)


def test_a_folder_is_packed_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FolderError, match="nothing was learned here"):
        pack(find_desk(), tmp_path)
    desk = begin_desk()
    (tmp_path / "row_1_18_compute.py").write_bytes(percent(CELLS)[1])
    (tmp_path / "private.py").write_text("secret = 1", encoding="utf-8")
    desk.keep(kind="answer", item="1.18/memory", answer="12", right=True)
    desk.keep(kind="answer", item="1.18/memory", answer="13", right=True)
    desk.keep(kind="answer", item="1.18/factor", answer="3", take=1, right=True)
    path = pack(desk, tmp_path)
    handed = read_hand_in(path)
    assert handed.learner == "me" and handed.salt == desk.salt and handed.notes == ()
    assert handed.answers == {"1.18/memory": "12"} and handed.claims == {"1.18/memory": True}
    assert set(handed.functions) == {"row_1_18_compute"}
    before = path.read_bytes()
    assert pack(desk, tmp_path).read_bytes() == before and "private.py" not in zipfile.ZipFile(path).namelist()


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "no zip"), (b"PK\x03\x04 and so on", "no zip"), (None, "learner.json"), (b"many", "files"),
        (b"bomb", "unpacks"), (zipfile.ZIP_DEFLATED, "no zip"), (zipfile.ZIP_LZMA, "no zip"),
        (zipfile.ZIP_BZIP2, "no zip"),
    ],
)  # fmt: skip
def test_what_is_no_hand_in_is_a_sentence(data: bytes | int | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "h.zip"
    if data is None:
        zipped(path, {"x.py": b"x = 1"})
    elif data == b"many":
        zipped(path, TICKET | {f"{n}.py": b"" for n in range(1000)})
    elif data == b"bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("x.py", bytes(100 * 2**20))
    elif isinstance(data, int):
        with zipfile.ZipFile(path, "w", data) as made:
            made.writestr("x.py", bytes(range(256)) * 40)
            start = made.infolist()[0].header_offset + 30 + len("x.py")
        whole = bytearray(path.read_bytes())
        whole[start + 9 : start + 60] = b"\xff" * 51
        path.write_bytes(whole)
    else:
        path.write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_hand_in(path)


def test_copies_are_packed_whatever_they_are_called_and_wherever_they_lie(tmp_path: Path) -> None:
    desk = begin_desk(tmp_path)
    copies = ("row_1_18_compute (1).ipynb", "week/Row_1_18_compute.IPYNB", "week/copy of row_1_18_compute.py")
    others = (
        "private.py",
        "row_1_18_compute.html",
        ".hidden/row_1_18_compute.py",
        "site-packages/luthier/row_1_18_compute.py",
        "luthier/course/lessons/row_1_18_compute.py",
        "luthier/course/deck.toml",
    )
    report = "lab-1-study/report.md"
    for name in (*copies, *others, report, "lab-1-study/answers.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(notebook(CELLS)[1] if name.lower().endswith(".ipynb") else b"x = 1" * 1000)
    path = pack(desk, tmp_path / "week")
    assert packed_in(path) == [".luthier-course/learner.json", *sorted(copies), report]
    with zipfile.ZipFile(path) as made:
        assert {one.compress_type for one in made.infolist()} == {zipfile.ZIP_DEFLATED}
    assert set(read_hand_in(path).functions) == {"row_1_18_compute"}


@pytest.mark.parametrize("newer", ["row_1_18_compute (1).py", "row_1_18_compute.py"])
def test_of_two_files_that_fill_alike_the_newer_counts(newer: str, tmp_path: Path) -> None:
    desk = begin_desk(tmp_path)
    for name in ("row_1_18_compute (1).py", "row_1_18_compute.py"):
        path = tmp_path / name
        path.write_text(f"def training_bytes(*_):\n    return {name == newer}", encoding="utf-8")
        os.utime(path, (1.7e9, 1.7e9 + 60 * (name == newer)))
    assert "return True" in read_hand_in(pack(desk, tmp_path)).functions["row_1_18_compute"]["training_bytes"]


def test_a_sign_that_begins_a_line_of_python_is_no_magic() -> None:
    wrapped = "def training_bytes(a, b, c):\n    return (a\n        % b\n        != c)"
    for text in (wrapped, f"%pip install x\n!ls\n{wrapped}"):
        (tree,), broken = trees_of("x.ipynb", notebook([text])[1])
        assert broken == 0 and "a % b != c" in ast.unparse(tree)


def test_what_is_nested_too_deep_is_passed_over_and_half_characters_are_signs(tmp_path: Path) -> None:
    deep = b"x = " + b"+".join([b"1"] * 3000) + b"\n"
    line = b'{"kind": "answer", "item": "1.18/memory", "answer": "\\ud800"}'
    handed = read_hand_in(zipped(tmp_path / "h.zip", TICKET | {"row_1_18_compute.py": deep, "progress.jsonl": line}))
    assert handed.answers == {"1.18/memory": "?"}
    assert handed.functions["row_1_18_compute"] == {}


def test_progress_of_any_kind_is_read(tmp_path: Path) -> None:
    lines = (
        b'{"kind": "answer", "item": 3}\n[]\n\xff\xfe\n{"kind": "answer", "item": "1.18/memory", "answer": 4}\nnull\n{'
    )
    handed = read_hand_in(zipped(tmp_path / "h.zip", TICKET | {"progress.jsonl": lines}))
    assert handed.answers == {} and isinstance(LESSON.cells[0], Cell)
