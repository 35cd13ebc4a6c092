"""Every verb with too little memory, under a bound on the size of files, and on a full disk.

Each ends in one sentence and an exit code. Nothing that was there is lost, and the same command without the limit goes
on to the files of an undisturbed run. LUTHIER_LIMITS=all takes every limit; else a few of each kind.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.cli import exits
from tests import children
from tests.cli.ground import COMMANDS, WORK, Typed, differing, files, run
from tests.commands import ROOT, Said, process

EVERY = os.environ.get("LUTHIER_LIMITS") == "all"
# Where not one page more may be mapped Python itself breaks: frames that cannot be called, crashes.
MEMORY = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96) if EVERY else (16,)  # MiB beyond what a process has already
FILE_SIZES = (0, 100, 1_000, 5_000, 20_000, 60_000, 150_000) if EVERY else (5_000,)  # bytes
DISKS = (0, 8, 32, 64, 128, 256, 512, 1_024) if EVERY else (64,)  # KiB beyond what is on the disk already
FROM_THE_START = (64, 128, 200, 300, 400, 500, 700, 1000, 1300, 1500, 2000) if EVERY else (128,)  # MiB in all
LONG = {"study", "multitask", "scale run", "scale fit"}

Room = Callable[[], None]
Undisturbed = Callable[[Typed], dict[str, bytes]]

CASES = [
    pytest.param(typed, id=str(typed), marks=[pytest.mark.slow] if verb in LONG else [])
    for verb, several in WORK.items()
    for typed in several
]


def test_every_verb_is_here() -> None:
    assert set(WORK) == set(COMMANDS)


@pytest.fixture(autouse=True)
def own_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    monkeypatch.setenv("LUTHIER_CACHE", "cache")  # in the folder that a command is typed in
    monkeypatch.setenv("HOME", "/nonexistent")


@pytest.fixture(scope="module")
def undisturbed(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Typed], dict[str, bytes]]:
    """The files after a command that nothing disturbed, by command."""
    known: dict[Typed, dict[str, bytes]] = {}

    def after(typed: Typed) -> dict[str, bytes]:
        if typed not in known:
            here = Path(shutil.copytree(ground, tmp_path_factory.mktemp("whole") / "here"))
            said = run(typed, here)
            assert said.code == typed.code, said.err
            known[typed] = files(here)
        return known[typed]

    return after


def problem_of(said: Said) -> str | None:
    """What is wrong with how a command ended under a limit; None when nothing is."""
    lines = [line for line in said.err.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if "Traceback" in said.err or "panicked" in said.err:
        return f"a traceback: {said.err[-600:]}"
    if said.code not in exits.CODES:
        return f"the exit code {said.code}: {said.err[-300:]}"
    if said.code and not last.startswith("luthier: "):
        return f"no sentence but {last!r}"
    if "those that were measured" in last:
        return f"a wrong reason: {last}"
    return None


def problem_under(
    typed: Typed, here: Path, before: children.Before, expected: dict[str, bytes], room: Room
) -> str | None:
    """What breaks the promise when a command runs under a limit, and then again without it; None when nothing does."""
    there = files(here)
    said = run(typed, here, before)
    if problem := problem_of(said):
        return problem
    if lost := [name for name in there if not (here / name).exists()]:
        return f"lost {lost} after: {said.err[-300:]}"
    room()
    if said.code:
        again = run(typed, here)
        if again.code != typed.code:
            return f"does not go on after '{said.err.splitlines()[-1]}': {again.err[-300:]}"
    if others := differing(files(here), expected):
        return f"other files than undisturbed: {others}; {said.err[-200:]}"
    left = [path.name for path in here.rglob("*.part")]
    return f"leaves {left}" if left else None


def enough() -> None:
    """The room that a command has when its limit goes with the process."""


@pytest.mark.parametrize("typed", CASES)
@pytest.mark.parametrize("kind, sizes", [("memory", MEMORY), ("file_size", FILE_SIZES)], ids=("memory", "file size"))
def test_too_little_is_a_sentence_and_what_was_there_goes_on(
    kind: str, sizes: tuple[int, ...], typed: Typed, ground: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected, wrong = undisturbed(typed), []
    for size in sizes:
        here = Path(shutil.copytree(ground, tmp_path / "here"))
        if problem := problem_under(typed, here, getattr(children, kind)(size), expected, enough):
            wrong.append(f"{kind} {size}: {problem}")
        shutil.rmtree(here)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("typed", [case for case, made in ((case, case.values[0].makes) for case in CASES) if made])
def test_a_full_disk_is_a_sentence_and_what_was_there_goes_on(
    typed: Typed, ground: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected, wrong = undisturbed(typed), []
    for kib in DISKS:
        with children.small_disk(tmp_path / "disk", 1 << 20):
            here = Path(shutil.copytree(ground, tmp_path / "disk" / "here"))
            used = shutil.disk_usage(here).used >> 10
            children.resize(tmp_path / "disk", used + kib)

            def room() -> None:
                children.resize(tmp_path / "disk", 1 << 20)

            if problem := problem_under(typed, here, children.nothing, expected, room):
                wrong.append(f"{kib} KiB: {problem}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("typed", CASES)
def test_a_process_that_may_map_little_from_the_start_says_so(typed: Typed, ground: Path, tmp_path: Path) -> None:
    """numpy's and torch's libraries end or hang a process that has too little for them, so it must not load them."""
    wrong = []
    for mib in FROM_THE_START:
        here = Path(shutil.copytree(ground, tmp_path / "here"))
        limit = (mib * children.MIB,) * 2
        done = process(
            *typed.words.split(" "), cwd=here, input=typed.keys, env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, limit),
        )  # fmt: skip
        if problem := problem_of(Said(done.returncode, done.stdout, done.stderr)):
            wrong.append(f"{mib} MiB: {problem}")
        shutil.rmtree(here)
    assert not wrong, "\n".join(wrong)
