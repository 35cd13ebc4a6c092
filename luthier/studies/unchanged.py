"""A study that goes on asks what it asked before: the same words, of the same bases, decided by the same rule.

What arms answered before and after a change is no comparison, and a rule that is changed once the test set was seen
decides what one would like. The data's own hashes are compared in study.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from luthier import machine
from luthier.errors import ModelError, TaskError
from luthier.files import sha256_of_text
from luthier.model.fingerprint import files_of_base, refuse_other_files
from luthier.model.model import Model
from luthier.results.folder import StudyFolder
from luthier.results.multitask_record import MultitaskRecord
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.scoring.labels import FOLDS
from luthier.task.examples import unit_of
from luthier.task.spec import BARE
from luthier.task.task import Task

_REMEDY = "start a new study with --out, or give this one the base that it began with"


def refuse_changed_task(folder: StudyFolder, stored: StudyRecord, task: Task) -> None:
    """Raises TaskError that says which of task.toml's settings is another one than when the study began."""
    for what, before, now in _settings(folder, stored, task):
        if before != now:
            raise TaskError(
                f"{task.folder}: {what} changed from {before!r} to {now!r} since the study in {folder.path} began; "
                "change it back, or start a new study with --out"
            )


def _settings(folder: StudyFolder, stored: StudyRecord, task: Task) -> Iterator[tuple[str, object, object]]:
    """(what it is, its value in the study, its value now) of everything that decides a number."""
    decide, prompt = task.spec.decide, task.spec.prompt
    yield "the deciding metric", stored.task.metric, decide.metric
    yield "the margin", stored.task.margin, decide.margin
    yield "the labels", stored.task.labels, list(task.labels)
    yield "what a word is (decide.words)", stored.task.words, decide.words
    yield "BLEU's tokenizer (decide.bleu)", stored.task.bleu, decide.bleu
    yield "what becomes of reasoning blocks (answer.reasoning)", stored.task.reasoning, task.spec.answer.reasoning
    if task.spec.classes:
        folds = list(FOLDS) if stored.task.fold is None else stored.task.fold
        yield "what makes no other label (classes.fold)", folds, task.spec.classes.fold
    yield "what becomes of several references", stored.task.references, decide.references
    yield "the seed of shots", stored.task.shot_seed, prompt.shot_seed
    before, now = stored.task.units_sha256, units_sha256(task)
    yield "which test examples form a unit", before or "equal inputs", now or "equal inputs"
    for name, text in stored.task.templates.items():
        is_there = name in (*prompt.templates, BARE)
        yield f"the template '{name}'", text, task.template(name) if is_there else None
    for name in stored.arms:
        length = folder.arm_record(name).length if folder.finished(name) else None
        if length is not None and length.by != "given":  # the largest limit that was tried is the task's
            yield "max_new_tokens", max(length.by_limit), task.spec.answer.max_new_tokens


def units_sha256(task: Task) -> str | None:
    """One hash over the unit of every test example; None where equal inputs, and nothing else, are one unit."""
    units = {example.id: example.unit for example in task.test}
    if all(units[example.id] == unit_of(example.input) for example in task.test):
        return None
    return sha256_of_text(*(part for id in sorted(units) for part in (id, units[id])))


def other_rules(task: Task) -> dict[str, Any]:
    """The rules of a task that are not the usual ones, as study.json names them."""
    usual = {"references": "mean", "shot_seed": 0, "units_sha256": None}
    here = {
        "references": task.spec.decide.references,
        "shot_seed": task.spec.prompt.shot_seed,
        "units_sha256": units_sha256(task),
    }
    return {key: value for key, value in here.items() if value != usual[key]}


def other_versions(stored: StudyRecord | MultitaskRecord) -> list[str]:
    """A sentence where a study goes on with other versions than it began with; none where all are the same.

    It is said and not refused: an upgrade in the middle of a long study is common, and mostly changes nothing.
    """
    now = machine.versions()
    others = [(name, before, now[name]) for name, before in stored.versions.items() if now.get(name, before) != before]
    if not others:
        return []
    began, goes_on = (", ".join(f"{one[0]} {one[which]}" for one in others) for which in (1, 2))
    return [
        f"this study began with {began} and goes on with {goes_on}; what is made now may differ by more than the arms "
        "do, so start a new study with --out where that matters"
    ]


def refuse_other_weights(folder: StudyFolder, before: str, base: Model) -> None:
    """Raises ModelError where a base has other weights than the SHA-256 that the study in `folder` began with."""
    if base.base_sha256 != before:
        raise ModelError(
            f"{base.folder}: holds other weights (sha256 {base.base_sha256[:12]}) than when the study in {folder.path} "
            f"began ({before[:12]}); {_REMEDY}"
        )


def refuse_changed_bases(folder: StudyFolder, stored: StudyRecord, bases: Mapping[str, Model]) -> None:
    """Raises ModelError where a base has other weights, or another file that decides its answers, than before."""
    for name, origin in {stored.model.name: stored.model, **stored.models}.items():
        if name in bases:
            refuse_other_weights(folder, origin.base_sha256, bases[name])
    here = {name: files_of_base(model.folder) for name, model in bases.items()}
    for arm in stored.arms:
        note = ShippedNote.read_if_there(folder.arm(arm))
        if note and note.base.name in bases:
            refuse_other_files(bases[note.base.name].folder, note.base.files, here[note.base.name], _REMEDY)
