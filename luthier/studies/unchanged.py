"""A study that goes on asks what it asked before: the same words, of the same bases, decided by the same rule.

What arms answered before and after a change is no comparison, and a rule that is changed once the test set was seen
decides what one would like. The data's own hashes are compared in study.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from luthier.errors import ModelError, TaskError
from luthier.model.fingerprint import files_of_base, refuse_other_files
from luthier.model.model import Model
from luthier.results.folder import StudyFolder
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.scoring.labels import FOLDS
from luthier.task.spec import BARE
from luthier.task.task import Task


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
    for name, text in stored.task.templates.items():
        is_there = name in (*prompt.templates, BARE)
        yield f"the template '{name}'", text, task.template(name) if is_there else None
    for name in stored.arms:
        length = folder.arm_record(name).length if folder.finished(name) else None
        if length is not None and length.by != "given":  # the largest limit that was tried is the task's
            yield "max_new_tokens", max(length.by_limit), task.spec.answer.max_new_tokens


def refuse_changed_bases(folder: StudyFolder, stored: StudyRecord, bases: Mapping[str, Model]) -> None:
    """Raises ModelError where a base has other weights, or another file that decides its answers, than before."""
    remedy = "start a new study with --out, or give this one the base that it began with"
    for name, origin in {stored.model.name: stored.model, **stored.models}.items():
        if name in bases and bases[name].base_sha256 != origin.base_sha256:
            raise ModelError(
                f"{bases[name].folder}: holds other weights (sha256 {bases[name].base_sha256[:12]}) than when the "
                f"study in {folder.path} began ({origin.base_sha256[:12]}); {remedy}"
            )
    here = {name: files_of_base(model.folder) for name, model in bases.items()}
    for arm in stored.arms:
        note = ShippedNote.read_if_there(folder.arm(arm))
        if note and note.base.name in bases:
            refuse_other_files(bases[note.base.name].folder, note.base.files, here[note.base.name], remedy)
