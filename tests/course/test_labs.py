"""The study of a lab is one: the command that is typed, what `luthier lab` says of it, and the training job."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from luthier.course.desk import Desk, begin_desk
from luthier.course.labs import STUDIES, reports, write_lab_job
from luthier.errors import FolderError
from luthier.launch.contract import Job
from luthier.launch.sagemaker import asked_of
from luthier.studies.spec import specification
from luthier.task.task import load_task
from tests.launch.jobs import SETTINGS, failure, run, write


@pytest.mark.parametrize("week", STUDIES)
def test_the_command_and_the_job_ask_for_the_same_study(week: int, tmp_path: Path) -> None:
    study = STUDIES[week]
    words = shlex.split(study.command)
    assert words[:3] == ["luthier", "study", "dialogues"] and words[-2:] == ["--out", f"lab-{week}-study"]
    typed = dict(zip(words[3:-2:2], words[4:-2:2], strict=True))
    assert typed == {f"--{name}": value for name, value in study.settings.items()}
    write_lab_job(tmp_path / "job", week)
    asked = asked_of(Job.read({"SAGEMAKER_BASE_DIR": str(tmp_path / "job")})).study
    assert asked["arms"] == study.settings["arms"] and asked["task"] == "input/data/task"
    given = {name: value for name, value in asked.items() if name not in ("task", "arms")}
    spec = specification(asked["task"], asked["arms"], None, given)
    assert spec.test == int(study.settings["test"]) > 20, "below twenty dialogues a study gives no verdict"
    assert load_task(tmp_path / "job" / "input" / "data" / "task").hashes() == load_task("dialogues").hashes()


def test_what_is_to_be_done_is_said_until_the_report_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    desk = begin_desk()
    assert STUDIES[1].command in STUDIES[1].standing(desk) and reports(desk) == []
    folder = tmp_path / "lab-1-study"
    folder.mkdir()
    for name in ("report.html", "report.md", "answers.jsonl"):
        (folder / name).write_text("x", encoding="utf-8")
    assert str(folder / "report.html") in STUDIES[1].standing(desk) and "luthier rate" in STUDIES[1].standing(desk)
    assert STUDIES[2].command in STUDIES[2].standing(desk)
    assert reports(desk) == [folder / "report.md"]
    monkeypatch.chdir(folder)
    assert reports(desk) == [folder / "report.md"], "the folder of the desk counts, and not the one that one stands in"
    assert reports(Desk("", "nobody")) == []


@pytest.mark.slow
def test_a_job_s_folder_is_a_job_that_runs_and_goes_on(
    tmp_path: Path, tiny_folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", "set by the run")
    monkeypatch.setenv("LUTHIER_CACHE", "cache")
    base = tmp_path / "job"
    write_lab_job(base)
    with pytest.raises(FolderError, match="there is something already"):
        write_lab_job(base)
    written = json.loads((base / "input" / "config" / "hyperparameters.json").read_text(encoding="utf-8"))
    assert written == STUDIES[2].settings and all(isinstance(value, str) for value in written.values())
    # A tiny model and few rows in place of the lab's, so that it takes a second.
    shutil.copytree(tiny_folder("decoder-chat"), base / "input" / "data" / "model")
    write(base, "hyperparameters", {**written, **SETTINGS, "train": "8", "dev": "4"})
    said = run(base)
    assert said.code == 0 and failure(base) is None, said.err
    assert (base / "model" / "arm").is_dir() and (base / "output" / "data" / "report.html").is_file()
    before = (base / "model" / "study" / "compare.json").read_bytes()
    assert run(base).code == 0 and (base / "model" / "study" / "compare.json").read_bytes() == before
