"""The wheel carries every file of the house that is no Python, and the lessons, which are read by their names."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "luthier"


def test_every_file_that_is_no_python_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["luthier"]
    packaged = {path for pattern in patterns for path in HOUSE.glob(pattern) if path.is_file()}
    there = {
        path
        for path in HOUSE.rglob("*")
        if path.is_file()
        and not path.name.startswith(".")
        and "__pycache__" not in path.parts
        and (path.suffix != ".py" or path.parent.name in ("lessons", "questions"))
    }
    assert len(there) > 20 and packaged == there
