"""Power fails in the middle of a study: it goes on from whatever the disk then holds, and ends with the same numbers.

tests/power.py keeps the disk as it would be found at every moment at which something reaches it. From a part of these
disks, drawn by a seed, the study is started again; LUTHIER_CUTS says from how many.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from luthier import study
from tests.power import recorded
from tests.studies.test_interrupted import fp32, numbers, start  # noqa: F401 - fp32 holds for every test here
from tests.studies.test_study import make_task

CUTS = int(os.environ.get("LUTHIER_CUTS", "8"))
ARMS = "few-shot-1,lora-r4+epochs=2+checkpoint_seconds=0,full+epochs=1,lora-r4@int4+epochs=1"
OPTIONS = {"dev": 2, "test": 4, "train": 8}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "task").mkdir()
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "root" / "cache"))
    return make_task(tmp_path / "task")


@pytest.mark.slow
def test_a_study_goes_on_after_a_power_cut_at_any_moment(task: Path, tmp_path: Path, tiny_folder, monkeypatch) -> None:
    model, root = tiny_folder("decoder-chat"), tmp_path / "root"
    root.mkdir()
    with recorded(root, tmp_path / "cuts") as disk:
        study(task, model=str(model), arms=ARMS, out=root / "study", likelihood=True, **OPTIONS)
    expected = numbers(root / "study")
    assert disk.moments > 150
    rng = random.Random(20_262)
    for cut in rng.sample(disk.cuts, min(CUTS, len(disk.cuts))):
        shutil.rmtree(root)
        shutil.copytree(cut, root)
        _, status = os.waitpid(start(task, model, root / "study", ARMS, **OPTIONS), 0)
        assert status == 0, f"{cut.name}: the study cannot be gone on with"
        found = numbers(root / "study")
        assert {name: found.get(name) for name in expected} == expected, f"{cut.name}: other numbers"
        assert not list((root / "study").rglob("*.part"))


@pytest.mark.parametrize(
    "damaged",
    [
        "adapter/adapter_model.safetensors",
        *(pytest.param(name, marks=[pytest.mark.slow]) for name in ("adapter", "scores.jsonl", "answers.jsonl")),
    ],
)
def test_what_is_gone_or_torn_is_made_again(damaged: str, task: Path, tmp_path: Path, tiny_folder) -> None:
    model, out = tiny_folder("decoder-chat"), tmp_path / "root" / "study"
    arms = "lora-r4+epochs=1"
    study(task, model=str(model), arms=arms, out=out, **OPTIONS)
    expected, place = numbers(out), out / "arms" / arms
    if damaged.startswith("adapter"):  # of an arm that is not finished: a finished one is asked no more
        (place / "arm.json").unlink()
    path = place / damaged
    if path.is_dir():
        shutil.rmtree(path)
    elif damaged.endswith(".safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    else:
        path.unlink()
    study(task, model=str(model), arms=arms, out=out, **OPTIONS)
    assert numbers(out) == expected


@pytest.mark.slow
def test_an_empty_checkpoint_begins_the_training_anew(task: Path, tmp_path: Path, tiny_folder) -> None:
    model, out = tiny_folder("decoder-chat"), tmp_path / "root" / "study"
    arms = "lora-r4+epochs=1"
    study(task, model=str(model), arms=arms, out=out, **OPTIONS)
    expected, place = numbers(out), out / "arms" / arms
    for gone in ("arm.json", "training.json", "answers.jsonl", "luthier.json"):
        (place / gone).unlink()
    (place / "checkpoint.safetensors").write_bytes(b"")
    study(task, model=str(model), arms=arms, out=out, **OPTIONS)
    assert numbers(out) == expected


def test_a_checkpoint_that_a_kill_left_beside_a_finished_training_is_removed(
    task: Path, tmp_path: Path, tiny_folder
) -> None:
    model, out = tiny_folder("decoder-chat"), tmp_path / "root" / "study"
    arms = "lora-r4+epochs=1"
    study(task, model=str(model), arms=arms, out=out, **OPTIONS)
    expected, place = numbers(out), out / "arms" / arms
    (place / "arm.json").unlink()  # killed after training.json was written and before the checkpoint was removed
    (place / "checkpoint.safetensors").write_bytes(b"large")
    study(task, model=str(model), arms=arms, out=out, **OPTIONS)
    assert numbers(out) == expected and not (place / "checkpoint.safetensors").exists()


def test_an_arm_that_fails_can_be_left_out(task: Path, tmp_path: Path, tiny_folder) -> None:
    from luthier import SettingsError

    model, out = tiny_folder("decoder-chat"), tmp_path / "root" / "study"
    with pytest.raises(SettingsError, match="no linear layer is called 'nothing'"):
        study(task, model=str(model), arms="zero-shot,lora+targets=nothing", out=out, **OPTIONS)
    study(task, model=str(model), arms="zero-shot,few-shot-1", out=out, **OPTIONS)
    assert (out / "report.html").exists() and not (out / "arms" / "lora+targets=nothing" / "arm.json").exists()
