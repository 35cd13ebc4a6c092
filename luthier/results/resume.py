"""Continuing a study: whose folder it is, whether it is the same study, and which look at its test set it takes.

    locked_study, stored_in -> refuse_other_specification -> look_ahead -> begin -> (each arm) open_test -> done

study.json says what a folder holds. A study continues only under the specification that it began with, and finished
work is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from luthier.errors import FolderError
from luthier.files import locked, refuse_links_in, sweep_all
from luthier.results.comparison import Comparison
from luthier.results.folder import StudyFolder
from luthier.results.looks import count_look, next_look
from luthier.results.multitask_record import MultitaskRecord
from luthier.results.study_record import StudyRecord

Plan = TypeVar("Plan", StudyRecord, MultitaskRecord)


def locked_study(folder: StudyFolder, kind: type[Plan]) -> AbstractContextManager[None]:
    """A lock: one process at a time works on a study. It refuses a foreign folder before it writes anything."""
    if folder.path.exists():
        stored_in(folder, kind)
        refuse_links_in(folder.path)
    return locked(folder.path)


def stored_in(folder: StudyFolder, kind: type[Plan]) -> Plan | None:
    """The record of the study in the folder; None for a new folder.

    Raises FolderError when the folder holds other files.
    """
    if kind.is_in(folder.path):
        return kind.read(folder.path)
    # Hidden names are the lock, and parts of files that a kill left behind.
    others = [p for p in folder.path.iterdir() if p.name[0] != "."] if folder.path.is_dir() else []
    if others or folder.path.is_file():
        raise FolderError(f"{folder.path}: is not empty and holds no study of ours; name a new folder with --out")
    return None


def refuse_other_specification(
    folder: StudyFolder, stored: StudyRecord | MultitaskRecord, asked: Mapping[str, Any]
) -> None:
    """Raises FolderError when `asked` differs from the stored specification. Arms may differ, since they may join."""
    for key, value in asked.items():
        if key != "arms" and stored.specification.get(key) != value:
            raise FolderError(
                f"{folder.path}: holds a study with {key} = {stored.specification.get(key)!r}, not {value!r}; "
                "name another folder with --out"
            )


def begin(folder: StudyFolder, record: Plan, stored: Plan | None) -> None:
    """Writes the record first, so that the folder stays recognizable after a kill.

    A finished study stays finished when nothing more is asked of it.
    """
    sweep_all(folder.path)  # what a kill left; the lock is ours, so nobody writes it now
    if stored is None or not (stored.is_done and stored.asks_the_same_as(record)):
        record.write(folder.path)
    folder.log("start" if stored is None else "resume", arms=list(record.arms))


def open_test(folder: StudyFolder, test_sha256: str) -> int:
    """Counts a look of this study, as study.json now describes it, at the test split; returns the number of the look.

    The same study is the same look: after a kill, when it is run again, or in another folder. One more arm makes it
    another look. A folder keeps the number in its compare.json, whatever the cache says.
    """
    study = StudyRecord.read(folder.path)
    return _look_taken(folder, study.arms) or count_look(test_sha256, study.shape_sha256)


def look_ahead(folder: StudyFolder, test_sha256: str, arms: Iterable[str]) -> int:
    """The number of the look that a study of these arms takes, or would take; counts nothing."""
    names = set(arms)
    if taken := _look_taken(folder, names):
        return taken
    study = StudyRecord.read_if_there(folder.path)
    return next_look(test_sha256, study.shape_sha256 if study and set(study.arms) == names else None)


def _look_taken(folder: StudyFolder, arms: Iterable[str]) -> int | None:
    compared = Comparison.read_if_there(folder.path)
    return compared.look if compared and set(compared.arms) == set(arms) else None
