"""A study as a training job of SageMaker: from a channel, through the study's own folder, to the model folder.

    settings, channels --asked--> what to study --study--> BASE/checkpoints/study
    --hand_over--> BASE/model/arm (shipped), BASE/model/study (records), BASE/output/data (the report)

The study's folder lies among the checkpoints from the first step, so a machine that is taken away (a spot instance) is
a study that was killed: the next job finds the folder again and ends with the same numbers. No signal is waited for.
"""

from __future__ import annotations

import contextlib
import difflib
import shutil
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo

from luthier.errors import SettingsError, TaskError
from luthier.files import building, inside
from luthier.launch.contract import Job, decoded
from luthier.progress import say
from luthier.settings import Settings, settings_from, value_of
from luthier.studies.spec import StudySpec

TASK_FILE, STUDY_FILE, MODEL_FILE = "task.toml", "study.toml", "config.json"
STUDY, ARM = "study", "arm"  # folders among the checkpoints and in the model folder
MODEL_CHANNEL = "model"
WEIGHTS = ("adapter", "weights", "quantized")  # of arms: they stay among the checkpoints; the shipped arm has its own
IN_BASE = "input/data"


class RowsSpec(Settings):
    """Settings of a job that has rows and no task folder: those of `luthier init`, and which file of which channel."""

    data: str = Field(description="a file of rows, as CHANNEL/FILE")
    input: str | list[str] = Field(description="the column with the text that the model is given, or several")
    target: str | None = Field(None, description="the column with the reference answer")
    labels: str | None = Field(None, description="or the column with the label")
    id: str | None = Field(None, description="a column of unique names")
    cluster: str | None = Field(None, description="rows equal in this column stay in one split")
    split_column: str | None = Field(None, description="a column that says train, dev or test")
    instruction: str | None = Field(None, description="the instruction of the default template")
    metric: str | None = Field(None, description="the metric that decides")
    margin: float | None = Field(None, description="differences below it do not matter, on 0 to 1")


class HandOverSpec(Settings):
    """Settings of a job beside the study's own."""

    config: str | None = Field(None, description="a study.toml, as CHANNEL/FILE; else the only one of a channel")
    ship: str | None = Field(None, description="the arm of the model folder; else the one that the study ships")


SPECS: tuple[type[Settings], ...] = (StudySpec, RowsSpec, HandOverSpec)


@dataclass(frozen=True)
class Asked:
    """What a job is to study, with paths that hold from the job's folder."""

    study: Mapping[str, Any]  # arguments of luthier.study
    rows: Mapping[str, Any]
    hand_over: HandOverSpec


def train(job: Job, command: str = "") -> Path:
    """Runs the job's study, or what is missing of it, and fills the model folder. Returns the study's folder.

    Paths of settings are read from the job's folder, in which the process stands meanwhile. Raises LuthierError.
    """
    from luthier.studies.study import study

    asked = asked_of(job)
    with contextlib.chdir(job.base):
        arguments = dict(asked.study)
        if asked.rows:
            arguments["task"] = str(_task_of_rows(job, asked.rows, arguments.get("seed") or 0))
        _refuse_no_arm(arguments, asked.hand_over.ship)
        folder = study(**arguments, out=Path(job.checkpoints.name) / STUDY, command=command)
        hand_over(job, asked.hand_over.ship)
    return job.base / folder


def asked_of(job: Job) -> Asked:
    """What the settings and channels of a job ask for. Raises SettingsError and TaskError in one sentence."""
    chosen, rows, hand_over = _settings_of(job.settings)
    config = _config(job, hand_over.config)
    if not rows and (task := _task(job, chosen.get("task"), config)) is not None:
        chosen["task"] = task
    if (model := _model(job, chosen.get("model"), config)) is not None:
        chosen["model"] = model
    return Asked(chosen | ({"config": config} if config else {}), rows, hand_over)


def refuse_unknown(settings: Mapping[str, Any]) -> None:
    """Raises SettingsError for a setting that no job takes, or whose value is none: before a job is paid for."""
    _settings_of({name.replace("-", "_"): value for name, value in settings.items()})


def hand_over(job: Job, arm: str | None = None) -> None:
    """Fills the model folder from the finished study: the shipped arm, its base where a channel brought it, records.

    What an earlier try left there is made again.
    """
    from luthier.arms.ship import ship
    from luthier.results.shipped_note import ShippedNote

    study = job.checkpoints / STUDY
    for name in (ARM, STUDY, IN_BASE.split("/")[0]):
        shutil.rmtree(job.model / name, ignore_errors=True)
    job.model.mkdir(parents=True, exist_ok=True)
    ship(study, job.model / ARM, arm=arm)
    base = job.base / ShippedNote.read(job.model / ARM).base.name
    if base.is_relative_to(job.data) and base.is_dir():  # an endpoint has no channels: the base goes with the arm
        shutil.copytree(base, job.model / base.relative_to(job.base))
    with building(job.model / STUDY) as part:
        shutil.copytree(study, part, ignore=_left_out, dirs_exist_ok=True)
    job.output.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "report.md", "compare.json"):
        shutil.copyfile(study / name, job.output / name)
    say(f"{job.model}: holds the arm in {ARM}/ and the study's records in {STUDY}/")


def _refuse_no_arm(arguments: Mapping[str, Any], ship: str | None) -> None:
    """Raises SettingsError where the study will not have the arm that is to be handed over, before it runs."""
    if ship is None:
        return
    from luthier.arms.usual import arm_specs, with_baselines
    from luthier.studies.spec import specification
    from luthier.task.task import load_task

    given = {name: value for name, value in arguments.items() if name not in ("task", "arms", "config")}
    spec = specification(arguments.get("task"), arguments.get("arms"), arguments.get("config"), given)
    task = load_task(str(spec.task))
    names = with_baselines(arm_specs(spec.arms, task, spec.model), task, spec.model)
    if ship not in names:
        raise SettingsError(
            f"the setting 'ship' is '{ship}', which is no arm of this study; its arms are: {', '.join(names)}"
        )


def _left_out(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in WEIGHTS or name.startswith(".")]


# ----------------------------------------------------------------------------------------- what the settings mean


def _settings_of(texts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], HandOverSpec]:
    """Settings of the study, of rows, and of what is handed over. Raises SettingsError for one that is none."""
    settings = {name: _typed(name, value) for name, value in texts.items()}
    chosen, rows, other = ({name: settings[name] for name in spec.model_fields if name in settings} for spec in SPECS)
    if isinstance(chosen.get("arms"), dict):
        raise SettingsError("the setting 'arms' is a table; write tables of arms into a study.toml in a channel")
    # The study itself takes these two apart; all others are checked as they stand.
    apart = {key for key in ("arms", "defaults") if isinstance(chosen.get(key), str)}
    _checked(StudySpec, {key: value for key, value in chosen.items() if key not in apart})
    if rows:
        _checked(RowsSpec, rows)
        if "task" in chosen:
            raise SettingsError("the settings name both a task and data; give one of them")
    return chosen, rows, _checked(HandOverSpec, other)


def _typed(name: str, value: Any) -> Any:
    """A setting's text as its field takes it. Raises SettingsError for a setting that is not known."""
    field = next((spec.model_fields[name] for spec in SPECS if name in spec.model_fields), None)
    if field is None:
        known = [one for spec in SPECS for one in spec.model_fields]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise SettingsError(f"the setting '{name}' is not known; {hint}there are: {', '.join(known)}")
    plain = decoded(value)
    if _kinds(field) <= {str, types.NoneType}:
        return plain if isinstance(plain, str) else value if isinstance(value, str) else str(value)
    if bool in _kinds(field) and isinstance(plain, str) and plain.lower() in ("true", "false"):
        return plain.lower() == "true"  # as Python writes it
    return value_of(plain) if isinstance(plain, str) else plain


def _kinds(field: FieldInfo) -> set[Any]:
    """The types that a field takes; one of given words is a text."""
    annotation = field.annotation
    if typing.get_origin(annotation) is Literal:
        return {str}
    return set(typing.get_args(annotation)) if isinstance(annotation, types.UnionType) else {annotation}


def _checked(spec: type[Any], given: Mapping[str, Any]) -> Any:
    return settings_from(spec, dict(given), "the job", called=lambda key: f"the setting '{key}'")


def _relative(job: Job, path: Path) -> str:
    """A path in the job's folder as it is found from there: so the arm finds its base in the model folder too."""
    return path.relative_to(job.base).as_posix()


def _in_channel(job: Job, named: str, setting: str) -> Path:
    """The file CHANNEL/FILE. Raises TaskError where there is none."""
    path = inside(job.data, named)
    if not path.is_file():
        there = ", ".join(path.name for path in job.channels) or "none"
        raise TaskError(
            f"the setting '{setting}' is '{named}', and no channel has this file; the channels are: {there}"
        )
    return path


def _only(job: Job, file: str) -> Path | None:
    """The only channel that holds `file`; None where none does."""
    having = [channel for channel in job.channels if (channel / file).is_file()]
    if len(having) > 1:
        names = ", ".join(path.name for path in having)
        raise TaskError(f"several channels hold a {file}: {names}; say which by a setting, or bring one alone")
    return having[0] if having else None


def _config(job: Job, named: str | None) -> str | None:
    if named is not None:
        return _relative(job, _in_channel(job, named, "config"))
    channel = _only(job, STUDY_FILE)
    return _relative(job, channel / STUDY_FILE) if channel else None


def _task(job: Job, named: str | None, config: str | None) -> str | None:
    """The task's folder: a channel that is named, a task that ships, study.toml's own, else the only one there."""
    if named is not None:
        channel, colon, name = named.partition(":")
        is_channel = channel in {path.name for path in job.channels}
        return f"{IN_BASE}/{channel}{colon}{name}" if is_channel else named
    if config is not None:
        return None
    channel_here = _only(job, TASK_FILE)
    if channel_here is None:
        there = ", ".join(path.name for path in job.channels) or "none"
        raise TaskError(
            f"no channel holds a {TASK_FILE} (channels: {there}); bring a task folder, or give the setting 'task', or "
            "'data' with the columns of its rows"
        )
    return _relative(job, channel_here)


def _model(job: Job, named: str | None, config: str | None) -> str | None:
    if named is None and config is not None:
        return None
    channel = job.data / (named or MODEL_CHANNEL)
    is_here = channel.parent == job.data and (channel / MODEL_FILE).is_file()
    return _relative(job, channel) if is_here else named


def _task_of_rows(job: Job, rows: Mapping[str, Any], seed: int) -> Path:
    """A task folder from the rows, made anew in each try: the same rows give the same one."""
    from luthier.task.create import init_task

    file = _in_channel(job, rows["data"], "data")
    folder = job.base / "task" / file.stem
    shutil.rmtree(folder, ignore_errors=True)
    init_task(folder, file, **{name: value for name, value in rows.items() if name != "data"}, seed=seed)
    return Path(_relative(job, folder))
