"""study.json: the specification, and the origin of everything: data, models, arms, versions, the machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from luthier import machine
from luthier.adapt.settings import Texts
from luthier.arms.resolve import Arm, TrainedArm
from luthier.decoding import roads
from luthier.model import shared
from luthier.model.model import Model, parameter_counts
from luthier.results.study_record import ArmTable, Health, Machine, ModelOrigin, StudyRecord, TaskOrigin
from luthier.scoring.labels import FOLDS
from luthier.scoring.words import ENGLISH
from luthier.studies.fit import StudyContext
from luthier.studies.unchanged import other_rules
from luthier.training.settings import Training


def whole_letters(text: str) -> str:
    """The text as UTF-8 can hold it: a command may have been typed in bytes of no letter."""
    return text.encode("utf-8", "backslashreplace").decode()


class MadeBy(TypedDict):
    """Fields that study.json and multitask.json share."""

    versions: dict[str, str]
    machine: Machine
    commit: str | None
    dirty: bool | None


def made_by(model: Model) -> MadeBy:
    """The versions, the machine and the commit that make a study."""
    commit, dirty = machine.commit()
    return {
        "versions": machine.versions(),
        "machine": Machine(**machine.describe(str(model.device))),
        "commit": commit,
        "dirty": dirty,
    }


def study_origin(
    specification: dict[str, Any],
    command: str,
    context: StudyContext,
    bases: Mapping[str, Model],
    arms: Sequence[Arm],
    *,
    power: list[str],
    training_notes: list[str],
    health: list[Health],
) -> StudyRecord:
    """study.json of a study that begins. `training_notes` are the sentences of `runs.training_notes`."""
    base = bases[context.model_name]
    trained = {arm.model or context.model_name for arm in arms if isinstance(arm, TrainedArm)}
    origins = {name: _model_origin(model, context.precision, name in trained) for name, model in bases.items()}
    printed: dict[str, Any] = next((day for model in bases.values() if (day := model.printed_day)), {})
    return StudyRecord(
        format=1,
        specification=specification,
        arms={arm.name: arm_table(arm, bool(context.task.labels)) for arm in arms},
        command=whole_letters(command) or shlex.join(["luthier", "study", context.task.source]),
        task=_task_origin(context, arms),
        model=origins.pop(context.model_name),
        models=origins,
        **made_by(base),
        power=power,
        effort=training_notes,
        health=health,
        status="running",
        **printed,
    )


def _task_origin(context: StudyContext, arms: Sequence[Arm]) -> TaskOrigin:
    task, splits = context.task, {"train": context.train, "dev": context.dev, "test": context.test}
    read = {key: value for key, value in vars(task.reading).items() if value != getattr(ENGLISH, key)}
    if task.spec.classes and tuple(task.spec.classes.fold) != FOLDS:
        read["fold"] = list(task.spec.classes.fold)
    return TaskOrigin(
        **read,
        name=task.name,
        folder=task.source,
        labels=list(task.labels),
        description=task.spec.description,
        metric=task.spec.decide.metric,
        margin=task.spec.decide.margin,
        hashes=task.hashes(),
        counts={name: len(examples) for name, examples in splits.items()},
        of={name: len(task.split(name)) for name in splits},
        templates={name: task.template(name) for name in dict.fromkeys(arm.template for arm in arms)},
        notes=[sentence for note in task.notes for sentence in note.sentences()],
        **other_rules(task),
    )


def _model_origin(model: Model, precision: str, is_trained: bool) -> ModelOrigin:
    slow = [roads.slow_road(model), shared.slow_road(model) if is_trained else None]
    return ModelOrigin(
        name=model.name,
        base_sha256=model.base_sha256,
        family=model.family,
        window=model.window,
        precision=precision,
        parameters=parameter_counts(model.module)[1],
        notes=[*model.notes, *filter(None, slow)],
    )


def arm_table(arm: Arm, labelled: bool) -> ArmTable:
    """The arm's table in study.json.

    Only an arm that was trained elsewhere has `trained_on`, so the tables of other studies keep their hash, by which
    looks at a test set are counted.
    """
    trained = arm if isinstance(arm, TrainedArm) else None
    where_given: dict[str, Any] = {"trained_on": trained.trained_on} if trained and trained.trained_on else {}
    where_given |= {"scale": arm.scale} if arm.scale is not None else {}
    where_given |= {"domain": domain_table(trained.domain)} if trained and trained.domain else {}
    return ArmTable(
        method=arm.method.name,
        template=arm.template,
        settings=arm.settings.model_dump(),
        training=_training_table(trained) if trained else {},
        generation=arm.generation.model_dump(),
        width=arm.width,
        model=arm.model,
        answer="generation" if arm.answers_by == "generation" and labelled else None,
        tune=list(trained.tunable) if trained else [],
        **where_given,
    )


def domain_table(domain: TrainedArm) -> dict[str, Any]:
    """The settings of the further pretraining that an arm begins with, in one table."""
    return domain.settings.model_dump(include=set(Texts.model_fields)) | _training_table(domain)


def _training_table(arm: TrainedArm) -> dict[str, Any]:
    """How an arm is trained. A later setting of which the method has its own default is there at 0 too."""
    own = {key: getattr(arm.training, key) for key in sorted(Training.LATER) if getattr(arm.method.training, key)}
    return arm.training.model_dump() | own
