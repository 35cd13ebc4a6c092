"""A lesson becomes a notebook and is the same script again; it runs from the first cell to the last by its kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from luthier.course import deck, notebook
from luthier.course.source import parse
from luthier.errors import SettingsError

for needed in ("jupytext", "nbformat", "nbclient", "ipykernel"):
    pytest.importorskip(needed, reason="pip install 'luthier[course]'")

ONE_OF = {row.lesson: row for row in reversed(deck.rows()) if row.done}
EVERY = [pytest.param(row, id=f"{row.id}-") for row in ONE_OF.values()]


@pytest.mark.parametrize("row", EVERY)
def test_a_round_trip_gives_the_same_script(row: deck.Row) -> None:
    lesson = deck.lesson_of(row)
    text = notebook.notebook(lesson, "python3")
    assert text == notebook.notebook(lesson, "python3")
    again = parse(notebook.script_of(text), lesson.name)
    assert [(c.markdown, c.tags, c.text) for c in again.cells] == [(c.markdown, c.tags, c.text) for c in lesson.cells]


def test_a_kernel_runs_this_interpreter_and_a_notebook_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notebook.install_kernel(tmp_path)
    spec = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
    assert spec["argv"][0] == sys.executable and "luthier" in spec["display_name"]
    code = "import warnings\nfor text in ('IProgress not found. Please', 'another'): warnings.warn(text)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **spec["env"]}, capture_output=True, text=True, check=True
    )
    assert "UserWarning: another" in done.stderr and "UserWarning: IProgress" not in done.stderr
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    assert notebook.kernel_folder() is not None
    lesson = deck.lesson_of(deck.row_of("1.18"))
    assert json.loads(notebook.notebook(lesson))["metadata"]["kernelspec"]["name"] == "luthier"


def test_nbgrader_s_cells_are_marked() -> None:
    lesson = deck.lesson_of(deck.row_of("1.18"))
    cells = json.loads(notebook.nbgrader_notebook(lesson))["cells"]
    own = {
        one["metadata"]["nbgrader"]["grade_id"]: one["metadata"]["nbgrader"]
        for one in cells
        if "nbgrader" in one["metadata"]
    }
    assert own["training_bytes"]["solution"] and not own["training_bytes"]["grade"]
    assert [one.get("points") for one in own.values() if one["grade"]] == [4]


def test_without_the_extra_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="jupytext is not installed"):
        notebook.notebook(parse("# %%\n1\n", "x"))


@pytest.mark.course
@pytest.mark.parametrize("row", EVERY)
def test_it_runs_as_a_notebook_in_an_empty_folder(
    row: deck.Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbclient
    import nbformat

    notebook.install_kernel(tmp_path / "kernel")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "kernel" / "share" / "jupyter"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    made: Any = nbformat.reads(notebook.notebook(deck.lesson_of(row)), as_version=4)
    client = nbclient.NotebookClient(
        made, kernel_name=notebook.KERNEL, timeout=600, resources={"metadata": {"path": str(tmp_path / "empty")}}
    )
    client.execute()
    shown = [out for cell in made.cells for out in cell.get("outputs", [])]
    assert any("text/html" in out.get("data", {}) for out in shown), "show() draws nothing in a notebook"
