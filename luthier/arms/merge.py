"""Merging: an arm as one plain model, which is called good only when it repeats the arm's probe answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from filecmp import cmp
from pathlib import Path
from typing import Any

from luthier.adapt.method import Tuning
from luthier.adapt.methods import merging, method
from luthier.arms.shipped import after_texts, arm_to_ask, differing, found_again, load_arm
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import building, possible
from luthier.machine import keep_freed_memory
from luthier.model.allowed import CONFIG
from luthier.model.model import Model, load
from luthier.model.widths import file_bytes, quantize, read, write_files
from luthier.results.names import run_folder
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord


def merge(
    source: str | Path, folder: str | Path, *, arm: str | None = None, width: str | None = None, differ: int = 0
) -> dict[str, Any]:
    """`merge_arm` of a study (its shipped arm, or `arm`) or of an arm's folder."""
    path = possible(source)
    if StudyRecord.is_in(path):
        path = run_folder(path, arm_to_ask(path) if arm is None else arm)
    elif arm is not None:
        raise SettingsError(f"{source}: is no study, so it has no arm '{arm}'; leave --arm out")
    return merge_arm(path, Path(folder), width, differ)


def merge_arm(path: Path, folder: Path, width: str | None = None, differ: int = 0) -> dict[str, Any]:
    """The arm as one plain model in `folder`, which every tool loads and which is as fast as the base.

    With `width` its linear layers are made narrow after that. It is called good only if it repeats the arm's probe
    answers after it was written and read back, but for `differ` of them. Returns how many probes were asked and the ids
    of those that are answered differently, the width, and the bytes of the file. A folder that holds this very model
    already is left as it is. Raises SettingsError for a method
    that cannot merge or a number below 0, FolderError for a folder in use, ModelError when more answers differ.
    """
    if differ < 0:
        raise SettingsError(f"merge: differ is {differ}; give 0, or how many probes may be answered in other words")
    path, folder = possible(path), possible(folder)
    keep_freed_memory()
    shipped, note = load_arm(path), ShippedNote.read(path)
    if folder.exists() and not (folder / CONFIG).is_file():
        raise _in_use(folder)
    if shipped.model.family == "encoder" and width:
        raise SettingsError(f"{path}: the weights of an encoder are not made {width} here; leave the width out")
    measured = note.width
    if measured and width not in (None, measured):
        raise SettingsError(f"{path}: its weights are {measured} already; merge the arm that they were made of")
    plain = shipped.model if measured else merged(path, note)
    made, made_width = quantize(plain, width) if width and not measured else plain, width or measured
    with suppress(_IsThere), building(folder) as part:
        write_files(made, part)
        precision, labels = note.base.precision, shipped.model.labels
        again = (
            read(part, made_width, precision, note.day)
            if made_width
            else load(str(part), precision=precision, labels=labels, day=note.day)
        )
        others = differing(replace(shipped, model=replace(again, labels=labels)))
        if len(others) > differ:
            rounds = precision == "bf16" and not measured
            raise ModelError(_other_answers(path, others, len(shipped.probes), None if measured else width, rounds))
        if folder.exists():  # a merge that was killed after its last step is done
            raise _IsThere if _same_files(part, folder) else _in_use(folder)
    return {"probes": len(shipped.probes), "differ": others, "width": made_width, "file_bytes": file_bytes(folder)}


class _IsThere(Exception):
    """The folder holds what would be put there."""


def _in_use(folder: Path) -> FolderError:
    return FolderError(f"{folder}: there is something already; choose a new folder")


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold files of the same names and bytes."""
    names = [{path.relative_to(folder) for path in folder.rglob("*")} for folder in (one, other)]
    return names[0] == names[1] and all(
        cmp(one / name, other / name, shallow=False) for name in names[0] if (one / name).is_file()
    )


def merged(path: Path, note: ShippedNote, precision: str | None = None) -> Model:
    """The base, with what the arm learned in its weights; in its own precision, or in another.

    Raises SettingsError for a method that has nothing to merge.
    """
    arm_method, base = method(note.method), note.base
    kept = precision or base.precision
    whole = load(found_again(base, path), precision=kept, labels=note.labels, day=note.day)
    whole = after_texts(whole, path, note)
    if not isinstance(arm_method, Tuning):
        return whole
    if not arm_method.leaves_whole_weights:
        mergeable = ", ".join(merging())
        raise SettingsError(f"{path}: {arm_method.name} has nothing to merge into the base; these have: {mergeable}")
    return (arm_method.merge or arm_method.load)(whole, path / str(note.weights))


def _other_answers(path: Path, others: Sequence[str], probes: int, width: str | None, rounds: bool) -> str:
    """Why merged weights are not handed out, and what to do; `rounds` says that merging rounded what was learned."""
    said = f"{path}: probe '{others[0]}' is answered differently ({len(others)} of {probes}) once merged"
    if width is None and rounds:
        return (
            f"{said}: its base is bf16, which rounds what was learned; allow it with --differ {len(others)}, or study "
            "the arm with --precision fp32 and merge that"
        )
    if width is None:
        return f"{said}; these weights are not those that were measured"
    return (
        f"{said} and made {width}, which nobody measured; study it as an arm ({path.name.partition('@')[0]}@{width}) "
        f"and merge that, or allow it with --differ {len(others)}"
    )
