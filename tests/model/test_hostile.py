"""Hostile model folders and templates, made by a grammar: each ends in a sentence and an exit code; nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import luthier.studies.study  # noqa: F401 - imported once, before every fork
from tests.hostile.cases import KINDS, Case, cases
from tests.hostile.runs import Place, problem, run
from tests.hostile.templates import SOUND_TEMPLATES

FAST, ALL = 26, 300
CLOCKED = ("hangs", "swells", "recurs")  # which take seconds each; the fast part has one of each


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "desk").mkdir()
    return Place.new(tmp_path / "desk")


def held(some: list[Case], place: Place) -> None:
    wrong = [f"{case}: {problem}" for case in some if (problem := run(case, place))]
    assert not wrong, f"{len(wrong)} of {len(some)} cases: " + "\n".join(wrong)


def test_hostile_folders(place: Place) -> None:
    some = [case for case in cases(ALL) if case.kind not in CLOCKED or case.number == 0]
    held(some[:FAST], place)


@pytest.mark.slow
def test_all_hostile_folders(place: Place) -> None:
    held(list(cases(ALL)), place)


def test_the_grammar_makes_sound_folders_too() -> None:
    assert {"sound template", "sound config"} < set(KINDS) and len(SOUND_TEMPLATES) >= 10
    assert len(KINDS) <= FAST


def test_each_way_to_end_badly_is_seen() -> None:
    assert problem("either", "ask", None, "", 30.0) == "hangs: 30 s"
    assert problem("either", "ask", 99, "Traceback ...\nKeyError: 1\n", 1.0) == "exit code 99: KeyError: 1"
    assert problem("refused", "ask", 0, "", 1.0) == "a wrong success"
    assert problem("runs", "ask", 2, "luthier: no\n", 1.0) == "a sound model is refused: luthier: no"
    assert problem("refused", "ask", 2, "noise\nluthier: no\n", 1.0) == "no single sentence: 'noise\\nluthier: no\\n'"
    assert problem("refused", "ask", 2, "luthier: no\n", 1.0) is None
