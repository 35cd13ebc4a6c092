"""A study: arms x examples through the same code, in a folder that can resume. Finished parts are not repeated.

    plan: the specification, joined with the folder -> look over: health, what can be detected -> begin: study.json
    -> plan.json -> every arm (arm.py) -> with a panel, what they kept: panel.json -> conclude: compare.json,
    profile.json -> done -> report

The dev split chooses lengths and checkpoints; the test split is opened once, at the end of each arm.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from luthier.arms.resolve import Arm, TrainedArm, as_trained, resolve, with_defaults
from luthier.arms.short_form import parse
from luthier.arms.spec import ArmSpec
from luthier.arms.usual import arm_specs, with_baselines
from luthier.decoding.answers import refuse_same_labels
from luthier.defaults import MOST_DEV
from luthier.errors import LuthierError, SettingsError, TaskError
from luthier.files import possible, sha256_of_text
from luthier.machine import keep_freed_memory
from luthier.model.model import Model, load
from luthier.progress import say, stoppable
from luthier.records import Example, Prompt
from luthier.reports.write import report
from luthier.results.folder import StudyFolder
from luthier.results.lines import ARM_FAILED, EXAMPLES_FILE
from luthier.results.names import arm_names, study_folder
from luthier.results.plan_record import PlanRecord
from luthier.results.record import write_lines_of
from luthier.results.resume import begin, locked_study, look_ahead, refuse_other_specification, stored_in
from luthier.results.study_record import Health, StudyRecord
from luthier.scoring.score import refuse_unequal
from luthier.studies.arm import run_arm
from luthier.studies.domain import texts_of_study
from luthier.studies.fit import StudyContext
from luthier.studies.origin import study_origin
from luthier.studies.planned import say_plan, write_plan
from luthier.studies.runs import Run, runs, time_left, training_notes, trainings
from luthier.studies.spec import StudySpec, in_reach, specification
from luthier.studies.teaching import beginning, teach
from luthier.studies.unchanged import other_versions, refuse_changed_bases, refuse_changed_task
from luthier.suites.panel import of_study
from luthier.task.chat_template import today
from luthier.task.check import check_task
from luthier.task.check_prompts import refuse_same_prompts
from luthier.task.findings import Finding
from luthier.task.prompt import draw_shots
from luthier.task.reading import refuse_unread
from luthier.task.spec import SPLITS
from luthier.task.task import Task, load_task
from luthier.training.memory import Bound
from luthier.verdicts.conclude import conclude
from luthier.verdicts.detect import can_show, refuse_unscorable, unseen_labels

# Keys of a specification that may differ when a study resumes.
MAY_CHANGE = ("precision", "seeds", "panel", "require_kept")


def study(
    task: str | Path | None = None,
    *,
    model: str | None = None,
    arms: str | Sequence[str] | None = None,
    defaults: str | Mapping[str, Any] | None = None,
    train: int | None = None,
    dev: int | None = None,
    test: int | None = None,
    out: str | Path | None = None,
    config: str | Path | None = None,
    seed: int | None = None,
    precision: str | None = None,
    seeds: int | None = None,
    tune: int | None = None,
    likelihood: bool | None = None,
    memory: float | None = None,
    panel: bool | None = None,
    require_kept: bool | None = None,
    command: str = "",
) -> Path:
    """Runs the missing parts of a study. Returns its folder, which holds compare.json, report.html and report.md.

    Arguments override study.toml (`config`). A second call with the same arguments resumes the study. A call with more
    arms or `seeds` runs only the new ones. Raises LuthierError.
    """
    keywords = {
        "model": model, "defaults": defaults, "train": train, "dev": dev, "test": test, "seed": seed,
        "precision": precision, "seeds": seeds, "tune": tune, "likelihood": likelihood, "memory": memory,
        "panel": panel, "require_kept": require_kept,
    }  # fmt: skip
    keep_freed_memory()
    spec = specification(task, arms, config, keywords)
    loaded = load_task(str(spec.task))
    refuse_unread(loaded)
    specs = with_baselines(arm_specs(spec.arms, loaded, spec.model), loaded, spec.model)
    specs = with_defaults(specs, spec.defaults)
    arm_names(specs)
    folder = StudyFolder(possible(out) if out else _default_folder(spec, loaded))
    spec = spec.model_copy(update={"model": in_reach(spec.model, folder.path)})
    specs = {
        name: arm.model_copy(update={"model": in_reach(arm.model, folder.path)}) if arm.model else arm
        for name, arm in specs.items()
    }
    resolved = [resolve(name, arm, loaded, spec.model) for name, arm in specs.items()]
    with locked_study(folder, StudyRecord), stoppable():
        run_study(folder, spec, loaded, resolved, command)
    return folder.path


def run_study(
    folder: StudyFolder,
    spec: StudySpec,
    task: Task,
    arms: Sequence[Arm],
    command: str,
    trained: Mapping[str, Path] | None = None,
    more_findings: Sequence[Finding] = (),
    day: str | None = None,
) -> None:
    """Runs the missing parts of a study. The caller has locked its folder.

    trained: arm -> the folder of its finished training, for arms that were trained elsewhere. more_findings: findings
    about the data beside those of the check of the task. day: the date that chat templates print in a new study.
    """
    stored = stored_in(folder, StudyRecord)
    plan = _planned(folder, spec, task, arms, stored)
    day = (stored.day if stored else day) or today()  # one day for all prompts, however long the study takes
    bases = _bases(spec.model, plan.arms, task, stored.model.precision if stored else spec.precision, day)
    if stored is not None:
        refuse_changed_bases(folder, stored, bases)
    context = replace(context_of(folder, spec, task, bases[spec.model]), trained=trained or {})
    _refuse_same_prompts(context, plan.arms, bases)
    is_whole = stored is not None and all(folder.finished(run.name) for run in runs(plan.arms, plan.seeds))
    record = _look_over(plan, context, bases, command, stored, more_findings, is_whole)
    if stored is not None and is_whole and stored.asks_the_same_as(record):
        record = stored  # nothing is made now, so what made it stays
    elif stored is not None and is_whole and stored.trains_the_same_as(record):  # a panel is asked of what is there
        record = stored.model_copy(update={"specification": record.specification, "status": "running"})
    if texts := texts_of_study(context, plan.arms, bases, stored):
        record = record.model_copy(update={"texts": texts})
    begin(folder, record, stored)
    write_lines_of(folder.path / EXAMPLES_FILE, context.test)
    expected = write_plan(context, plan.arms, bases)
    _run_arms(context, runs(plan.arms, plan.seeds), bases, expected)
    if record.asks_panel:
        of_study(folder.path, None, record.command)
    look = conclude(folder, task).look
    record.done(look).write(folder.path)
    folder.log("done")
    report(folder.path)


@dataclass(frozen=True)
class StudyPlan:
    """The specification of a study, joined with what its folder holds already."""

    specification: dict[str, Any]
    arms: list[Arm]
    seeds: int


def _planned(
    folder: StudyFolder, spec: StudySpec, task: Task, arms: Sequence[Arm], stored: StudyRecord | None
) -> StudyPlan:
    """The specification, joined with the stored study.

    Raises FolderError if the folder holds another study, TaskError if the study began with other data.
    """
    arm_names([*(stored.arms if stored else ()), *(arm.name for arm in arms)])
    asked = spec.model_dump(mode="json") | {"task": task.name}
    if stored is None:
        return StudyPlan(asked, list(arms), spec.seeds)
    refuse_other_specification(folder, stored, {key: v for key, v in asked.items() if key not in MAY_CHANGE})
    if stored.task.hashes != task.hashes():
        raise TaskError(
            f"{task.folder}: the data changed since the study in {folder.path} began; start a new study with --out"
        )
    refuse_changed_task(folder, stored, task)
    seeds = max(spec.seeds, stored.seeds)
    asked |= {key: True for key in ("panel", "require_kept") if stored.specification.get(key)}
    return StudyPlan(asked | {"seeds": seeds}, _with_stored_arms(folder, arms, stored, task, spec.model), seeds)


def _look_over(
    plan: StudyPlan,
    context: StudyContext,
    bases: Mapping[str, Model],
    command: str,
    stored: StudyRecord | None,
    more_findings: Sequence[Finding],
    is_whole: bool,
) -> StudyRecord:
    """study.json before any arm runs; `is_whole` says that none has to.

    Prints problems of the data, and what the study can show.
    """
    task = context.task
    look = look_ahead(context.folder, task.hashes()["test"], [arm.name for arm in plan.arms])
    power = can_show(task, context.test, len(plan.arms), look) + unseen_labels(task, context.train)
    # The check reads every row, which is slow on large data. A resumed study has the same data.
    findings = [] if stored else [*more_findings, *check_task(task, bases[context.model_name])]
    health = list(stored.health) if stored else [Health(**asdict(one)) for one in findings]
    if stored and not is_whole:
        health += [Health(level="warning", text=text, file=None, row=None) for text in other_versions(stored)]
    notes = training_notes(plan.arms, plan.seeds, context.trials)
    for sentence in [row.text for row in health if row.level != "note"] + power + notes:
        say(sentence)
    return study_origin(
        plan.specification, command, context, bases, plan.arms, power=power, training_notes=notes, health=health
    )


def _bases(own: str, arms: Sequence[Arm], task: Task, precision: str, day: str) -> dict[str, Model]:
    """name -> loaded model, for the study's model and those that arms name. Raises ModelError before any arm runs."""
    names = dict.fromkeys([own, *(arm.model for arm in arms if arm.model)])
    bases = {name: load(name, precision=precision, labels=task.labels, day=day) for name in names}
    for model in bases.values():
        refuse_same_labels(model)
    return bases


def _refuse_same_prompts(context: StudyContext, arms: Sequence[Arm], bases: Mapping[str, Model]) -> None:
    """Raises PromptError for an arm whose prompts leave something out or are all the same, before any arm runs."""
    seen = set()
    for arm in arms:
        most = arm.most_new_tokens(context.task)
        if not arm.method.asks_model or (kind := (arm.model, arm.template, arm.shots, most)) in seen:
            continue
        seen.add(kind)
        model, text = bases[arm.model or context.model_name], context.task.template(arm.template)
        shots = draw_shots(context.train, arm.shots, context.task.spec.prompt.shot_seed) if arm.shots else []
        room = model.renderer.room_for(most)
        refuse_same_prompts(arm.name, model.renderer, text, shots, [*context.dev, *context.test], room)


def _run_arms(context: StudyContext, every: Sequence[Run], bases: Mapping[str, Model], expected: PlanRecord) -> None:
    """Runs the missing arms. Prints before each what it is expected to take, and after each training the time left."""
    once = [arm.name for arm in trainings([run.of for run in every if not run.seed])]
    trained = [run for run in every if run.of.name in once]
    done = [run for run in trained if context.folder.finished(run.name)]
    for run in every:
        if context.folder.finished(run.name):
            continue
        say_plan(expected, run.of.name)
        base, before = bases[run.of.model or context.model_name], beginning(context, run.arm)
        try:
            _run(context, run, base)
        except LuthierError:
            context.folder.log(ARM_FAILED, arm=run.of.name)
            raise
        teach(context, run.arm, base, expected.of(run.of.name), before)
        if run in trained:
            done.append(run)
            _say_time_left(context, trained, done)


def _run(context: StudyContext, run: Run, base: Model) -> None:
    if run.seed and isinstance(run.arm, TrainedArm):
        # Further seeds train with the settings that dev chose under the study's own seed.
        tuned = as_trained(run.arm, context.folder.arm_record(run.of.name))
        run_arm(replace(context, seed=context.seed + run.seed, trials=0), tuned, base)
    else:
        run_arm(context, run.arm, base)


def _say_time_left(context: StudyContext, trained: Sequence[Run], done: Sequence[Run]) -> None:
    pending = [run for run in trained if run not in done]
    left = time_left(context.folder.cost(), done, pending)
    if pending and left is not None:
        say(f"{len(done)} of {len(trained)} trainings are done; the others take about {left / 60:.0f} minutes.")


def _default_folder(spec: StudySpec, task: Task) -> Path:
    """studies/TASK-MODEL-xxxxxxxx. The same arguments give the same folder, whatever arms and seeds."""
    same = spec.model_dump_json(exclude={"arms", "task", "seeds", "panel", "require_kept"})
    mark = sha256_of_text(same, *task.hashes().values())[:8]
    return study_folder(task.name, spec.model, mark)


def _with_stored_arms(
    folder: StudyFolder, arms: Sequence[Arm], stored: StudyRecord, task: Task, base: str
) -> list[Arm]:
    """The arms of the folder, then the new ones.

    Leaves out an arm that failed, if `arms` lacks it. Raises SettingsError if an arm has the name of a different stored
    arm.
    """
    asked, failed = {arm.name for arm in arms}, folder.failed_arms()
    kept = {name: table for name, table in stored.arms.items() if name in asked or name not in failed}
    for name in stored.arms:
        if name not in kept:
            say(f"{name}: failed and is not asked for any more, so it is left out")
    stored_arms = {
        name: resolve(name, ArmSpec.model_validate(table.as_json()), task, base) for name, table in kept.items()
    }
    for arm in arms:
        if arm.name in stored_arms and stored_arms[arm.name] != arm:
            raise SettingsError(f"arm '{arm.name}' was run with other settings in this folder; give it another name")
    return list((stored_arms | {arm.name: arm for arm in arms}).values())


def context_of(folder: StudyFolder, spec: StudySpec, task: Task, base: Model) -> StudyContext:
    """What the arms of a study share: samples of the splits, folder, model and settings.

    Raises TaskError for a split without a usable example, with fewer than the specification asks for, or for which the
    deciding metric cannot be computed.
    """
    train, dev, test = ([e for e in task.split(name) if e.is_usable] for name in SPLITS)
    for name, usable in zip(SPLITS, (train, dev, test), strict=True):
        if not usable:
            raise TaskError(f"{task.folder}: the {name} split has no example with an input and a reference; add some")
        if task.spec.decide.references == "max" and name != "train":
            refuse_unequal(usable)
    dev, test = sample(dev, spec.dev or min(MOST_DEV, len(dev)), spec.seed), sample(test, spec.test, spec.seed)
    refuse_unscorable(task, "dev", dev)
    refuse_unscorable(task, "test", test)
    return StudyContext(
        task=task,
        train=sample(train, spec.train, spec.seed),
        dev=dev,
        test=test,
        seed=spec.seed,
        model_name=spec.model,
        precision="bf16" if "bfloat16" in str(base.dtype) else "fp32",
        folder=folder,
        trials=spec.tune,
        likelihood=spec.likelihood,
        bound=Bound(spec.memory * 1e9 if spec.memory else None, base.module),
        day=base.day,
    )


def sample(examples: Sequence[Example], count: int | None, seed: int) -> list[Example]:
    """`count` examples drawn by seed, in their own order. A larger sample contains the smaller one.

    Raises TaskError when there are fewer.
    """
    if count is None:
        return list(examples)
    if count > len(examples):
        raise TaskError(f"{count} examples were asked for but the split has {len(examples)}; ask for fewer")
    order = list(range(len(examples)))
    random.Random(f"sample-{seed}").shuffle(order)
    return [examples[i] for i in sorted(order[:count])]


def prompt_of(task: Task, arm: str, model: Model, split: str = "dev", id: str | None = None) -> tuple[Prompt, Example]:
    """The exact prompt of one example under an arm's short form, with its target if the arm trains.

    `model` is the arm's model. Raises TaskError when the split has no such example.
    """
    spec = parse(arm)
    resolved = resolve(arm, spec.model_copy(update={"model": spec.model or model.name}), task)
    examples = task.split(split)
    example = next((e for e in examples if id is None or e.id == id), None)
    if example is None:
        raise TaskError(f"{task.folder}: the {split} split has no example '{id}'; its first is '{examples[0].id}'")
    shots = draw_shots(task.train, resolved.shots, task.spec.prompt.shot_seed)
    text, room = task.template(resolved.template), model.renderer.room_for(resolved.most_new_tokens(task))
    learns = isinstance(resolved, TrainedArm) and resolved.method.reads == "examples"
    return model.renderer.prompt(example, text, shots, room=room, train=learns), example
