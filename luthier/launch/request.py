"""What starts a job of SageMaker, written into a folder without asking anybody: the user reads it and sends it.

    OUT/request.json   CreateTrainingJob, for `aws sagemaker create-training-job --cli-input-json file://OUT/request.json`
    OUT/start.sh       the commands: data up, the job started, its state asked
    OUT/Dockerfile, train, serve   the image that runs jobs and endpoints
    OUT/on-start.sh    the lifecycle script that gives a notebook or Studio space luthier's kernel

The job's container is started by its entrypoint, so no script of an SDK stands before luthier. Names and values are
still such that the drivers of the SDK's third version survive them. Source of limits: the API reference of
CreateTrainingJob, Amazon SageMaker.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from luthier.errors import FolderError, SettingsError
from luthier.files import building, possible, write_json, write_text
from luthier.launch.contract import BASE, carried, decoded, refuse_used
from luthier.launch.sagemaker import refuse_unknown
from luthier.settings import Settings, settings_from

REQUEST, START = "request.json", "start.sh"
FILES = ("Dockerfile", "train", "serve", "on-start.sh")
MOST_LIFECYCLE_BYTES = 16_384
LONGEST_NAME, LONGEST_VALUE, MOST_SETTINGS = 63, 2500, 100
ENTRYPOINT = ["luthier", "sagemaker-train"]
_JOB_NAME, _CHANNEL = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}"), re.compile(r"[a-z0-9_]{1,64}")
_ROLE, _S3 = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+"), re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/\S*)?")


class JobSpec(Settings):
    """Where a job runs, and on what."""

    name: str = Field(description="the job's name: letters, digits and hyphens")
    image: str = Field(description="the image's address, made from the Dockerfile")
    role: str = Field(description="the role that the job has, as an ARN")
    s3: str = Field(description="where data, checkpoints and results lie: s3://BUCKET/PREFIX")
    channels: dict[str, str] = Field(min_length=1, description="name -> a folder here, or an s3 address")
    settings: dict[str, str] = Field({}, description="settings of the job")
    instance: str = Field("ml.m5.xlarge", pattern=r"^ml\.[a-z0-9.-]+$", description="the machine's type")
    gigabytes: int = Field(50, ge=1, le=16_384, description="of its disk")
    hours: float = Field(24, gt=0, le=28 * 24, description="after which the job is ended")
    goes_on: str | None = Field(None, description="the name of an earlier job, whose checkpoints this one goes on from")
    spot: bool = Field(False, description="whether the machine may be taken away; the job then goes on by itself")

    @field_validator("name", "goes_on")
    @classmethod
    def _is_name(cls, name: str | None) -> str | None:
        if name is not None and not _JOB_NAME.fullmatch(name):
            raise ValueError(f"'{name}' is no name of a job; give up to {LONGEST_NAME} letters, digits and hyphens")
        return name

    @field_validator("role")
    @classmethod
    def _is_role(cls, role: str) -> str:
        if not _ROLE.fullmatch(role):
            raise ValueError(f"'{role}' is no role; give one such as arn:aws:iam::123456789012:role/NAME")
        return role

    @field_validator("s3")
    @classmethod
    def _is_s3(cls, s3: str) -> str:
        if not _S3.fullmatch(s3):
            raise ValueError(f"'{s3}' is no place in S3; give s3://BUCKET/PREFIX")
        return s3.rstrip("/")

    @field_validator("channels")
    @classmethod
    def _are_channels(cls, channels: dict[str, str]) -> dict[str, str]:
        for name in channels:
            if not _CHANNEL.fullmatch(name):
                raise ValueError(
                    f"'{name}' is no name of a channel that every way to start a job takes; use the letters a to z, "
                    "digits and _"
                )
        return channels

    @model_validator(mode="after")
    def _few_settings(self) -> JobSpec:
        if len(self.settings) > MOST_SETTINGS:
            raise ValueError(
                f"there are {len(self.settings)} settings; a job takes {MOST_SETTINGS}, so use a study.toml"
            )
        for name, value in self.settings.items():
            if value[:1] == '"' and decoded(value) != value:
                raise ValueError(f"the value of '{name}' stands in quotes, which a job takes off; leave them out")
            if len(carried(value)) > LONGEST_VALUE:
                raise ValueError(
                    f"the value of '{name}' is longer than the {LONGEST_VALUE} characters that a job takes; write it "
                    "into a study.toml in a channel"
                )
        return self


def write_job(out: str | Path, given: Mapping[str, Any]) -> list[str]:
    """Writes the folder; returns the commands that start the job. Raises SettingsError and FolderError in one sentence.

    `given` are the fields of JobSpec.
    """
    out = possible(out)
    spec: JobSpec = settings_from(JobSpec, dict(given), "the job", called=_option)
    refuse_unknown(spec.settings)
    for name, source in spec.channels.items():
        if not source.startswith("s3://") and not Path(source).is_dir():
            raise FolderError(f"{source}: no such folder, for the channel '{name}'; give one, or an address in S3")
    refuse_used(out)
    commands = commands_of(spec, out)
    with building(out) as part:
        write_json(part / REQUEST, request_of(spec))
        write_text(part / START, "#!/bin/bash\nset -euo pipefail\n" + "\n".join(commands) + "\n")
        for name in FILES:
            write_text(part / name, file_text(name))
        for name in (START, "train", "serve", "on-start.sh"):
            (part / name).chmod(0o755)
    return commands


def _option(key: str) -> str:
    """How a field is typed."""
    field = key.partition(".")[0]
    return {"channels": "--channel", "settings": "--set"}.get(field, f"--{field.replace('_', '-')}")


def file_text(name: str) -> str:
    """The text of a file that ships with luthier."""
    return (resources.files("luthier") / "launch" / "shipped" / "sagemaker" / name).read_text(encoding="utf-8")


def request_of(spec: JobSpec) -> dict[str, Any]:
    """The body of CreateTrainingJob."""
    seconds = round(spec.hours * 3600)
    stopping = {"MaxRuntimeInSeconds": seconds} | ({"MaxWaitTimeInSeconds": seconds} if spec.spot else {})
    return {
        "TrainingJobName": spec.name,
        "AlgorithmSpecification": {
            "TrainingImage": spec.image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ENTRYPOINT,
        },
        "RoleArn": spec.role,
        "HyperParameters": {name: carried(value) for name, value in spec.settings.items()},
        "InputDataConfig": [_channel(spec, name) for name in spec.channels],
        "OutputDataConfig": {"S3OutputPath": f"{spec.s3}/output"},
        "CheckpointConfig": {
            "S3Uri": f"{spec.s3}/checkpoints/{spec.goes_on or spec.name}",
            "LocalPath": f"{BASE}/checkpoints",
        },
        "ResourceConfig": {"InstanceType": spec.instance, "InstanceCount": 1, "VolumeSizeInGB": spec.gigabytes},
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": spec.spot,
    }


def _channel(spec: JobSpec, name: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": _address(spec, name), "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _address(spec: JobSpec, name: str) -> str:
    source = spec.channels[name]
    return source if source.startswith("s3://") else f"{spec.s3}/data/{name}"


def commands_of(spec: JobSpec, out: Path) -> list[str]:
    """What is typed to start the job: it needs the AWS command line and its rights, which luthier does not."""
    local = [(source, name) for name, source in spec.channels.items() if not source.startswith("s3://")]
    return [
        *(shlex.join(["aws", "s3", "sync", source, _address(spec, name)]) for source, name in local),
        shlex.join(["aws", "sagemaker", "create-training-job", "--cli-input-json", f"file://{out / REQUEST}"]),
        shlex.join(["aws", "sagemaker", "describe-training-job", "--training-job-name", spec.name,
                    "--query", "[TrainingJobStatus,FailureReason]"]),
    ]  # fmt: skip


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE texts as a table. Raises SettingsError for one that is none, or a name that comes twice."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise SettingsError(f"{option} '{text}': write NAME=VALUE")
        if name in found:
            raise SettingsError(f"{option} '{name}' is given twice; give it once")
        found[name] = value
    return found
