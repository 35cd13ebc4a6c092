"""kill -9 at random moments, and Ctrl-C: a study always goes on, repeats little, and ends with the same numbers."""

from __future__ import annotations

import datetime
import os
import random
import signal
import time
from pathlib import Path

import pytest

from luthier.files import read_lines
from tests.children import forked, fp32  # noqa: F401
from tests.studies.test_study import make_task

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("LUTHIER_KILLS", "20"))
SEED = 20_261
MOST_REPEATED_SECONDS = 60.0
ARMS = "few-shot-2,lora-r4+epochs=6+checkpoint_seconds=0,full+epochs=2+checkpoint_seconds=0"


def start(task: Path, model: Path, out: Path, arms: str = ARMS, **options: int) -> int:
    """A child process that runs the study."""
    from luthier.studies.study import study

    return forked(lambda: study(task, model=str(model), arms=arms, out=out, likelihood=True, **options))


def numbers(out: Path) -> dict[str, bytes]:
    """Every file that must be equal between two runs."""
    clocks = {"log.jsonl", "cost.json", "metrics.jsonl", "study.json"}
    whole = [p for p in out.rglob("*") if p.is_file() and p.suffix in {".json", ".jsonl", ".safetensors"}]
    return {str(p.relative_to(out)): p.read_bytes() for p in whole if p.name not in clocks}


def differing(first: Path, second: Path) -> list[str]:
    """The names alone: pytest would compare the bytes of weights letter by letter."""
    one, other = numbers(first), numbers(second)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def last_saved(out: Path) -> float:
    """When something was last safely on disk, from the log (seconds since 1970)."""
    return datetime.datetime.fromisoformat(read_lines(out / "log.jsonl")[-1]["time"]).timestamp()


@pytest.fixture
def undisturbed(
    tmp_path: Path, tiny_folder, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path, dict[str, bytes], float]:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "task").mkdir()
    task, model = make_task(tmp_path / "task", test=40), tiny_folder("decoder-chat")
    began = time.monotonic()
    _, status = os.waitpid(start(task, model, tmp_path / "whole"), 0)
    assert status == 0
    return task, model, numbers(tmp_path / "whole"), time.monotonic() - began


def test_kill_at_random_moments(undisturbed, tmp_path: Path) -> None:
    task, model, expected, seconds = undisturbed
    dice, out, moments = random.Random(SEED), tmp_path / "killed", []
    for _ in range(KILLS):
        child = start(task, model, out)
        wait = dice.uniform(0.0, 3.0 * seconds / KILLS)
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if (out / "log.jsonl").exists():
            events = read_lines(out / "log.jsonl")
            repeated = time.time() - last_saved(out)
            assert repeated <= MOST_REPEATED_SECONDS
            moments.append((round(wait, 2), len(events), round(repeated, 2)))
    print(f"seed {SEED}; undisturbed {seconds:.1f} s; (wait, events logged, seconds lost): {moments}")
    _, status = os.waitpid(start(task, model, out), 0)
    assert status == 0
    assert len({events for _, events, _ in moments}) > KILLS / 3, "the kills did not spread over the study"
    found = numbers(out)
    assert sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)) == []
    assert not list(out.rglob("*.part"))


def test_ctrl_c_stops_cleanly_and_goes_on(undisturbed, tmp_path: Path) -> None:
    task, model, expected, seconds = undisturbed
    out = tmp_path / "stopped"
    for share in (0.3, 0.6):
        child = start(task, model, out)
        time.sleep(seconds * share)
        os.kill(child, signal.SIGINT)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (0, 130)
    _, status = os.waitpid(start(task, model, out), 0)
    assert status == 0
    found = numbers(out)
    assert sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)) == []


def test_kill_while_tuning_and_under_further_seeds(tmp_path: Path, tiny_folder, monkeypatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "task").mkdir()
    task, model = make_task(tmp_path / "task"), tiny_folder("decoder-chat")
    options = {"arms": "lora+checkpoint_seconds=0", "tune": 2, "seeds": 3}
    began = time.monotonic()
    assert os.waitpid(start(task, model, tmp_path / "whole", **options), 0)[1] == 0
    seconds, dice, events = time.monotonic() - began, random.Random(SEED), set()
    for _ in range(KILLS // 2):
        child = start(task, model, tmp_path / "killed", **options)
        time.sleep(dice.uniform(0.0, 3.0 * seconds / KILLS))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        events.add(len(read_lines(tmp_path / "killed" / "log.jsonl")))
    assert os.waitpid(start(task, model, tmp_path / "killed", **options), 0)[1] == 0
    assert len(events) > KILLS / 6, "the kills did not spread over the study"
    assert differing(tmp_path / "killed", tmp_path / "whole") == []
    left = {p.name for p in (tmp_path / "killed" / "arms" / options["arms"] / "tune").iterdir()}
    assert left == {"trials.jsonl"}
