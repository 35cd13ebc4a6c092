"""A study as a training job: whole, killed and restored, from rows, from study.toml; its sentence where it fails."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from luthier.arms.shipped import found_again, load_arm, verify
from luthier.launch.contract import Job
from luthier.launch.sagemaker import asked_of
from luthier.results.comparison import Comparison
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from tests import children
from tests.cli.ground import LORA, differing
from tests.commands import CSV, Said
from tests.launch.jobs import failure, made, make_job, new_machine, restored, run, write

KILLS = int(os.environ.get("LUTHIER_MOMENTS", "20"))
MOST_KILLS = 4  # of one job; after them it may end
SEED = 19


@pytest.fixture(scope="module", autouse=True)
def own_surroundings() -> Iterator[None]:
    """fp32, because children are forked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_PRECISION", "fp32")
        patch.setenv("SAGEMAKER_BASE_DIR", "set by each run")
        patch.setenv("LUTHIER_CACHE", "cache")  # beside the job's folder
        yield


@pytest.fixture
def fresh(tmp_path: Path, tiny_folder) -> Path:
    return make_job(tmp_path / "fresh", tiny_folder)


@dataclass(frozen=True)
class Whole:
    """A job that nothing disturbed, kept in `kept`: what it said, and how often it changed the disk below `base`."""

    base: Path
    fresh: Path
    kept: Path
    said: Said
    events: int


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Whole:
    root = tmp_path_factory.mktemp("whole")
    fresh = make_job(root / "fresh", tiny_folder)
    base = Path(shutil.copytree(fresh, root / "job"))
    (base / "output" / "failure").write_text("what an earlier try said")
    said = run(base, children.counting(base, None, root / "events"))
    kept = Path(shutil.copytree(base, root / "kept"))
    return Whole(base, fresh, kept, said, int((root / "events").read_text()))


def test_a_job_leaves_the_study_the_arm_and_the_report(whole: Whole, tmp_path: Path) -> None:
    assert whole.said.code == 0, whole.said.err
    base = whole.kept
    assert failure(base) is None
    assert whole.said.out.splitlines()[0] == Comparison.read(base / "checkpoints" / "study").ship.sentence
    assert set(Comparison.read(base / "model" / "study").arms) == {"copy-3", "zero-shot", LORA}
    assert not list((base / "model" / "study").rglob("*.safetensors"))
    assert (base / "output" / "data" / "report.html").read_bytes()
    assert StudyRecord.read(base / "checkpoints" / "study").specification["model"] == "input/data/model"
    # An endpoint has the model folder alone, wherever it lies.
    endpoint = Path(shutil.copytree(base / "model", tmp_path / "endpoint"))
    arm = load_arm(endpoint / "arm")
    verify(arm)
    assert found_again(ShippedNote.read(arm.folder).base, arm.folder) == str(endpoint / "input" / "data" / "model")


def kills(whole: Whole, count: int) -> None:
    """`count` kills at moments drawn by a seed, each followed by a new machine that has the checkpoints alone."""
    base, expected = whole.base, made(whole.kept)
    dice, moments = random.Random(SEED), []
    while len(moments) < count:
        new_machine(base, whole.fresh)
        journey, left = [], whole.events
        while len(journey) < min(MOST_KILLS, count - len(moments)):
            at = dice.randint(1, left)
            said = run(base, children.counting(base, at))
            if said.code == 0:  # it had less to do than that
                break
            assert said.code == -9, f"killed at {journey}, then: {said.err}"
            assert failure(base) is None
            restored(base, whole.fresh)
            journey.append(at)
            left = max(left - at, whole.events // 8, 2)
        again = run(base)
        assert again.code == 0, f"killed at {journey}, it does not go on: {again.err[-1000:]}"
        assert differing(made(base), expected) == [], f"killed at {journey}, it ends with other files"
        moments += journey
    print(f"{whole.events} events, killed before: {moments}")


def test_a_job_that_is_killed_goes_on_from_its_checkpoints(whole: Whole) -> None:
    kills(whole, 2)


@pytest.mark.slow
def test_a_job_that_is_killed_anywhere_goes_on_from_its_checkpoints(whole: Whole) -> None:
    kills(whole, KILLS)


def test_a_job_of_rows_makes_its_task(fresh: Path, tmp_path: Path) -> None:
    rows = fresh / "input" / "data" / "rows"
    rows.mkdir()
    (rows / "o'clock.csv").write_text(CSV)
    settings = {"data": "rows/o'clock.csv", "input": "dialogue", "target": "summary", "arms": "copy-1,copy-2"}
    write(fresh, "hyperparameters", settings)
    said = run(fresh)
    assert said.code == 0, said.err
    assert StudyRecord.read(fresh / "checkpoints" / "study").task.name == "o'clock"


def test_study_toml_in_a_channel_is_the_study(fresh: Path) -> None:
    (fresh / "input" / "data" / "task" / "study.toml").write_text(
        'task = "."\nmodel = "../model"\n[arms.mine]\nmethod = "zero-shot"\n', encoding="utf-8"
    )
    write(fresh, "hyperparameters", {"test": "3", "seed": 4})
    asked = asked_of(Job.read({"SAGEMAKER_BASE_DIR": str(fresh)}))
    assert asked.study == {"test": 3, "seed": 4, "config": "input/data/task/study.toml"}


def test_one_machine_of_several_works(fresh: Path) -> None:
    write(fresh, "resourceconfig", {"current_host": "algo-4", "hosts": ["algo-4", "algo-3"]})
    said = run(fresh)
    assert (said.code, said.out) == (0, "algo-4: a study is the work of one machine; algo-3 does it.\n")
    assert not (fresh / "checkpoints" / "study").exists()


FAILS = [  # settings, further files of a channel, what the sentence says
    ({"trian": "3"}, (), "the setting 'trian' is not known; did you mean 'train'?"),
    ({"train": "many"}, (), "the setting 'train' is 'many'; it should be a valid integer"),
    ({"train": "it's"}, (), "the setting 'train' is \"it's\""),
    ({"arms": '{"a": {"method": "lora"}}'}, (), "write tables of arms into a study.toml"),
    ({"arms": "zero-shoot"}, (), "zero-shoot"),
    ({"model": "../../etc"}, (), "../../etc"),
    ({"task": "naïve 日本 🎻"}, (), "naïve 日本 🎻"),
    ({"data": "task/none.csv", "input": "a"}, (), "no channel has this file; the channels are: model, task"),
    ({"data": "../config/hyperparameters.json", "input": "a"}, (), "lies outside this folder"),
    ({"data": "task/train.jsonl", "input": "a", "task": "task"}, (), "both a task and data"),
    (
        {"ship": "nobody"},
        (),
        "the setting 'ship' is 'nobody', which is no arm of this study; its arms are: zero-shot, copy-1, copy-2",
    ),
    ({}, ("model/task.toml",), "several channels hold a task.toml: model, task"),
]


@pytest.mark.parametrize(("settings", "more", "says"), FAILS, ids=[says[:30] for *_, says in FAILS])
def test_a_job_that_fails_leaves_one_sentence(settings, more, says: str, fresh: Path) -> None:
    write(fresh, "hyperparameters", {"arms": "copy-1,copy-2", **settings})
    for name in more:
        (fresh / "input" / "data" / name).write_text("x = 1")
    said = run(fresh)
    assert said.code == 1
    sentence = failure(fresh)
    assert says in sentence and "\n" not in sentence and "Traceback" not in sentence
    assert said.err.splitlines()[-1] == f"luthier: {sentence}"


def test_a_mistake_of_ours_is_a_sentence_too(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.launch import sagemaker

    def broken(*_: object) -> None:
        raise ZeroDivisionError("x" * 2000)

    monkeypatch.setattr(sagemaker, "train", broken)
    said = run(fresh)
    assert said.code == 1 and "Traceback" in said.err
    assert failure(fresh).startswith("luthier made a mistake (ZeroDivisionError: xxx") and len(failure(fresh)) == 1024


def test_a_job_without_a_task_says_what_to_bring(fresh: Path) -> None:
    shutil.rmtree(fresh / "input" / "data" / "task")
    assert run(fresh).code == 1
    assert failure(fresh).startswith("no channel holds a task.toml (channels: model); bring a task folder")


def test_settings_are_typed_by_their_fields(fresh: Path) -> None:
    settings = {
        "model": "12", "train": "12", "memory": "4", "panel": "True", "likelihood": "false", "arms": '["zero-shot"]',
        "defaults": '{"epochs": 2}', "seeds": json.dumps("3"), "task": "task:o'clock",
    }  # fmt: skip
    write(fresh, "hyperparameters", settings)
    assert asked_of(Job.read({"SAGEMAKER_BASE_DIR": str(fresh)})).study == {
        "model": "12", "train": 12, "memory": 4, "panel": True, "likelihood": False, "arms": ["zero-shot"],
        "defaults": {"epochs": 2}, "seeds": 3, "task": "input/data/task:o'clock",
    }  # fmt: skip
