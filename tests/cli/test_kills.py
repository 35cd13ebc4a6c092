"""kill -9 at moments drawn by a seed: whatever was killed goes on, and ends with the files of an undisturbed run.

A moment is a change of the disk (tests/children.py), so it is the same on every machine. A journey is one folder that
is killed again and again until a command ends well. LUTHIER_MOMENTS says how many kills there are in all.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

import pytest

from luthier.files import sha256_of
from luthier.model import sources
from tests import children, tiny
from tests.cli.ground import LORA, WORK, Typed, differing, files, run

MOMENTS = int(os.environ.get("LUTHIER_MOMENTS", "20"))
SEED = 20_263
MOST_KILLS = 4  # of one journey; after them the command may end
# What is killed, and its share of all kills.
KILLED: dict[str, tuple[Typed, float]] = {
    "study": (Typed(f"study task --model model --arms zero-shot,{LORA} --likelihood --out out", "out"), 0.25),
    "study of widths": (WORK["study"][1], 0.15),
    "tuning": (Typed("study task --model model --arms lora-r4 --defaults epochs=1 --tune 2 --out out", "out"), 0.1),
    "multitask": (WORK["multitask"][0], 0.1),
    "answer": (WORK["answer"][0], 0.05),
    "merge": (WORK["merge"][0], 0.1),
    "merge to a width": (WORK["merge"][1], 0.05),
    "rate": (WORK["rate"][0], 0.1),
    "first conversion": (Typed("ask packaged Ann:\u00a0Lunch? --max-new-tokens 2", "cache"), 0.1),
}
SLOW = {"study", "study of widths", "tuning", "multitask", "merge to a width"}


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies in fp32, because children are forked; and a package that holds a tiny model as GGUF."""
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    monkeypatch.setenv("LUTHIER_CACHE", "cache")
    (tmp_path / "site" / "packaged_tiny").mkdir(parents=True)
    (tmp_path / "site" / "packaged_tiny" / "__init__.py").touch()
    gguf = tiny.save_gguf(tmp_path / "site" / "packaged_tiny" / "tiny.gguf")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    packaged = sources.Packaged("packaged_tiny", "tiny.gguf", "pip install it", "a tiny model", sha256_of(gguf))
    monkeypatch.setitem(sources.SHORT_NAMES, "packaged", packaged)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in KILLED]
)
def test_what_was_killed_at_any_moment_goes_on_to_the_same_files(name: str, ground: Path, tmp_path: Path) -> None:
    typed, share = KILLED[name]
    whole = Path(shutil.copytree(ground, tmp_path / "whole"))
    said = run(typed, whole, children.counting(whole, None, tmp_path / "events"))
    assert said.code == 0, said.err
    expected, events = files(whole), int((tmp_path / "events").read_text())
    dice, moments = random.Random(f"{SEED}-{name}"), []
    while len(moments) < round(MOMENTS * share):
        here = Path(shutil.copytree(ground, tmp_path / "here"))
        journey, left = [], events
        while len(journey) < min(MOST_KILLS, round(MOMENTS * share) - len(moments)):
            at = dice.randint(1, left)
            said = run(typed, here, children.counting(here, at))
            if said.code == 0:  # it had less to do than that
                break
            assert said.code == -9, f"killed at {journey}, then: {said.err}"
            journey.append(at)
            left = max(left - at, events // 8, 2)
        again = run(typed, here)
        assert again.code == 0, f"killed at {journey}, it does not go on: {again.err[-1000:]}"
        assert differing(files(here), expected) == [], f"killed at {journey}, it ends with other files"
        assert not [path for path in here.rglob("*.part") if path.name[0] == "."], (
            f"killed at {journey}, parts are left"
        )
        shutil.rmtree(here)
        moments += journey
    print(f"{name}: {events} events, killed before: {moments}")


def test_a_kill_is_a_kill(ground: Path, tmp_path: Path) -> None:
    """The test must be able to fail: a file that is written in place is found half after a kill."""
    here = tmp_path / "here"
    here.mkdir()

    def in_place() -> None:
        for number in range(3):
            with open(here / "numbers.txt", "a") as file:
                file.write(f"{number}\n")

    assert children.run(in_place, here, children.counting(here, None, tmp_path / "events")).code == 0
    assert (tmp_path / "events").read_text() == "3"
    (here / "numbers.txt").unlink()
    assert children.run(in_place, here, children.counting(here, 3)).code == -9
    assert (here / "numbers.txt").read_text() == "0\n1\n"
