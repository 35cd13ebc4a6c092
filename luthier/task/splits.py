"""The split of each example, and checks of the splits.

An example is train, dev or test by its file, by splits.json, which lists its id, or by a split column.
"""

from __future__ import annotations

from pathlib import Path

from luthier.errors import DataError, TaskError
from luthier.files import inside, read_json, sha256_of
from luthier.records import Example
from luthier.settings import settings_from
from luthier.task.examples import Columns, read_examples, read_native
from luthier.task.opened import AS_FOUND, Format
from luthier.task.spec import SPLITS, HeldOut, Split, TaskSpec
from luthier.task.texts import Notes

SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test",
}  # fmt: skip

Parts = dict[Split, list[Example]]


def read_splits(folder: Path, spec: TaskSpec) -> tuple[Parts, list[Notes]]:
    """The examples of each split, from the files of task.toml, and what reading changed."""
    paths = {split: inside(folder, name) for split, name in spec.files().items()}
    if missing := [f"{path.name} ({split})" for split, path in paths.items() if not path.is_file()]:
        raise TaskError(f"{folder}: missing {', '.join(missing)}; put it there or name another file in task.toml")
    if spec.data is None:
        read = {split: read_native(path) for split, path in paths.items()}
        return {split: examples for split, (examples, _) in read.items()}, [notes for _, notes in read.values()]
    labelled = spec.classes is not None and spec.classes.field is None
    parts, notes = read_files(paths, spec.data.columns, spec.data.format or AS_FOUND, labelled=labelled)
    if spec.data.splits:
        parts = _split_off(parts, inside(folder, spec.data.splits))
    return parts, notes


def read_files(
    paths: dict[Split, Path], columns: Columns, written: Format = AS_FOUND, *, labelled: bool = False
) -> tuple[Parts, list[Notes]]:
    """The examples of each split from users' files; a split column counts in the train file only.

    labelled: references are labels, which may be numbers, true or false.

    Raises DataError for bad rows, and TaskError when a split comes from its own file and from the column.
    """
    parts: Parts = {split: [] for split in SPLITS}
    pool, notes = read_examples(paths["train"], columns, "train", written, labelled=labelled)
    for example in pool:
        parts[_split_in_column(example, columns.split, paths["train"]) if columns.split else "train"].append(example)
    every_note = [notes]
    for split in ("dev", "test"):
        if split in paths:
            if parts[split]:
                raise TaskError(f"{paths[split]}: the column '{columns.split}' names {split} rows too; keep one")
            without = columns.model_copy(update={"split": None})
            parts[split], notes = read_examples(paths[split], without, split, written, labelled=labelled)
            every_note.append(notes)
    return parts, every_note


def _split_in_column(example: Example, column: str, path: Path) -> Split:
    """The split that the split column names."""
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


def changed_train_file(folder: Path, spec: TaskSpec) -> str | None:
    """The train file's SHA-256 if it differs from the one in splits.json; else None."""
    if spec.data is None or not spec.data.splits:
        return None
    drawn_from = _held_out(inside(folder, spec.data.splits)).train_sha256
    current = sha256_of(inside(folder, spec.data.train)) if drawn_from else None
    return current if current != drawn_from else None


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
    """Raises TaskError unless every split has rows and every id is unique in the task."""
    seen: dict[str, Split] = {}
    for split, examples in parts.items():
        if not examples:
            raise TaskError(f"{where}: the {split} split has no rows; give a file, a column or a splits.json for it")
        for example in examples:
            if (other := seen.setdefault(example.id, split)) != split:
                problem = f"the id '{example.id}' is in {other} and in {split}"
                raise TaskError(f"{where}: {problem}; make ids unique, or name no id column and rows are numbered")
