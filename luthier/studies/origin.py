"""study.json: what was asked for, and where everything came from: data, models, arms, versions, the machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from luthier import machine
from luthier.arms.resolve import Arm, TrainedArm
from luthier.arms.spec import ArmSpec
from luthier.model.model import Model, parameter_counts
from luthier.studies.fit import Work


def made_by(model: Model) -> dict[str, Any]:
    """The versions, the machine and the commit that a study is made with."""
    commit, dirty = machine.commit()
    return {
        "versions": machine.versions(),
        "machine": machine.describe(str(model.device)),
        "commit": commit,
        "dirty": dirty,
    }


def study_origin(
    specification: dict[str, Any], command: str, work: Work, bases: Mapping[str, Model], arms: Sequence[Arm]
) -> dict[str, Any]:
    """study.json but for power, health and status: specification and origin."""
    task, base = work.task, bases[work.model_name]
    splits = {"train": work.train, "dev": work.dev, "test": work.test}
    return {
        "format": 1,
        "specification": specification,
        "arms": {arm.name: _as_row(arm, bool(task.labels)) for arm in arms},
        "command": command or shlex.join(["luthier", "study", task.source]),
        "task": {
            "name": task.name,
            "folder": task.source,
            "labels": list(task.labels),
            "description": task.spec.description,
            "metric": task.spec.decide.metric,
            "margin": task.spec.decide.margin,
            "hashes": task.hashes(),
            "counts": {name: len(examples) for name, examples in splits.items()},
            "of": {name: len(task.split(name)) for name in splits},
            "templates": {name: task.template(name) for name in {arm.template for arm in arms}},
            "notes": [sentence for note in task.notes for sentence in note.sentences()],
        },
        "model": _origin(base, work.precision),
        "models": {name: _origin(other, work.precision) for name, other in bases.items() if other is not base},
        **made_by(base),
    }


def _origin(model: Model, precision: str) -> dict[str, Any]:
    """A base model as study.json tells of it."""
    return {
        "name": model.name,
        "base_sha256": model.base_sha256,
        "family": model.family,
        "window": model.window,
        "precision": precision,
        "parameters": parameter_counts(model.module)[1],
        "notes": list(model.notes),
    }


def _as_row(arm: Arm, labelled: bool) -> dict[str, Any]:
    """The arm's table. Where it was trained is told only of an arm that was trained elsewhere, so that all other
    studies keep the hash by which their looks are known."""
    trained = arm if isinstance(arm, TrainedArm) else None
    spec = ArmSpec(
        method=arm.method.name,
        template=arm.template,
        settings=arm.settings.model_dump(),
        training=trained.training.model_dump() if trained else {},
        generation=arm.generation.model_dump(),
        width=arm.width,
        model=arm.model,
        answer="generation" if arm.answers_by == "generation" and labelled else None,
        tune=list(trained.tunable) if trained else [],
        trained_on=trained.trained_on if trained else None,
    )
    return spec.model_dump(exclude=None if spec.trained_on else {"trained_on"})
