"""A lesson as a notebook, and a Jupyter kernel for this environment. Both need the extra `course`."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import luthier
from luthier.course.source import Lesson, checks_of, hole_of
from luthier.errors import FolderError, SettingsError
from luthier.files import write_json

KERNEL = "luthier"
FORMAT = "py:percent"
QUIET = (
    "ignore:IProgress not found"  # progress bars as text are fine, and a learner need not read of it in each notebook
)


def refuse_without_jupyter() -> None:
    """Raises SettingsError where the extra is not installed."""
    for name in ("jupytext", "nbformat", "ipykernel"):
        if importlib.util.find_spec(name) is None:
            raise SettingsError(f"{name} is not installed, which notebooks need: pip install 'luthier[course]'")


def notebook(lesson: Lesson, kernel: str | None = None) -> str:
    """The lesson as it stands, as the JSON of a notebook. `kernel` None takes luthier's own where it is installed."""
    refuse_without_jupyter()
    import jupytext
    import nbformat

    made: Any = jupytext.reads(lesson.script(), fmt=FORMAT)
    name = kernel or (KERNEL if kernel_folder() is not None else "python3")
    made.metadata = {
        "kernelspec": {"name": name, "display_name": name, "language": "python"},
        "language_info": {"name": "python"},
    }
    for at, cell in enumerate(made.cells):
        cell["id"] = f"cell-{at}"  # jupytext draws one by chance
    return str(nbformat.writes(nbformat.from_dict(made), version=4)) + "\n"


def nbgrader_notebook(lesson: Lesson) -> str:
    """The lesson as nbgrader's source notebook, version 3 of its metadata: holes to fill, tests that give points."""
    made = json.loads(notebook(lesson, "python3"))
    for at, (cell, out) in enumerate(zip(lesson.cells, made["cells"], strict=True)):
        hole, test = cell.has("hole"), cell.has("test")
        name = hole_of(cell) if hole else f"cell-{at}"
        own = {"schema_version": 3, "grade_id": name, "grade": test, "solution": hole, "locked": test, "task": False}
        if test:
            own["points"] = len(list(checks_of(cell, lesson.holes)))
        if hole or test:
            out["metadata"]["nbgrader"] = own
    return json.dumps(made, indent=1) + "\n"


def script_of(text: str) -> str:
    """The percent script of a notebook's JSON."""
    refuse_without_jupyter()
    import jupytext

    made: Any = jupytext.reads(text, fmt="ipynb")
    made.metadata = {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "tags"}}
    return str(jupytext.writes(made, fmt=FORMAT))


def kernel_folder() -> Path | None:
    """The folder of the installed kernel; None where there is none."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        return Path(KernelSpecManager().get_kernel_spec(KERNEL).resource_dir)
    except NoSuchKernel:
        return None


def install_kernel(prefix: Path | None = None) -> Path:
    """Makes a kernel `luthier` that runs this interpreter, for the user or below `prefix`; returns its folder.

    Raises SettingsError without the extra, FolderError where it cannot be written.
    """
    refuse_without_jupyter()
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_core.paths import jupyter_data_dir

    try:
        folder = (prefix / "share" / "jupyter" if prefix is not None else Path(jupyter_data_dir())) / "kernels" / KERNEL
    except RuntimeError:
        raise FolderError("you have no home folder for a kernel; name another one with --prefix") from None
    own = {"display_name": shown_name(), "env": {"PYTHONWARNINGS": QUIET}}
    write_json(folder / "kernel.json", get_kernel_dict() | own)
    return folder


def shown_name() -> str:
    """What a notebook's menu calls the kernel."""
    return f"luthier {luthier.__version__} ({sys.executable})"
