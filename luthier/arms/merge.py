"""Merging: an arm as one plain model, which is called good only when it repeats the arm's probe answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.adapt.method import Tuning
from luthier.adapt.methods import merging, method
from luthier.arms.shipped import arm_to_ask, differing, load_arm
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import building
from luthier.machine import keep_freed_memory
from luthier.model.model import Model, load
from luthier.model.widths import file_bytes, quantize, read, write_files
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord


def merge(
    source: str | Path, folder: str | Path, *, arm: str | None = None, width: str | None = None, differ: int = 0
) -> dict[str, Any]:
    """`merge_arm` of a study (its shipped arm, or `arm`) or of an arm's folder."""
    place = Path(source)
    if StudyRecord.is_in(place):
        place = place / "arms" / (arm or arm_to_ask(place))
    elif arm is not None:
        raise SettingsError(f"{source}: is no study, so it has no arm '{arm}'; leave --arm out")
    return merge_arm(place, Path(folder), width, differ)


def merge_arm(place: Path, folder: Path, width: str | None = None, differ: int = 0) -> dict[str, Any]:
    """The arm as one plain model in `folder`, which every tool loads and which is as fast as the base.

    With `width` its linear layers are made narrow after that. It is called good only if it repeats the arm's probe
    answers after it was written and read back, but for `differ` of them. Returns how many probes were asked and the ids
    of those that are answered differently, the width, and the bytes of the file. Raises SettingsError for a method
    that cannot merge, FolderError for a folder in use, ModelError when more answers differ.
    """
    keep_freed_memory()
    shipped, note = load_arm(place), ShippedNote.read(place)
    if folder.exists():
        raise FolderError(f"{folder}: there is something already; choose a new folder")
    if shipped.model.family == "encoder" and width:
        raise SettingsError(f"{place}: the weights of an encoder are not made {width} here; leave the width out")
    measured = note.width
    if measured and width not in (None, measured):
        raise SettingsError(f"{place}: its weights are {measured} already; merge the arm that they were made of")
    plain = shipped.model if measured else _merged(place, note)
    made, found = quantize(plain, width) if width and not measured else plain, width or measured
    with building(folder) as part:
        write_files(made, part)
        precision, labels = note.base.precision, shipped.model.labels
        again = read(part, found, precision) if found else load(str(part), precision=precision, labels=labels)
        others = differing(replace(shipped, model=replace(again, labels=labels)))
        if len(others) > differ:
            raise ModelError(_other_answers(place, others, len(shipped.probes), None if measured else width))
    return {"probes": len(shipped.probes), "differ": others, "width": found, "file_bytes": file_bytes(folder)}


def _merged(place: Path, note: ShippedNote) -> Model:
    """The base, with what the arm learned in its weights."""
    found, base = method(note.method), note.base
    whole = load(base.name, precision=base.precision, labels=note.labels)
    if not isinstance(found, Tuning):
        return whole
    if not found.leaves_whole_weights:
        mergeable = ", ".join(merging())
        raise SettingsError(f"{place}: {found.name} has nothing to merge into the base; these have: {mergeable}")
    return (found.merge or found.load)(whole, place / str(note.weights))


def _other_answers(place: Path, others: Sequence[str], probes: int, width: str | None) -> str:
    """Why merged weights are not handed out, and what to do."""
    said = f"{place}: probe '{others[0]}' is answered differently ({len(others)} of {probes}) once merged"
    if width is None:
        return f"{said}; these weights are not those that were measured"
    return (
        f"{said} and made {width}, which nobody measured; study it as an arm ({place.name.partition('@')[0]}@{width}) "
        f"and merge that, or allow it with --differ {len(others)}"
    )
