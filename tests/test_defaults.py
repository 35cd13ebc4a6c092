"""A default that several rooms share is written in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import luthier
from luthier import defaults
from luthier.model.model import SHORT_NAMES
from luthier.studies.spec import MultitaskSpec, StudySpec

HOUSE = Path(luthier.__file__).parent


def test_the_default_model_is_one_that_is_packaged_and_no_other_file_names_it() -> None:
    assert defaults.MODEL in SHORT_NAMES
    assert {StudySpec.model_fields["model"].default, MultitaskSpec.model_fields["model"].default} == {defaults.MODEL}
    named = {
        path.relative_to(HOUSE).as_posix()
        for path in HOUSE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == defaults.MODEL
    }
    lessons = {path for path in named if path.startswith(("course/lessons/", "course/questions/"))}  # about this model
    assert named - lessons - {"planning/named.py"} == {"defaults.py"}  # where it is one of many shapes, and no default
