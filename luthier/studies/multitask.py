"""Several tasks at once: one model for a mixture of tasks beside one model for each task, and held-out tasks.

    mixture of the trained tasks -> multi/ARM/ -> an arm of every task's study (study.py) -> overview

Each task has an ordinary study in tasks/TASK/. Its multi-task arm takes the weights of the shared training. That
training reads only the trained tasks. The studies of held-out tasks have no arm that trains on them.
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
from luthier.files import possible, sha256_of_text
from luthier.machine import keep_freed_memory
from luthier.model.model import Model, load
from luthier.progress import say, stoppable
from luthier.records import Example, Prompt
from luthier.reports.tasks import multi, overview
from luthier.reports.words import mixture_words
from luthier.results.folder import StudyFolder
from luthier.results.multitask_record import MemberTask, MixtureModel, MultitaskRecord
from luthier.results.names import DOMAIN, arm_names, keys, member_folder, slug
from luthier.results.resume import begin, locked_study, refuse_other_specification, stored_in
from luthier.results.study_record import StudyRecord
from luthier.settings import assignments, settings_from
from luthier.studies.fit import StudyContext, TrainingPlan, ask_dev, dev_sha256
from luthier.studies.mixture import Mixture, draw, mixture_record
from luthier.studies.origin import made_by, whole_letters
from luthier.studies.spec import MultitaskSpec, StudySpec, in_reach
from luthier.studies.study import context_of, run_study
from luthier.studies.unchanged import other_versions, refuse_other_weights
from luthier.studies.weights import train_arm
from luthier.task.check import check_between
from luthier.task.findings import Finding
from luthier.task.prompt import Renderer
from luthier.task.reading import refuse_unread
from luthier.task.spec import SPLITS
from luthier.task.task import Task, load_task
from luthier.training.batches import length_of
from luthier.training.memory import Bound


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
    """All tasks together: the specification, the folder, and the study context of each task by name."""

    spec: MultitaskSpec
    folder: StudyFolder
    members: Sequence[Member]
    contexts: Mapping[str, StudyContext]

    @property
    def trained_tasks(self) -> dict[str, StudyContext]:
        """name -> study context of the tasks that the multi-task training reads, so of no held-out task."""
        return {member.name: self.contexts[member.name] for member in self.members if not member.held_out}

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
    """Runs the missing parts of a multi-task study. Returns its folder, with tasks.json, report.html and report.md.

    A second call with the same arguments resumes the study. A call with more arms runs only the new ones.
    Raises LuthierError.
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
    for one in map(parse, spec.arms):
        if one.domain is not None or one.method == DOMAIN:
            raise SettingsError("multitask: further pretraining is an arm of `luthier study`; leave domain out")
    folder = StudyFolder(possible(out) if out else _default_folder(spec))
    spec = spec.model_copy(update={"model": in_reach(spec.model, folder.path)})
    members = _members(spec, folder)
    with locked_study(folder, MultitaskRecord), stoppable():
        _run(folder, spec, members, command)
    return folder.path


def _members(spec: MultitaskSpec, folder: StudyFolder) -> list[Member]:
    """Loads all tasks. Raises TaskError for a second task of the same folder name, and for a task with labels."""
    members: dict[str, Member] = {}
    for name in (*spec.tasks, *spec.held_out):
        task = load_task(name)
        refuse_unread(task)
        if task.labels:
            raise TaskError(f"{name}: asks for labels; several tasks share a model that writes, so study it by itself")
        folder_name = member_folder(task.name)
        if twice := next((other for other in members if keys(other) & keys(folder_name)), None):
            raise TaskError(
                f"{name}: there is a task called '{task.name}' already ({members[twice].task.folder}); a task is "
                "either trained on or held out, once; change the name in task.toml if they are two"
            )
        members[folder_name] = Member(
            task, len(members) >= len(spec.tasks), StudyFolder(folder.path / "tasks" / folder_name)
        )
    return list(members.values())


def _default_folder(spec: MultitaskSpec) -> Path:
    """studies/multitask-MODEL-xxxxxxxx. The same arguments give the same folder, whatever the arms."""
    digest = sha256_of_text(spec.model_dump_json(exclude={"arms"}))[:8]
    return Path("studies") / f"multitask-{Path(spec.model).name}-{digest}"


def _run(folder: StudyFolder, spec: MultitaskSpec, members: Sequence[Member], command: str) -> None:
    stored = stored_in(folder, MultitaskRecord)
    asked = _asked(folder, spec, members, stored)
    specs = {"zero-shot": parse("zero-shot")} | arm_specs(asked["arms"], members[0].task, spec.model)
    specs = with_defaults(specs, spec.defaults)
    trained = [name for name, arm in specs.items() if method(arm.method).trains]
    if not trained:
        raise SettingsError("no arm trains, so there is nothing to train on several tasks; name one, such as lora")
    precision = stored.model.precision if stored else spec.precision
    base = load(spec.model, precision=precision, day=stored.day if stored else None)
    if stored is not None:
        refuse_other_weights(folder, stored.model.base_sha256, base)
    contexts = {m.name: context_of(m.folder, _study_spec(spec, m), m.task, base) for m in members}
    group = Group(spec, folder, members, contexts)
    findings_of = _findings(group)
    for finding in (one for findings in findings_of.values() for one in findings):
        say(finding.text)
    record = _record(group, asked, command, base, trained, findings_of)
    if stored is not None and stored.is_done and stored.asks_the_same_as(record):
        record = stored  # nothing is made now, so what made it stays
    elif stored is not None:
        for sentence in other_versions(stored):
            say(sentence)
    begin(folder, record, stored)
    multitask_arms = {multi(name): _multitask_spec(group, specs[name]) for name in trained}
    for name in trained:
        _train_mixture(group, multi(name), specs[name], multitask_arms[multi(name)])
    for member in members:
        own = {name: arm for name, arm in specs.items() if not (member.held_out and name in trained)}
        _run_study(group, member, own | multitask_arms, findings_of[member.name], record.command, base.day)
    record.model_copy(update={"status": "done"}).write(folder.path)
    folder.log("done")
    overview(folder.path)


def _asked(
    folder: StudyFolder, spec: MultitaskSpec, members: Sequence[Member], stored: MultitaskRecord | None
) -> dict[str, Any]:
    """The specification for multitask.json, with the stored arms first.

    Raises FolderError if the folder holds another study, TaskError if the study began with other data.
    """
    # Tasks stand by name, so that a moved folder does not change the specification.
    names = {"tasks": [m.name for m in members if not m.held_out], "held_out": [m.name for m in members if m.held_out]}
    asked = spec.model_dump(mode="json") | names
    if stored is not None:
        refuse_other_specification(folder, stored, {key: value for key, value in asked.items() if key != "precision"})
        _refuse_changed_data(folder, stored, members)
    return asked | {"arms": list(dict.fromkeys([*(stored.arms if stored else ()), *spec.arms]))}


def _study_spec(spec: MultitaskSpec, member: Member, arms: Mapping[str, ArmSpec] | None = None) -> StudySpec:
    """The specification of one task's study. A split with fewer examples than asked for gives all of them."""
    chosen = {name: getattr(spec, name) for name in ("model", "seed", "memory", "precision")}
    chosen |= {split: _at_most(getattr(spec, split), member.task.split(split)) for split in SPLITS}
    if member.held_out:
        chosen["train"] = None  # nothing trains on it, and shots come from all of its train rows
    return StudySpec(task=str(member.task.folder), arms=dict(arms or {}), **chosen)


def _at_most(count: int | None, examples: Sequence[Example]) -> int | None:
    usable = sum(example.is_usable for example in examples)
    return None if count is None or usable == 0 else min(count, usable)


def _refuse_changed_data(folder: StudyFolder, stored: MultitaskRecord, members: Sequence[Member]) -> None:
    """Raises TaskError if a task's data differ from those that the study began with."""
    for member in members:
        if stored.tasks[member.name].hashes != member.task.hashes():
            raise TaskError(
                f"{member.task.folder}: the data changed since {folder.path} began; start a new folder with --out"
            )


def _findings(group: Group) -> dict[str, list[Finding]]:
    """task -> findings about several tasks: inputs that leak between splits, and templates that two tasks share."""
    asked = {name: {"dev": context.dev, "test": context.test} for name, context in group.contexts.items()}
    findings_of = check_between({name: context.train for name, context in group.trained_tasks.items()}, asked)
    most = group.spec.mixture.templates
    used = {m.name: _templates(m.task, None, 1 if m.held_out else most) for m in group.members}
    for first, second in combinations(used, 2):
        both = [name for name, text in used[second].items() if text in used[first].values()]
        if both and first in group.trained_tasks:
            text = (
                f"{second} is asked in the words of {first} (template{'s' * (len(both) > 1)} {', '.join(both)}), so a "
                "model of both cannot know what is asked; write other templates in task.toml, or train on fewer "
                "(--templates 1)"
            )
            findings_of[second].append(Finding("warning", text))
    return findings_of


def _record(
    group: Group,
    asked: dict[str, Any],
    command: str,
    base: Model,
    trained: Sequence[str],
    findings_of: Mapping[str, Sequence[Finding]],
) -> MultitaskRecord:
    """multitask.json of a study that begins: specification and origin."""
    tasks = {
        m.name: MemberTask(
            folder=m.folder.path.relative_to(group.folder.path).as_posix(),
            held_out=m.held_out,
            description=m.task.spec.description,
            hashes=m.task.hashes(),
        )
        for m in group.members
    }
    precision = next(iter(group.contexts.values())).precision
    return MultitaskRecord(
        format=1,
        specification=asked,
        arms={name: {} for name in asked["arms"]},
        trained=list(trained),
        command=whole_letters(command)
        or shlex.join(["luthier", "multitask", *(str(m.task.folder) for m in group.members)]),
        tasks=tasks,
        model=MixtureModel(name=base.name, base_sha256=base.base_sha256, precision=precision),
        findings=[finding.text for one in findings_of.values() for finding in one],
        **made_by(base),
        status="running",
        **base.printed_day,
    )


# ------------------------------------------------------------------------------------- the training on the mixture


def _multitask_spec(group: Group, single: ArmSpec) -> ArmSpec:
    """The multi-task arm of a trained arm: the same settings, one pass over the mixture, and the mixture in words."""
    spec, mixture = group.spec, group.spec.mixture.model_dump()
    tasks = {
        name: [context.task.hashes(), context.task.spec.prompt.model_dump(), len(context.train), len(context.dev)]
        for name, context in group.trained_tasks.items()
    }
    arm = single.model_dump(exclude={"width", "scale"})  # the width changes the weights that answer, not the training
    shape = {"mixture": mixture, "effort": spec.effort, "arm": arm, "seed": spec.seed, "tasks": tasks}
    digest = sha256_of_text(json.dumps(shape, sort_keys=True))[:12]
    words = f"a {mixture_words(mixture)}, of {', '.join(tasks)} ({digest})"
    return single.model_copy(update={"training": single.training | {"epochs": 1.0}, "trained_on": words})


def _train_mixture(group: Group, name: str, single: ArmSpec, multitask_spec: ArmSpec) -> None:
    """Trains one arm on the mixture, in multi/NAME. A finished training is only read."""
    spec, trained_tasks, mixture = group.spec, group.trained_tasks, mixture_words(group.spec.mixture.model_dump())
    arms = {
        task: resolve_trained(name, multitask_spec, context.task, spec.model) for task, context in trained_tasks.items()
    }
    seen = [
        _examples_seen(resolve_trained(name, single, context.task, spec.model), context)
        for context in trained_tasks.values()
    ]
    total = examples_in_all(seen, spec.effort)
    say(f"{name}: {total} examples of {', '.join(trained_tasks)}; {mixture}")

    def prompts(asked: Model) -> list[Prompt]:
        return _mixed_prompts(group, name, arms, total, asked.renderer)

    def dev(asked: Model, bound: Bound) -> float:
        return fmean(ask_dev(context, arms[task], asked, bound) for task, context in trained_tasks.items())

    first = next(iter(trained_tasks))
    train_arm(
        replace(trained_tasks[first], folder=group.folder),
        arms[first],
        group.training(name),
        TrainingPlan(prompts, dev, sha256_of_text(*(dev_sha256(c, arms[t]) for t, c in trained_tasks.items()))),
    )


def _examples_seen(arm: TrainedArm, context: StudyContext) -> int:
    """Examples that a single-task arm sees in all of its passes."""
    return round(arm.training.passes(len(context.train)) * len(context.train))


def examples_in_all(seen: Sequence[int], effort: str) -> int:
    """Examples of the multi-task training: the sum ('together') or the mean ('one') over the single-task arms."""
    return sum(seen) if effort == "together" else round(fmean(seen))


def _mixed_prompts(group: Group, name: str, arms: Mapping[str, Arm], total: int, renderer: Renderer) -> list[Prompt]:
    """The prompts of the mixture, in the order of the draw. Writes the counts of each task to mixture.json."""
    trained_tasks, mixture = group.trained_tasks, group.spec.mixture
    texts = {
        task: _templates(context.task, arms[task].template, mixture.templates)
        for task, context in trained_tasks.items()
    }
    sizes = {task: len(context.train) for task, context in trained_tasks.items()}
    samples = draw(sizes, {task: len(named) for task, named in texts.items()}, mixture, total, group.spec.seed)

    @cache
    def rendered(task: str, index: int, template: int) -> Prompt:
        text = list(texts[task].values())[template]
        made = renderer.prompt(trained_tasks[task].train[index], text, train=True)
        return replace(made, id=f"{task}/{made.id}")  # ids are unique within a task only

    prompts = [rendered(one.task, one.index, one.template) for one in samples]
    tokens = [(length_of(prompt), len(prompt.target_ids or ())) for prompt in prompts]
    record = mixture_record(samples, tokens, sizes, {task: list(named) for task, named in texts.items()}, mixture)
    record.write(group.training(name))
    return prompts


def _templates(task: Task, answering: str | None, most: int | None) -> dict[str, str]:
    """The templates of a task's training examples: the answering one, then the others in the order of task.toml."""
    names = dict.fromkeys([answering or task.spec.prompt.default, *task.spec.prompt.templates])
    return {name: task.template(name) for name in list(names)[:most]}


# ------------------------------------------------------------------------------------------------ a task's own study


def _run_study(
    group: Group, member: Member, arms: Mapping[str, ArmSpec], findings: Sequence[Finding], command: str, day: str
) -> None:
    """Runs the study of one task. `day`: as `run_study` takes it. Multi-task arms take the shared weights."""
    say(f"{member.name}{' (held out)' if member.held_out else ''}: {member.folder.path}")
    task, base = member.task, group.spec.model
    resolved = [resolve(name, arm, task, base) for name, arm in with_baselines(dict(arms), task, base).items()]
    trained = {arm.name: group.training(arm.name) for arm in resolved if isinstance(arm, TrainedArm) and arm.trained_on}
    spec = _study_spec(group.spec, member, arms)
    with locked_study(member.folder, StudyRecord):
        run_study(member.folder, spec, member.task, resolved, command, trained, findings, day)
