"""Several tasks at once: one model trained on a mixture of them beside one model a task, and tasks it never saw.

    mixture of the trained tasks -> multi/ARM/ -> an arm of every task's study (study.py) -> overview

Each task has an ordinary study in tasks/TASK/, whose multi-task arm brings its weights along. Held-out tasks give the
training nothing: it is handed the trained tasks alone. Their studies have no arm that trains on them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from luthier.adapt.methods import method
from luthier.arms.resolve import Arm, TrainedArm, resolve, resolve_trained, with_defaults
from luthier.arms.short_form import name_of, parse
from luthier.arms.spec import ArmSpec
from luthier.arms.usual import arm_specs, with_baselines
from luthier.errors import SettingsError, TaskError
from luthier.files import sha256_of_text
from luthier.machine import keep_freed_memory
from luthier.model.model import Model, load
from luthier.progress import say, stoppable
from luthier.records import Example, Prompt
from luthier.reports.tasks import multi, overview
from luthier.reports.words import mixture_words
from luthier.results.folder import StudyFolder
from luthier.results.multitask_record import MemberTask, MixtureModel, MultitaskRecord
from luthier.results.names import arm_names, keys, member_folder, slug
from luthier.results.resume import begin, locked_study, refuse_other_specification, stored_in
from luthier.results.study_record import StudyRecord
from luthier.settings import assignments, settings_from
from luthier.studies.fit import Course, Work, ask_dev
from luthier.studies.mixture import Mixture, counted, draw
from luthier.studies.origin import made_by
from luthier.studies.spec import MultitaskSpec, StudySpec
from luthier.studies.study import run_study, work_of
from luthier.studies.weights import train_arm
from luthier.task.check import check_between
from luthier.task.findings import Finding
from luthier.task.prompt import Renderer
from luthier.task.spec import SPLITS
from luthier.task.task import Task, load_task
from luthier.training.batches import length_of


@dataclass(frozen=True)
class Member:
    """One task of the group, and the folder of its study."""

    task: Task
    held_out: bool
    folder: StudyFolder

    @property
    def name(self) -> str:
        return self.task.name


@dataclass(frozen=True)
class Group:
    """The tasks together: what was asked for, where it lies, and the works of all tasks by name."""

    spec: MultitaskSpec
    folder: StudyFolder
    members: Sequence[Member]
    works: Mapping[str, Work]

    @property
    def lessons(self) -> dict[str, Work]:
        """What the multi-task training is handed: the tasks that are trained on, and no other."""
        return {member.name: self.works[member.name] for member in self.members if not member.held_out}

    def training(self, arm: str) -> Path:
        """The folder of a multi-task arm's training."""
        return self.folder.path / "multi" / slug("arm", arm)


def multitask(
    tasks: Sequence[str | Path],
    *,
    held_out: Sequence[str | Path] = (),
    arms: str | Sequence[str] | None = None,
    defaults: str | Mapping[str, Any] | None = None,
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
    if len(tasks) < 2:
        raise SettingsError("multitask: a mixture takes two tasks or more; one alone is what `luthier study` is for")
    keep_freed_memory()
    mixed = {"kind": mixture, "temperature": temperature, "cap": cap, "templates": templates}
    given = {
        "held_out": [str(name) for name in held_out], "effort": effort, "model": model, "train": train, "dev": dev,
        "test": test, "seed": seed, "memory": memory, "precision": precision,
        "defaults": assignments(defaults, "defaults") if isinstance(defaults, str) else defaults and dict(defaults),
        "arms": [name.strip() for name in arms.split(",")] if isinstance(arms, str) else arms and list(arms),
        "mixture": settings_from(Mixture, {k: v for k, v in mixed.items() if v is not None}, "mixture"),
    }  # fmt: skip
    asked = {key: value for key, value in given.items() if value is not None}
    spec = settings_from(MultitaskSpec, {"tasks": [str(name) for name in tasks]} | asked, "multitask")
    arm_names(map(name_of, spec.arms))
    folder = StudyFolder(Path(out) if out else _default_folder(spec))
    members = _members(spec, folder)
    with locked_study(folder, MultitaskRecord), stoppable():
        _run(folder, spec, members, command)
    return folder.path


def _members(spec: MultitaskSpec, folder: StudyFolder) -> list[Member]:
    """The tasks, read whole. Raises TaskError for two of one name, which would share a folder, and for labels."""
    found: dict[str, Member] = {}
    for name in (*spec.tasks, *spec.held_out):
        task = load_task(name)
        if task.labels:
            raise TaskError(f"{name}: asks for labels; several tasks share a model that writes, so study it by itself")
        place = member_folder(task.name)
        if twice := next((other for other in found if keys(other) & keys(place)), None):
            raise TaskError(
                f"{name}: there is a task called '{task.name}' already ({found[twice].task.folder}); a task is either "
                "trained on or held out, once; change the name in task.toml if they are two"
            )
        found[place] = Member(task, len(found) >= len(spec.tasks), StudyFolder(folder.path / "tasks" / place))
    return list(found.values())


def _default_folder(spec: MultitaskSpec) -> Path:
    """studies/multitask-MODEL-xxxxxxxx: the same arguments, arms apart, come back to the same folder."""
    mark = sha256_of_text(spec.model_dump_json(exclude={"arms"}))[:8]
    return Path("studies") / f"multitask-{Path(spec.model).name}-{mark}"


def _run(folder: StudyFolder, spec: MultitaskSpec, members: Sequence[Member], command: str) -> None:
    stored = stored_in(folder, MultitaskRecord)
    asked = _asked(folder, spec, members, stored)
    specs = {"zero-shot": parse("zero-shot")} | arm_specs(asked["arms"], members[0].task, spec.model)
    specs = with_defaults(specs, spec.defaults)
    trained = [name for name, arm in specs.items() if method(arm.method).trains]
    if not trained:
        raise SettingsError("no arm trains, so there is nothing to train on several tasks; name one, such as lora")
    base = load(spec.model, precision=stored.model.precision if stored else spec.precision)
    works = {m.name: work_of(m.folder, _study_spec(spec, m), m.task, base) for m in members}
    group = Group(spec, folder, members, works)
    found = _findings(group)
    for finding in (one for findings in found.values() for one in findings):
        say(finding.text)
    record = _record(group, asked, command, base, trained, found)
    begin(folder, record, stored)
    twins = {multi(name): _twin(group, specs[name]) for name in trained}
    for name in trained:
        _train_mixture(group, multi(name), specs[name], twins[multi(name)])
    for member in members:
        own = {name: arm for name, arm in specs.items() if not (member.held_out and name in trained)}
        _run_study(group, member, own | twins, found[member.name], record.command)
    record.model_copy(update={"status": "done"}).write(folder.path)
    folder.log("done")
    overview(folder.path)


def _asked(
    folder: StudyFolder, spec: MultitaskSpec, members: Sequence[Member], stored: MultitaskRecord | None
) -> dict[str, Any]:
    """The specification as multitask.json has it, with the arms that are stored already.

    Raises FolderError where the folder holds another study, TaskError where it began with other data.
    """
    # Tasks by name: a folder may move, and the specification is the same.
    names = {"tasks": [m.name for m in members if not m.held_out], "held_out": [m.name for m in members if m.held_out]}
    asked = spec.model_dump(mode="json") | names
    if stored is not None:
        refuse_other_specification(folder, stored, {key: value for key, value in asked.items() if key != "precision"})
        _refuse_changed_data(folder, stored, members)
    return asked | {"arms": list(dict.fromkeys([*(stored.arms if stored else ()), *spec.arms]))}


def _study_spec(spec: MultitaskSpec, member: Member, arms: Mapping[str, ArmSpec] | None = None) -> StudySpec:
    """The study of one task; a split that has fewer examples than are asked of every task gives all it has."""
    chosen = {name: getattr(spec, name) for name in ("model", "seed", "memory", "precision")}
    chosen |= {split: _at_most(getattr(spec, split), member.task.split(split)) for split in SPLITS}
    if member.held_out:
        chosen["train"] = None  # nothing is trained there, and shots come from all of its train rows
    return StudySpec(task=str(member.task.folder), arms=dict(arms or {}), **chosen)


def _at_most(count: int | None, examples: Sequence[Example]) -> int | None:
    usable = sum(example.is_usable for example in examples)
    return None if count is None or usable == 0 else min(count, usable)


def _refuse_changed_data(folder: StudyFolder, stored: MultitaskRecord, members: Sequence[Member]) -> None:
    """A training goes on only with the examples it began with."""
    for member in members:
        if stored.tasks[member.name].hashes != member.task.hashes():
            raise TaskError(
                f"{member.task.folder}: the data changed since {folder.path} began; start a new folder with --out"
            )


def _findings(group: Group) -> dict[str, list[Finding]]:
    """task -> what only a look at several tasks shows: inputs that leak, and words that two tasks share."""
    asked = {name: {"dev": work.dev, "test": work.test} for name, work in group.works.items()}
    found = check_between({name: work.train for name, work in group.lessons.items()}, asked)
    most = group.spec.mixture.templates
    used = {m.name: _templates(m.task, None, 1 if m.held_out else most) for m in group.members}
    for first, second in combinations(used, 2):
        both = [name for name, text in used[second].items() if text in used[first].values()]
        if both and first in group.lessons:
            text = (
                f"{second} is asked in the words of {first} (template{'s' * (len(both) > 1)} {', '.join(both)}), so a "
                "model of both cannot know what is asked; write other templates in task.toml, or train on fewer "
                "(--templates 1)"
            )
            found[second].append(Finding("warning", text))
    return found


def _record(
    group: Group,
    asked: dict[str, Any],
    command: str,
    base: Model,
    trained: Sequence[str],
    found: Mapping[str, Sequence[Finding]],
) -> MultitaskRecord:
    """multitask.json of a group that begins: specification and origin."""
    tasks = {
        m.name: MemberTask(
            folder=m.folder.path.relative_to(group.folder.path).as_posix(),
            held_out=m.held_out,
            description=m.task.spec.description,
            hashes=m.task.hashes(),
        )
        for m in group.members
    }
    precision = next(iter(group.works.values())).precision
    return MultitaskRecord(
        format=1,
        specification=asked,
        arms={name: {} for name in asked["arms"]},
        trained=list(trained),
        command=command or shlex.join(["luthier", "multitask", *(str(m.task.folder) for m in group.members)]),
        tasks=tasks,
        model=MixtureModel(name=base.name, base_sha256=base.base_sha256, precision=precision),
        findings=[finding.text for one in found.values() for finding in one],
        **made_by(base),
        status="running",
    )


# ------------------------------------------------------------------------------------- the training on the mixture


def _twin(group: Group, single: ArmSpec) -> ArmSpec:
    """The multi-task arm of a trained arm: the same settings, one pass over the mixture, and what that mixture is."""
    spec, mixture = group.spec, group.spec.mixture.model_dump()
    tasks = {
        name: [work.task.hashes(), work.task.spec.prompt.model_dump(), len(work.train), len(work.dev)]
        for name, work in group.lessons.items()
    }
    arm = single.model_dump(exclude={"width"})  # it changes what answers, not what is trained
    shape = {"mixture": mixture, "effort": spec.effort, "arm": arm, "seed": spec.seed, "tasks": tasks}
    mark = sha256_of_text(json.dumps(shape, sort_keys=True))[:12]
    words = f"a {mixture_words(mixture)}, of {', '.join(tasks)} ({mark})"
    return single.model_copy(update={"training": single.training | {"epochs": 1.0}, "trained_on": words})


def _train_mixture(group: Group, name: str, single: ArmSpec, twin: ArmSpec) -> None:
    """Trains in multi/NAME; a finished training is only read."""
    spec, lessons, mixture = group.spec, group.lessons, mixture_words(group.spec.mixture.model_dump())
    arms = {task: resolve_trained(name, twin, work.task, spec.model) for task, work in lessons.items()}
    seen = [_examples_seen(resolve_trained(name, single, work.task, spec.model), work) for work in lessons.values()]
    total = examples_in_all(seen, spec.effort)
    say(f"{name}: {total} examples of {', '.join(lessons)}; {mixture}")

    def prompts(renderer: Renderer) -> list[Prompt]:
        return _mixed_prompts(group, name, arms, total, renderer)

    def dev(asked: Model) -> float:
        return fmean(ask_dev(work, arms[task], asked) for task, work in lessons.items())

    first = next(iter(lessons))
    train_arm(replace(lessons[first], folder=group.folder), arms[first], group.training(name), Course(prompts, dev))


def _examples_seen(arm: TrainedArm, work: Work) -> int:
    """Examples that a single-task arm sees, each as often as it is passed over."""
    return round(arm.training.passes(len(work.train)) * len(work.train))


def examples_in_all(seen: Sequence[int], effort: str) -> int:
    """Examples the multi-task training sees, from those that each single-task arm sees: their sum, or their mean."""
    return sum(seen) if effort == "together" else round(fmean(seen))


def _mixed_prompts(group: Group, name: str, arms: Mapping[str, Arm], total: int, renderer: Renderer) -> list[Prompt]:
    """The prompts of the mixture, in the order of the draw; what it holds of each task goes to mixture.json."""
    lessons, mixture = group.lessons, group.spec.mixture
    texts = {task: _templates(work.task, arms[task].template, mixture.templates) for task, work in lessons.items()}
    sizes = {task: len(work.train) for task, work in lessons.items()}
    drawn = draw(sizes, {task: len(named) for task, named in texts.items()}, mixture, total, group.spec.seed)

    @cache
    def rendered(task: str, index: int, template: int) -> Prompt:
        text = list(texts[task].values())[template]
        made = renderer.prompt(lessons[task].train[index], text, train=True)
        return replace(made, id=f"{task}/{made.id}")  # ids are unique within a task only

    prompts = [rendered(one.task, one.index, one.template) for one in drawn]
    tokens = [(length_of(prompt), len(prompt.target_ids or ())) for prompt in prompts]
    record = counted(drawn, tokens, sizes, {task: list(named) for task, named in texts.items()}, mixture)
    record.write(group.training(name))
    return prompts


def _templates(task: Task, answering: str | None, most: int | None) -> dict[str, str]:
    """The templates that a task is trained under: the answering one, then the others in the order of task.toml."""
    names = dict.fromkeys([answering or task.spec.prompt.default, *task.spec.prompt.templates])
    return {name: task.template(name) for name in list(names)[:most]}


# ------------------------------------------------------------------------------------------------ a task's own study


def _run_study(
    group: Group, member: Member, arms: Mapping[str, ArmSpec], found: Sequence[Finding], command: str
) -> None:
    """The ordinary study of one task; its multi-task arms bring their weights along."""
    say(f"{member.name}{' (held out)' if member.held_out else ''}: {member.folder.path}")
    task, base = member.task, group.spec.model
    resolved = [resolve(name, arm, task, base) for name, arm in with_baselines(dict(arms), task, base).items()]
    trained = {arm.name: group.training(arm.name) for arm in resolved if isinstance(arm, TrainedArm) and arm.trained_on}
    spec = _study_spec(group.spec, member, arms)
    with locked_study(member.folder, StudyRecord):
        run_study(member.folder, spec, member.task, resolved, command, trained, found)
