"""A task: a folder whose task.toml says what is asked, on which examples, and how it is decided.

    folder with task.toml, rows, splits.json --load_task--> Task

A folder may hold more than one question about its rows: FOLDER:NAME reads NAME.toml in the place of task.toml.

An example is train, dev or test because it stands in a file of that split, because splits.json lists its id, or because
a split column says so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.classes import classified
from luthier.data import Columns, Notes, read_examples, read_native
from luthier.errors import DataError, TaskError
from luthier.files import inside, read_json, sha256_of, sha256_of_text
from luthier.records import Example
from luthier.settings import read_settings, settings_from
from luthier.taskspec import BARE, SPLITS, HeldOut, Split, TaskSpec

TASK_FILE = "task.toml"
SHIPPED = Path(__file__).parent / "tasks"
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test",
}  # fmt: skip
Parts = dict[Split, list[Example]]


@dataclass(frozen=True)
class Task:
    """A task that was read whole: its specification and the examples of its three splits."""

    name: str
    folder: Path
    spec: TaskSpec
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    notes: tuple[Notes, ...]  # what reading changed, file by file
    file: str = TASK_FILE  # which of the folder's specifications this is
    changed: str | None = None  # the train file's SHA-256, where it is not the one that splits.json was drawn from

    @property
    def files(self) -> dict[Split, Path]:
        """The file that holds each split; several splits may share one."""
        names = self.spec.files()
        return {split: self.folder / names.get(split, names["train"]) for split in SPLITS}

    def template(self, name: str | None = None) -> str:
        """The text of a template, by default the task's default one. Raises TaskError for a name it does not have."""
        templates = {**self.spec.prompt.templates, BARE: "{input}"}
        name = self.spec.prompt.default if name is None else name
        if name not in templates:
            raise TaskError(f"{self.folder}: no template '{name}'; name one of {', '.join(templates)}")
        return templates[name].replace("{labels}", ", ".join(self.labels)) if self.labels else templates[name]

    @property
    def labels(self) -> tuple[str, ...]:
        """The words that stand for the labels, in the order of task.toml; none where answers are texts."""
        return tuple(self.spec.classes.words.values()) if self.spec.classes else ()

    @property
    def source(self) -> str:
        """What `load_task` finds this task by: its folder, and the name of its file where that is not task.toml."""
        return f"{self.folder}:{self.file.removesuffix('.toml')}" if self.file != TASK_FILE else str(self.folder)

    def split(self, name: str) -> tuple[Example, ...]:
        """The examples of train, dev or test. Raises TaskError for another name."""
        if name not in SPLITS:
            raise TaskError(f"{self.folder}: no split '{name}'; name one of {', '.join(SPLITS)}")
        examples: tuple[Example, ...] = getattr(self, name)
        return examples

    def hashes(self) -> dict[Split, str]:
        """SHA-256 of each split over id, input and references; the order of the rows does not matter."""
        return {split: _hash(self.split(split)) for split in SPLITS}

    def summary(self) -> dict[str, Any]:
        """Plain values: name, folder, rows and units of each split, what decides, and what reading changed."""
        splits = {}
        for name, path in self.files.items():
            examples = self.split(name)
            splits[name] = {"rows": len(examples), "units": len({e.unit for e in examples}), "file": path.name}
        decide, notes = self.spec.decide, [sentence for note in self.notes for sentence in note.sentences()]
        about = {"task": self.name, "folder": str(self.folder), "splits": splits, "labels": list(self.labels)}
        return about | {"metric": decide.metric, "margin": decide.margin, "notes": notes}


def _hash(examples: tuple[Example, ...]) -> str:
    ordered = sorted(examples, key=lambda example: example.id)
    return sha256_of_text(*(json.dumps([e.id, e.input, list(e.references)]) for e in ordered))


# --- folder -> Task -----------------------------------------------------------------------------------------------


def load_task(folder_or_name: str | Path) -> Task:
    """The task in a folder, or the one of that name that ships with us.

    Raises TaskError when there is neither, task.toml is wrong, a split is missing or two share an id; DataError for bad
    rows; FolderError when task.toml names a file outside its folder.
    """
    file = find_task(folder_or_name)
    folder, spec = file.parent, read_settings(TaskSpec, file, TaskError)
    parts, notes = _read_splits(folder, spec)
    refuse_unsound(folder, parts)
    files = spec.files()
    parts = classified(spec, parts, {split: folder / files.get(split, files["train"]) for split in SPLITS})
    train, dev, test = (tuple(parts[split]) for split in SPLITS)
    return Task(spec.name, folder, spec, train, dev, test, tuple(notes), file.name, _changed_train_file(folder, spec))


def find_task(folder_or_name: str | Path) -> Path:
    """The specification that a folder, FOLDER:NAME, or the name of a shipped task stands for.

    Raises TaskError, with the names there are, when there is none.
    """
    before, _, question = str(folder_or_name).rpartition(":")
    asked = [(str(folder_or_name), TASK_FILE)]
    if before and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", question):  # a name, so that it stays in the folder
        asked.append((before, f"{question}.toml"))
    for folder, file in asked:
        for place in (Path(folder), *([SHIPPED / folder] if folder in _shipped() else [])):
            if (place / file).is_file():
                return place / file
    problem = "the folder has no task.toml" if Path(folder_or_name).is_dir() else "there is no such task"
    raise TaskError(f"{folder_or_name}: {problem}; name a folder made by `luthier init`{_shipped_names()}")


def _shipped() -> list[str]:
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{TASK_FILE}"))


def _shipped_names() -> str:
    """The tasks that ship, with the further questions about their rows."""
    names = [
        folder + (f":{file.stem}" if file.name != TASK_FILE else "")
        for folder in _shipped()
        for file in sorted((SHIPPED / folder).glob("*.toml"), key=lambda file: (file.name != TASK_FILE, file.name))
    ]
    return f" or one of the tasks that ship with luthier: {', '.join(names)}" if names else ""


def _read_splits(folder: Path, spec: TaskSpec) -> tuple[Parts, list[Notes]]:
    """The examples of each split, from the files of task.toml, and what reading changed."""
    paths = {split: inside(folder, name) for split, name in spec.files().items()}
    if missing := [f"{path.name} ({split})" for split, path in paths.items() if not path.is_file()]:
        raise TaskError(f"{folder}: missing {', '.join(missing)}; put it there or name another file in task.toml")
    if spec.data is None:
        read = {split: read_native(path) for split, path in paths.items()}
        return {split: examples for split, (examples, _) in read.items()}, [notes for _, notes in read.values()]
    parts, notes = read_files(paths, spec.data.columns)
    if spec.data.splits:
        parts = _split_off(parts, inside(folder, spec.data.splits))
    return parts, notes


def _changed_train_file(folder: Path, spec: TaskSpec) -> str | None:
    """The train file's SHA-256 where splits.json says that it was drawn from another one."""
    if spec.data is None or not spec.data.splits:
        return None
    drawn_from = _held_out(inside(folder, spec.data.splits)).train_sha256
    found = sha256_of(inside(folder, spec.data.train)) if drawn_from else None
    return found if found != drawn_from else None


def read_files(paths: dict[Split, Path], columns: Columns) -> tuple[Parts, list[Notes]]:
    """The examples of each split from users' files; a split column is asked in the train file only.

    Raises DataError for bad rows, and TaskError when a split comes from its own file and from the column.
    """
    parts: Parts = {split: [] for split in SPLITS}
    pool, notes = read_examples(paths["train"], columns, "train")
    for example in pool:
        parts[_said(example, columns.split, paths["train"]) if columns.split else "train"].append(example)
    every_note = [notes]
    for split in ("dev", "test"):
        if split in paths:
            if parts[split]:
                raise TaskError(f"{paths[split]}: the column '{columns.split}' names {split} rows too; keep one")
            parts[split], notes = read_examples(paths[split], columns.model_copy(update={"split": None}), split)
            every_note.append(notes)
    return parts, every_note


def _said(example: Example, column: str, path: Path) -> Split:
    """The split that the split column says."""
    value = example.meta[column]
    split = SPLIT_NAMES.get(str(value).strip().lower())
    if split is None:
        problem = f"'{value}' is no split; write one of {', '.join(SPLIT_NAMES)}"
        raise DataError(problem, file=path, row=example.row, field=column)
    return split


def _split_off(parts: Parts, path: Path) -> Parts:
    """`parts` with the train rows that splits.json lists moved to dev and test."""
    held = _held_out(path)
    if both := set(held.dev) & set(held.test):
        raise TaskError(f"{path}: the id '{min(both)}' is in dev and in test; keep it in one")
    if unknown := {*held.dev, *held.test} - {example.id for example in parts["train"]}:
        raise TaskError(f"{path}: the id '{min(unknown)}' is not in the train file; the file has changed, init again")
    ids: dict[Split, list[str]] = {"dev": held.dev, "test": held.test}
    if twice := [split for split in ids if ids[split] and parts[split]]:
        raise TaskError(f"{path}: the {twice[0]} split also comes from its own file or a column; keep one of the two")
    return moved(parts, ids)


def _held_out(path: Path) -> HeldOut:
    return settings_from(HeldOut, read_json(path), path, TaskError)


def moved(parts: Parts, ids: dict[Split, list[str]]) -> Parts:
    """`parts` with the train rows of these ids moved to the end of their splits."""
    target = {id: split for split, listed in ids.items() for id in listed}
    after: Parts = {**{split: list(examples) for split, examples in parts.items()}, "train": []}
    for example in parts["train"]:
        after[target.get(example.id, "train")].append(example)
    return after


def refuse_unsound(where: Path, parts: Parts) -> None:
    """Every split has rows, and an id names one example in the whole task."""
    seen: dict[str, Split] = {}
    for split, examples in parts.items():
        if not examples:
            raise TaskError(f"{where}: the {split} split has no rows; give a file, a column or a splits.json for it")
        for example in examples:
            if (other := seen.setdefault(example.id, split)) != split:
                problem = f"the id '{example.id}' is in {other} and in {split}"
                raise TaskError(f"{where}: {problem}; make ids unique, or name no id column and rows are numbered")
