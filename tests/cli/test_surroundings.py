"""Every verb for a user without a home folder and without a name, and with a clock that goes backwards."""

from __future__ import annotations

import datetime
import itertools
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from luthier.results import folder
from tests.cli.ground import WORK, Typed, differing, files, run
from tests.commands import ROOT, one_sentence

CASES = [
    pytest.param(typed, id=str(typed)) for verb, several in WORK.items() if verb != "multitask" for typed in several
]
COUNTS_LOOKS = ("study", "compare")  # in the cache


@pytest.fixture
def here(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    monkeypatch.setenv("LUTHIER_CACHE", "cache")
    return Path(shutil.copytree(ground, tmp_path / "here"))


def nameless() -> None:
    """No user of this number is known, as in a container that is started with --user."""

    def unknown(*_: Any) -> None:
        raise KeyError("getpwuid(): uid not found")

    pwd.getpwuid = pwd.getpwnam = unknown  # type: ignore[assignment] - in the child alone
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)


def homeless() -> None:
    nameless()
    os.environ.pop("LUTHIER_CACHE")


@pytest.mark.parametrize(
    "typed",
    [case if n % 2 else pytest.param(*case.values, id=case.id, marks=pytest.mark.slow) for n, case in enumerate(CASES)],
)
def test_a_user_without_a_home_works_or_is_told_where_to_work(typed: Typed, here: Path) -> None:
    there = sorted(path.name for path in here.iterdir())
    said = run(typed, here, homeless)
    if typed.words.startswith(COUNTS_LOOKS):
        assert said.code == 2
        assert said.err.splitlines()[-1].endswith("set LUTHIER_CACHE to a folder")
        said = run(typed, here, nameless)
    assert said.code == typed.code, said.err
    assert "Traceback" not in said.err
    made = {path.name for path in here.iterdir()} - {*there, typed.makes, "cache"}
    assert not made, "a folder called ~ or .cache is no home"


@pytest.mark.parametrize("words", [WORK["score"][0].words, WORK["compare"][0].words, "init --help"])
def test_a_process_without_any_environment(words: str, here: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import pwd\ndef unknown(*_):\n    raise KeyError('uid not found')\npwd.getpwuid = pwd.getpwnam = unknown\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "luthier", *words.split(" ")], cwd=here, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}"},
    )  # fmt: skip
    if words.startswith("compare"):
        one_sentence(done.stderr)
        assert (done.returncode, done.stderr.endswith("set LUTHIER_CACHE to a folder\n")) == (2, True)
    else:
        assert (done.returncode, done.stderr) == (0, "")


def clock_that_goes_backwards() -> None:
    """Every look at the wall clock is an hour before the last one."""
    began, hours = time.time(), itertools.count()

    class Backwards(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: began - 3600.0 * next(hours)  # type: ignore[assignment] - in the child alone
    time.time_ns = lambda: int(time.time() * 1e9)  # type: ignore[assignment]
    folder.datetime = type("datetime_module", (), {"datetime": Backwards, "UTC": datetime.UTC})  # type: ignore[assignment]


@pytest.mark.slow
@pytest.mark.parametrize("typed", [case for case in CASES if case.values[0].makes])
def test_a_clock_that_goes_backwards_changes_nothing(typed: Typed, ground: Path, here: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(ground, tmp_path / "whole"))
    assert run(typed, whole).code == 0
    said = run(typed, here, clock_that_goes_backwards)
    assert said.code == 0, said.err
    assert differing(files(here), files(whole)) == []
