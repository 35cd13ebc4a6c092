"""What starts a job: a request that AWS's own description of its interface accepts, and files within their limits."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from luthier.launch.contract import decoded
from luthier.launch.request import ENTRYPOINT, FILES, MOST_LIFECYCLE_BYTES, JobSpec, file_text, request_of
from tests.commands import ROOT

ROLE = "arn:aws:iam::123456789012:role/luthier"
GIVEN = [
    "--name",
    "notes-1",
    "--image",
    "1.dkr.ecr.eu-west-1.amazonaws.com/luthier:1",
    "--role",
    ROLE,
    "--s3",
    "s3://mine/n/",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "o'clock").mkdir()
    return tmp_path


def test_the_request_and_what_is_typed(here: Path, luthier_says) -> None:
    settings = [
        "--set",
        "instruction=What's new?",
        "--set",
        "data=task/a.csv",
        "--set",
        "input=x",
        "--set",
        "train=100",
    ]
    where = ["--channel", "task=o'clock", "--channel", "model=s3://models/flan", "--spot", "--hours", "2.5"]
    said = luthier_says("sagemaker-job", "job", *GIVEN, *where, *settings, "--goes-on", "notes-0")
    assert said.code == 0, said.err
    request = json.loads((here / "job" / "request.json").read_text())
    assert request["AlgorithmSpecification"]["ContainerEntrypoint"] == ENTRYPOINT
    assert {name: decoded(text) for name, text in request["HyperParameters"].items()} == {
        "instruction": "What's new?", "data": "task/a.csv", "input": "x", "train": 100,
    }  # fmt: skip
    assert "'" not in "".join(request["HyperParameters"].values())
    places = [channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in request["InputDataConfig"]]
    assert places == ["s3://mine/n/data/task", "s3://models/flan"]
    assert request["CheckpointConfig"] == {
        "S3Uri": "s3://mine/n/checkpoints/notes-0",
        "LocalPath": "/opt/ml/checkpoints",
    }
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 9000, "MaxWaitTimeInSeconds": 9000}
    commands = [shlex.split(line) for line in said.out.splitlines()[1:]]
    assert commands[0] == ["aws", "s3", "sync", "o'clock", "s3://mine/n/data/task"]
    assert commands[1] == ["aws", "sagemaker", "create-training-job", "--cli-input-json", "file://job/request.json"]
    subprocess.run(["bash", "-n", here / "job" / "start.sh"], check=True)


@pytest.mark.skipif(importlib.util.find_spec("botocore") is None, reason="botocore is not installed")
@pytest.mark.parametrize(
    "more", [{}, {"spot": True, "hours": 0.5, "settings": {"train": "100", "instruction": "it's"}}]
)
def test_aws_s_own_description_of_the_request_takes_it(more: dict) -> None:
    import botocore.session
    from botocore.validate import ParamValidator

    given = {"name": "n", "image": "i", "role": ROLE, "s3": "s3://mine", "channels": {"task": "s3://mine/task"}}
    model = botocore.session.Session().get_service_model("sagemaker")
    shape = model.operation_model("CreateTrainingJob").input_shape
    assert ParamValidator().validate(request_of(JobSpec(**given, **more)), shape).generate_report() == ""


REFUSED = [
    (["--channel", "my-data=o'clock"], "'my-data' is no name of a channel that every way to start a job takes"),
    (["--channel", "task=none"], "none: no such folder, for the channel 'task'"),
    (["--channel", "task"], "--channel 'task': write NAME=VALUE"),
    (["--channel", "a=o'clock", "--channel", "a=s3://b"], "--channel 'a' is given twice"),
    (["--channel", "a=o'clock", "--set", "trian=3"], "the setting 'trian' is not known; did you mean 'train'?"),
    (["--channel", "a=o'clock", "--set", "train=many"], "the setting 'train' is 'many'"),
    (["--channel", "a=o'clock", "--set", 'task="x"'], "the value of 'task' stands in quotes"),
    (["--channel", "a=o'clock", "--set", f"task={'x' * 2501}"], "longer than the 2500 characters that a job takes"),
    (["--channel", "a=o'clock", "--name", "notes_1"], "'notes_1' is no name of a job"),
    (["--channel", "a=o'clock", "--role", "luthier"], "'luthier' is no role"),
    (["--channel", "a=o'clock", "--s3", "/tmp"], "'/tmp' is no place in S3"),
    (["--channel", "a=o'clock", "--hours", "0"], "--hours is 0.0"),
    (["--channel", "a=o'clock", "--instance", "big"], "--instance is 'big'"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[says[:40] for _, says in REFUSED])
def test_what_would_fail_is_refused_before_anything_is_paid_for(words, says: str, here: Path, luthier_says) -> None:
    said = luthier_says("sagemaker-job", "job", *GIVEN, *words)
    assert said.code == 2 and says in said.err and "\n" not in said.err.strip()
    assert not (here / "job").exists()


def test_a_folder_in_use_is_left_alone(here: Path, luthier_says) -> None:
    (here / "job").mkdir()
    (here / "job" / "mine.txt").write_text("x")
    said = luthier_says("sagemaker-job", "job", *GIVEN, "--channel", "a=o'clock")
    assert said.code == 2 and "there is something already" in said.err
    assert [path.name for path in (here / "job").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_image_can_be_read_by_what_runs_them(name: str, tmp_path: Path) -> None:
    text = file_text(name)
    assert len(text.encode()) <= MOST_LIFECYCLE_BYTES and "\r" not in text
    if name != "Dockerfile":
        assert text.startswith("#!")
        (tmp_path / name).write_text(text)
        subprocess.run(["bash" if "bash" in text.splitlines()[0] else "sh", "-n", tmp_path / name], check=True)


def test_the_image_starts_verbs_that_are_there(luthier_says) -> None:
    for word in ("train", "serve"):
        command = shlex.split(file_text(word).splitlines()[-1])
        assert command[:2] == ["exec", "luthier"]
        assert luthier_says(command[2], "--help").code == 0
    assert "COPY train serve" in file_text("Dockerfile")
    torch = (ROOT / "Makefile").read_text().split("TORCH  ?= ")[1].split()[0]
    assert f"ARG TORCH={torch}\n" in file_text("Dockerfile")


def test_the_lifecycle_script_ends_while_its_work_goes_on(tmp_path: Path) -> None:
    """The work is held up by a pipe that nobody fills: only a script that does not wait for it can end."""
    programs = tmp_path / "programs"
    programs.mkdir()
    os.mkfifo(tmp_path / "held")
    (programs / "python3").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/number\ncat {tmp_path}/held\n")
    (programs / "python3").chmod(0o755)
    (tmp_path / "on-start.sh").write_text(file_text("on-start.sh"))
    environment = {"HOME": str(tmp_path / "home"), "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", tmp_path / "on-start.sh"], env=environment, capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout == f"luthier's kernel is being installed; see {tmp_path}/home/.luthier-kernel/log\n"
    while not (tmp_path / "number").exists() or not (tmp_path / "number").read_text():
        time.sleep(0.01)
    os.kill(int((tmp_path / "number").read_text()), signal.SIGKILL)  # it was still there
    with open(tmp_path / "held", "w"):  # and its reader ends
        pass
