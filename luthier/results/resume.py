"""Going on with a study: whose folder it is, whether the same is asked of it, and which look at its test set it takes.

    locked_study, stored_in -> refuse_other_specification -> look_ahead -> begin -> (each arm) open_test -> done

What is done is not done again: study.json says what a folder holds, and a study goes on only as what it began as.
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
    """One process at a time works on a study; somebody else's folder is refused before anything is written to it."""
    if folder.path.exists():
        stored_in(folder, kind)
        refuse_links_in(folder.path)
    return locked(folder.path)


def stored_in(folder: StudyFolder, kind: type[Plan]) -> Plan | None:
    """What the folder says of the study that it holds, None when it is new.

    Raises FolderError when the folder is somebody else's.
    """
    if kind.is_in(folder.path):
        return kind.read(folder.path)
    # Hidden names are our own lock and what a kill left of a file in the making.
    others = [p for p in folder.path.iterdir() if p.name[0] != "."] if folder.path.is_dir() else []
    if others or folder.path.is_file():
        raise FolderError(f"{folder.path}: is not empty and holds no study of ours; name a new folder with --out")
    return None


def refuse_other_specification(
    folder: StudyFolder, stored: StudyRecord | MultitaskRecord, asked: Mapping[str, Any]
) -> None:
    """Raises FolderError where what is asked is another study than the stored one; arms may join, so they are not
    looked at.
    """
    for key, value in asked.items():
        if key != "arms" and stored.specification.get(key) != value:
            raise FolderError(
                f"{folder.path}: holds a study with {key} = {stored.specification.get(key)!r}, not {value!r}; "
                "name another folder with --out"
            )


def begin(folder: StudyFolder, record: Plan, stored: Plan | None) -> None:
    """Writes the record before anything else, so that the folder is known as ours whenever a kill comes.

    A study that was done, and of which nothing more is asked, still is.
    """
    sweep_all(folder.path)  # what a kill caught in the making; the lock is ours
    if stored is None or not (stored.is_done and stored.asks_the_same_as(record)):
        record.write(folder.path)
    folder.log("start" if stored is None else "resume", arms=list(record.arms))


def open_test(folder: StudyFolder, test_sha256: str) -> int:
    """Counts that this study, as study.json now describes it, looks at the test split; returns which look that is.

    The same study is the same look, whether it goes on after a kill, is asked for again, or runs in another folder;
    with one arm more it is another. A folder keeps the number that its compare.json has, whatever the cache says.
    """
    study = StudyRecord.read(folder.path)
    return _look_taken(folder, study.arms) or count_look(test_sha256, study.shape_sha256)


def look_ahead(folder: StudyFolder, test_sha256: str, arms: Iterable[str]) -> int:
    """Which look at the test split a study of these arms is, or would be; nothing is counted."""
    names = set(arms)
    if taken := _look_taken(folder, names):
        return taken
    study = StudyRecord.read_if_there(folder.path)
    return next_look(test_sha256, study.shape_sha256 if study and set(study.arms) == names else None)


def _look_taken(folder: StudyFolder, arms: Iterable[str]) -> int | None:
    compared = Comparison.read_if_there(folder.path)
    return compared.look if compared and set(compared.arms) == set(arms) else None
