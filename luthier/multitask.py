"""Several tasks at once: one model trained on a mixture of them beside one model a task, and tasks it never saw.

    mixture of the trained tasks -> multi/ARM/ -> an arm of every task's study (study.py) -> overview (overview.py)

Each task has an ordinary study in tasks/TASK/, whose multi-task arm brings its weights along. Held-out tasks give the
training nothing: it is handed the trained tasks alone. Their studies have no arm that trains on them.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import Field

from luthier import machine
from luthier.adapt import method
from luthier.arms import Arm, ArmSpec, resolve, with_baselines
from luthier.check import Finding, check_between
from luthier.errors import SettingsError, TaskError
from luthier.files import sha256_of_text, write_json
from luthier.fit import Course, Work, ask_dev
from luthier.folder import StudyFolder
from luthier.mixture import Drawn, Mixture, counted, draw
from luthier.model import Model, load
from luthier.overview import RECORD, mixture_words, multi, overview
from luthier.progress import say, stoppable
from luthier.prompt import Renderer
from luthier.records import Example, Prompt
from luthier.run import train_arm
from luthier.settings import Settings, settings_from
from luthier.study import locked_study, run_study, work_of
from luthier.studyspec import StudySpec, arm_specs
from luthier.task import Task, load_task
from luthier.taskspec import BARE, SPLITS

DEFAULT = ("zero-shot", "lora")


class MultitaskSpec(Settings):
    """What `luthier multitask` is asked for; it lies in multitask.json."""

    tasks: list[str] = Field(min_length=2, description="tasks to train on: folders, or names of tasks that ship")
    held_out: list[str] = Field([], description="tasks that are asked and never trained on")
    model: str = Field("smollm2-135m", description="a short name, a hub id, or a folder")
    arms: list[str] = Field(list(DEFAULT), description="short forms; each trained one gets a multi-task twin")
    mixture: Mixture = Field(Mixture(), description="how the tasks share the multi-task training")
    effort: Literal["together", "one"] = Field(
        "together", description="examples the multi-task arm sees: as many as all single-task arms together, or as one"
    )
    train: int | None = Field(None, ge=1, description="training examples of a task at most, a seeded sample; None: all")
    dev: int | None = Field(None, ge=1, description="dev examples of a task at most; None: 32")
    test: int | None = Field(None, ge=1, description="test examples of a task at most, a seeded sample; None: all")
    seed: int = Field(0, description="seed of samples, mixture, adapters, batches and sampling")
    memory: float | None = Field(None, gt=0, description="GB that training may hold; None: what is fast")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="of frozen weights and of answering")


@dataclass(frozen=True)
class Member:
    """One task of the group and the folder of its study."""

    task: Task
    held_out: bool
    folder: StudyFolder

    @property
    def name(self) -> str:
        return self.task.name


def multitask(
    tasks: Sequence[str | Path],
    *,
    held_out: Sequence[str | Path] = (),
    arms: str | Sequence[str] | None = None,
    mixture: str | None = None,
    temperature: float | None = None,
    cap: int | None = None,
    templates: int | None = None,
    effort: str | None = None,
    model: str | None = None,
    train: int | None = None,
    dev: int | None = None,
    test: int | None = None,
    seed: int | None = None,
    memory: float | None = None,
    precision: str | None = None,
    out: str | Path | None = None,
    command: str = "",
) -> Path:
    """Runs what is missing of a multi-task study and returns its folder, with tasks.json, report.html and report.md.

    Called again with the same arguments it goes on where it stopped, and with more arms it runs those alone.
    Raises LuthierError sentences.
    """
    mixed = {"kind": mixture, "temperature": temperature, "cap": cap, "templates": templates}
    given = {
        "held_out": [str(name) for name in held_out], "effort": effort, "model": model, "train": train, "dev": dev,
        "test": test, "seed": seed, "memory": memory, "precision": precision,
        "arms": [name.strip() for name in arms.split(",")] if isinstance(arms, str) else arms and list(arms),
        "mixture": settings_from(Mixture, {k: v for k, v in mixed.items() if v is not None}, "multitask"),
    }  # fmt: skip
    asked = {key: value for key, value in given.items() if value is not None}
    spec = settings_from(MultitaskSpec, {"tasks": [str(name) for name in tasks]} | asked, "multitask")
    folder = StudyFolder(Path(out) if out else _default_folder(spec), RECORD)
    members = _members(spec, folder)
    with locked_study(folder), stoppable():
        _run(folder, spec, members, command)
    return folder.path


def _members(spec: MultitaskSpec, folder: StudyFolder) -> list[Member]:
    """The tasks, read whole. Raises TaskError for two of one name: their studies would share a folder."""
    found: dict[str, Member] = {}
    for held_out, names in ((False, spec.tasks), (True, spec.held_out)):
        for name in names:
            task = load_task(name)
            place = re.sub(r"[^\w.-]+", "-", task.name).strip(".-") or "task"
            if place in found:
                raise TaskError(
                    f"{name}: there is a task called '{task.name}' already ({found[place].task.folder}); a task is "
                    "either trained on or held out, once; change the name in task.toml if they are two"
                )
            found[place] = Member(task, held_out, StudyFolder(folder.path / "tasks" / place))
    return list(found.values())


def _default_folder(spec: MultitaskSpec) -> Path:
    """studies/multitask-MODEL-xxxxxxxx: the same arguments, arms apart, come back to the same folder."""
    mark = sha256_of_text(spec.model_dump_json(exclude={"arms"}))[:8]
    return Path("studies") / f"multitask-{Path(spec.model).name}-{mark}"


def _run(folder: StudyFolder, spec: MultitaskSpec, members: Sequence[Member], command: str) -> None:
    asked = spec.model_dump(mode="json") | _names(members)
    known = folder.take({key: value for key, value in asked.items() if key != "precision"})
    asked["arms"] = list(dict.fromkeys((known["specification"]["arms"] if known else []) + spec.arms))
    specs = arm_specs(asked["arms"])
    trained = [name for name, arm in specs.items() if method(arm.method).trains]
    if not trained:
        raise SettingsError("no arm trains, so there is nothing to train on several tasks; name one, such as lora")
    base = load(spec.model, precision=known["model"]["precision"] if known else spec.precision)
    works = {m.name: work_of(m.folder, _study_spec(spec, m, {}), m.task, base) for m in members}
    _same_data(folder, known, members)
    lessons = {m.name: works[m.name] for m in members if not m.held_out}
    found = _leaks(lessons, works)
    about = _about(asked, command, members, base, works, trained, found)
    for finding in (one for about_task in found.values() for one in about_task):
        say(finding.text)
    folder.begin(about, known)
    twins = {name: _twin(spec, name, specs[name], lessons) for name in trained}
    for name in trained:
        _train_mixture(folder, spec, multi(name), twins[name], specs[name], lessons)
    for member in members:
        single = {name: arm for name, arm in specs.items() if not (member.held_out and name in trained)}
        arms = single | {multi(name): twin for name, twin in twins.items()}
        _run_study(folder, spec, member, arms, found[member.name], about["command"])
    write_json(folder.path / RECORD, about | {"status": "done"})
    folder.log("done")
    overview(folder.path)


def _names(members: Sequence[Member]) -> dict[str, list[str]]:
    """Tasks by name: a folder may move, and the specification is the same."""
    return {
        key: [m.name for m in members if m.held_out is held] for key, held in (("tasks", False), ("held_out", True))
    }


def _study_spec(spec: MultitaskSpec, member: Member, arms: Mapping[str, ArmSpec]) -> StudySpec:
    """The study of one task; a split that has fewer examples than are asked of every task gives all it has."""
    chosen = {name: getattr(spec, name) for name in ("model", "seed", "memory", "precision")}
    chosen |= {split: _at_most(getattr(spec, split), member.task.split(split)) for split in SPLITS}
    if member.held_out:
        chosen["train"] = None  # nothing is trained there, and shots come from all of its train rows
    return StudySpec(task=str(member.task.folder), arms=dict(arms), **chosen)


def _at_most(count: int | None, examples: Sequence[Example]) -> int | None:
    usable = sum(bool(example.input.strip() and example.references) for example in examples)
    return None if count is None or usable == 0 else min(count, usable)


def _same_data(folder: StudyFolder, known: dict[str, Any] | None, members: Sequence[Member]) -> None:
    """A training goes on only with the examples it began with."""
    stored = known["tasks"] if known else {}
    for member in members if stored else ():
        if stored[member.name]["hashes"] != member.task.hashes():
            raise TaskError(
                f"{member.task.folder}: the data changed since {folder.path} began; start a new folder with --out"
            )


def _leaks(lessons: Mapping[str, Work], works: Mapping[str, Work]) -> dict[str, list[Finding]]:
    asked = {name: {"dev": work.dev, "test": work.test} for name, work in works.items()}
    return check_between({name: work.train for name, work in lessons.items()}, asked)


def _about(
    asked: dict[str, Any],
    command: str,
    members: Sequence[Member],
    base: Model,
    works: Mapping[str, Work],
    trained: Sequence[str],
    found: Mapping[str, Sequence[Finding]],
) -> dict[str, Any]:
    """multitask.json but for its status: specification and origin."""
    precision = works[members[0].name].precision
    commit, dirty = machine.commit()
    return {
        "format": 1,
        "specification": asked,
        "arms": {name: {} for name in asked["arms"]},
        "trained": list(trained),
        "command": command or shlex.join(["luthier", "multitask", *(str(m.task.folder) for m in members)]),
        "tasks": {
            m.name: {
                "folder": str(Path("tasks") / m.folder.path.name),
                "held_out": m.held_out,
                "description": m.task.spec.description,
                "hashes": m.task.hashes(),
            }
            for m in members
        },
        "model": {"name": base.name, "base_sha256": base.base_sha256, "precision": precision},
        "findings": [finding.text for one in found.values() for finding in one],
        "versions": machine.versions(),
        "machine": machine.describe(str(base.device)),
        "commit": commit,
        "dirty": dirty,
    }


# ------------------------------------------------------------------------------------- the training on the mixture


def _twin(spec: MultitaskSpec, name: str, single: ArmSpec, lessons: Mapping[str, Work]) -> ArmSpec:
    """The multi-task arm of a trained arm: the same settings, one pass over the mixture, and what that is."""
    if single.tune:
        raise SettingsError(f"arm '{name}': nothing is tuned on a mixture; leave tune out")
    tasks = {
        name: [work.task.hashes(), work.task.spec.prompt.model_dump(), len(work.train), len(work.dev)]
        for name, work in lessons.items()
    }
    mixture = spec.mixture.model_dump()
    shape = {"mixture": mixture, "effort": spec.effort, "arm": single.model_dump(), "seed": spec.seed, "tasks": tasks}
    mark = sha256_of_text(json.dumps(shape, sort_keys=True))[:12]
    words = f"a {mixture_words(mixture)}, of {', '.join(lessons)} ({mark})"
    training = single.training | {"epochs": 1.0}
    return single.model_copy(update={"training": training, "trained_on": words})


def _train_mixture(
    folder: StudyFolder,
    spec: MultitaskSpec,
    name: str,
    twin: ArmSpec,
    single: ArmSpec,
    lessons: Mapping[str, Work],
) -> None:
    """Trains in multi/NAME; a finished training is only read."""
    singles = {task: resolve(name, single, work.task) for task, work in lessons.items()}
    arms = {task: resolve(name, twin, work.task) for task, work in lessons.items()}
    total = examples_in_all([_seen(singles[task], work) for task, work in lessons.items()], spec.effort)
    place = folder.path / "multi" / name
    say(f"{name}: {total} examples of {', '.join(lessons)}; {mixture_words(spec.mixture.model_dump())}")

    def prompts(renderer: Renderer) -> list[Prompt]:
        return _lessons(place, spec, arms, lessons, total, renderer)

    def dev(asked: Model) -> float:
        return fmean(ask_dev(work, arms[task], asked) for task, work in lessons.items())

    first = next(iter(lessons))
    train_arm(replace(lessons[first], folder=folder), arms[first], place, Course(prompts, dev))


def _seen(arm: Arm, work: Work) -> int:
    """Examples that a single-task arm sees, each as often as it is passed over."""
    assert arm.training is not None
    return round(arm.training.passes(len(work.train)) * len(work.train))


def examples_in_all(seen: Sequence[int], effort: str) -> int:
    """Examples the multi-task training sees, from those that each single-task arm sees: their sum, or their mean."""
    return sum(seen) if effort == "together" else round(fmean(seen))


def _lessons(
    place: Path,
    spec: MultitaskSpec,
    arms: Mapping[str, Arm],
    lessons: Mapping[str, Work],
    total: int,
    renderer: Renderer,
) -> list[Prompt]:
    """The prompts of the mixture, in the order of the draw; what it holds of each task goes to mixture.json."""
    texts = {
        task: templates_of(work.task, arms[task].template, spec.mixture.templates) for task, work in lessons.items()
    }
    sizes = {task: len(work.train) for task, work in lessons.items()}
    drawn = draw(sizes, {task: len(named) for task, named in texts.items()}, spec.mixture, total, spec.seed)
    known: dict[tuple[str, int, int], Prompt] = {}

    def prompt(one: Drawn) -> Prompt:
        key = (one.task, one.index, one.template)
        if key not in known:
            example, text = lessons[one.task].train[one.index], list(texts[one.task].values())[one.template]
            known[key] = _prompt(renderer, one.task, example, text)
        return known[key]

    prompts = [prompt(one) for one in drawn]
    tokens = [(len(p.prompt_ids) + len(p.target_ids or ()), len(p.target_ids or ())) for p in prompts]
    rows = counted(drawn, tokens, sizes, spec.mixture)
    for task, row in rows.items():
        row["templates"] = dict(zip(texts[task], row["templates"] + [0] * len(texts[task]), strict=False))
    write_json(place / "mixture.json", rows)
    return prompts


def _prompt(renderer: Renderer, task: str, example: Example, text: str) -> Prompt:
    """Ids are unique within a task only, so the task's name goes before them."""
    made = renderer.prompt(example, text, train=True)
    return replace(made, id=f"{task}/{made.id}")


def templates_of(task: Task, answering: str, most: int | None) -> dict[str, str]:
    """The templates that a task is trained under: the answering one, then the others in the order of task.toml."""
    names = dict.fromkeys([answering, *(name for name in task.spec.prompt.templates if name != BARE)])
    return {name: task.template(name) for name in list(names)[:most]}


# ------------------------------------------------------------------------------------------------ a task's own study


def _run_study(
    folder: StudyFolder,
    spec: MultitaskSpec,
    member: Member,
    arms: Mapping[str, ArmSpec],
    found: Sequence[Finding],
    command: str,
) -> None:
    """The ordinary study of one task; its multi-task arms bring their weights along."""
    say(f"{member.name}{' (held out)' if member.held_out else ''}: {member.folder.path}")
    resolved = [resolve(name, arm, member.task) for name, arm in with_baselines(dict(arms), member.task).items()]
    trained = {arm.name: folder.path / "multi" / arm.name for arm in resolved if arm.trained_on}
    with locked_study(member.folder):
        run_study(member.folder, _study_spec(spec, member, arms), member.task, resolved, command, trained, found)
