"""A task: a folder whose task.toml says what is asked, on which examples, and how it is decided.

    the user's files --init_task--> folder with task.toml, the files, splits.json --load_task--> Task

An example is train, dev or test because it stands in a file of that split, because splits.json lists its id, or because
a split column says so. Splits that nobody gave are drawn by seed over units, so that equal inputs never straddle two.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.data import Columns, Notes, read_examples, read_native
from luthier.errors import DataError, FolderError, SettingsError, TaskError
from luthier.files import inside, read_json, sha256_of, sha256_of_text, write_json, write_text
from luthier.records import Example
from luthier.settings import read_settings, settings_from, toml_of
from luthier.tables import HUB, hub_files
from luthier.taskspec import BARE, SPLITS, TEMPLATES, HeldOut, Split, TaskSpec

SHIPPED = Path(__file__).parent / "tasks"
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test",
}  # fmt: skip
MOST_ROWS: dict[Split, int] = {"dev": 500, "test": 1000}  # beyond these, more rows cost time and tell little
HEADER = "# A task: what is asked, on which examples, and how it is decided. Edit it before the first study, not after."
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
        return templates[name]

    def split(self, name: str) -> tuple[Example, ...]:
        """The examples of train, dev or test. Raises TaskError for another name."""
        if name not in SPLITS:
            raise TaskError(f"{self.folder}: no split '{name}'; name one of {', '.join(SPLITS)}")
        examples: tuple[Example, ...] = getattr(self, name)
        return examples

    def hashes(self) -> dict[Split, str]:
        """SHA-256 of each split over id, input and references; the order of the rows does not matter."""
        return {split: _hash(self.split(split)) for split in SPLITS}


def _hash(examples: tuple[Example, ...]) -> str:
    ordered = sorted(examples, key=lambda example: example.id)
    return sha256_of_text(*(json.dumps([e.id, e.input, list(e.references)]) for e in ordered))


# --- folder -> Task -----------------------------------------------------------------------------------------------


def load_task(folder_or_name: str | Path) -> Task:
    """The task in a folder, or the one of that name that ships with us.

    Raises TaskError when there is neither, task.toml is wrong, a split is missing or two share an id; DataError for bad
    rows; FolderError when task.toml names a file outside its folder.
    """
    folder = _find(folder_or_name)
    spec = read_settings(TaskSpec, folder / "task.toml", TaskError)
    parts, notes = _read_splits(folder, spec)
    _refuse_unsound(folder, parts)
    train, dev, test = (tuple(parts[split]) for split in SPLITS)
    return Task(spec.name, folder, spec, train, dev, test, tuple(notes), _changed_train_file(folder, spec))


def _find(folder_or_name: str | Path) -> Path:
    shipped = sorted(path.parent.name for path in SHIPPED.glob("*/task.toml"))
    folder = Path(folder_or_name)
    if (folder / "task.toml").is_file():
        return folder
    if str(folder_or_name) in shipped:
        return SHIPPED / str(folder_or_name)
    problem = "the folder has no task.toml" if folder.is_dir() else "there is no such task"
    names = f" or one of the tasks that ship with luthier: {', '.join(shipped)}" if shipped else ""
    raise TaskError(f"{folder_or_name}: {problem}; name a folder made by `luthier init`{names}")


def _read_splits(folder: Path, spec: TaskSpec) -> tuple[Parts, list[Notes]]:
    """The examples of each split, from the files of task.toml, and what reading changed."""
    paths = {split: inside(folder, name) for split, name in spec.files().items()}
    if missing := [f"{path.name} ({split})" for split, path in paths.items() if not path.is_file()]:
        raise TaskError(f"{folder}: missing {', '.join(missing)}; put it there or name another file in task.toml")
    if spec.data is None:
        read = {split: read_native(path) for split, path in paths.items()}
        return {split: examples for split, (examples, _) in read.items()}, [notes for _, notes in read.values()]
    parts, notes = _read_files(paths, spec.data.columns)
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


def _read_files(paths: dict[Split, Path], columns: Columns) -> tuple[Parts, list[Notes]]:
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
    return _moved(parts, ids)


def _held_out(path: Path) -> HeldOut:
    return settings_from(HeldOut, read_json(path), path, TaskError)


def _moved(parts: Parts, ids: dict[Split, list[str]]) -> Parts:
    """`parts` with the train rows of these ids moved to the end of their splits."""
    target = {id: split for split, listed in ids.items() for id in listed}
    after: Parts = {**{split: list(examples) for split, examples in parts.items()}, "train": []}
    for example in parts["train"]:
        after[target.get(example.id, "train")].append(example)
    return after


def _refuse_unsound(where: Path, parts: Parts) -> None:
    """Every split has rows, and an id names one example in the whole task."""
    seen: dict[str, Split] = {}
    for split, examples in parts.items():
        if not examples:
            raise TaskError(f"{where}: the {split} split has no rows; give a file, a column or a splits.json for it")
        for example in examples:
            if (other := seen.setdefault(example.id, split)) != split:
                problem = f"the id '{example.id}' is in {other} and in {split}"
                raise TaskError(f"{where}: {problem}; make ids unique, or name no id column and rows are numbered")


# --- the user's files -> folder -----------------------------------------------------------------------------------


def init_task(
    folder: str | Path,
    source: str | Path,
    *,
    input: str,
    target: str,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    split_column: str | None = None,
    cluster: str | None = None,
    id: str | None = None,
    meta: list[str] | None = None,
    instruction: str | None = None,
    name: str | None = None,
    seed: int = 0,
    dev_share: float = 0.1,
    test_share: float = 0.2,
    metric: str = "rouge1",
    margin: float | None = None,
) -> Task:
    """A new task folder from the user's files, which are copied unchanged; splits that nobody gave are drawn by `seed`.

    `source` may be hub:owner/name, a data set of the Hugging Face hub, whose splits are then given.
    Shares are of the distinct units of `source`, up to MOST_ROWS rows. The margin is by default .01 where test has 500
    units or more, else .02. A failure leaves nothing behind. Raises DataError for bad rows, SettingsError for a bad
    option, TaskError when splits contradict or there is too little to draw from, FolderError for a folder in use.
    """
    folder = Path(folder).resolve()
    _refuse_used(folder)
    wanted = {"input": input, "target": target, "id": id, "cluster": cluster, "split": split_column, "meta": meta or []}
    columns = settings_from(Columns, wanted, "init")
    given: dict[Split, str | Path | None] = {"dev": dev, "test": test}
    with _source_files(source) as files:
        paths = files | {split: Path(path) for split, path in given.items() if path is not None}
        parts, _ = _read_files(paths, columns)
        shares: dict[Split, float] = {"test": test_share, "dev": dev_share}
        held = _draw(parts, {split: share for split, share in shares.items() if not parts[split]}, seed)
        parts = _moved(parts, held)
        _refuse_unsound(paths["train"], parts)
        names = _names(paths)
        says = {
            "name": name or folder.name,
            "description": f"From {input} to {target}.",
            "data": {**names, "splits": "splits.json" if held else None, "columns": columns},
            "prompt": {"templates": _templates(instruction), "shot_seed": seed},
            "decide": {"metric": metric, "margin": _margin(parts["test"]) if margin is None else margin},
        }
        spec = settings_from(TaskSpec, says, "init")
        copies = {names[split]: path for split, path in paths.items()}
        held_out = HeldOut(seed=seed, **held, train_sha256=sha256_of(paths["train"])) if held else None
        return _write(folder, spec, copies, held_out)


@contextlib.contextmanager
def _source_files(source: str | Path) -> Iterator[dict[Split, Path]]:
    """The files that `source` stands for: itself, or the splits of a data set of the hub, which go when this ends."""
    if not str(source).startswith(HUB):
        yield {"train": Path(source)}
        return
    with tempfile.TemporaryDirectory() as place:
        files = hub_files(str(source).removeprefix(HUB), Path(place))
        named = {SPLIT_NAMES[split]: path for split, path in files.items() if split in SPLIT_NAMES}
        if "train" not in named:
            raise TaskError(f"{source}: the data set has no split 'train'; it has {', '.join(files)}")
        yield named


def _refuse_used(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FolderError(f"{folder}: there is something already; choose a new folder, or remove this one first")


def _draw(parts: Parts, shares: dict[Split, float], seed: int) -> dict[Split, list[str]]:
    """Ids of train rows to hold out for each split in `shares`, drawn over units; none of a given split's units."""
    if any(not 0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise SettingsError(f"init: shares of {shares} leave no room; give shares above 0 that sum to less than 1")
    elsewhere = {example.unit for split in ("dev", "test") for example in parts[split]}
    sizes = Counter(example.unit for example in parts["train"] if example.unit not in elsewhere)
    if shares and len(sizes) <= len(shares):
        problem = f"{len(sizes)} distinct inputs are too few to draw {' and '.join(shares)} from"
        raise TaskError(f"init: {problem}; add rows or give a file for each split")
    # Ordered by hash: the draw depends on seed and units only, not on the order of rows or on a random generator.
    left = sorted(sizes, key=lambda unit: sha256_of_text(str(seed), unit))
    held: dict[Split, list[str]] = {}
    for done, (split, share) in enumerate(shares.items(), 1):
        # At least one unit here, and one left for each split that is still to come and for train.
        room = len(left) - 1 - (len(shares) - done)
        units = _take(left, sizes, min(max(1, round(share * len(sizes))), room), MOST_ROWS[split])
        left = [unit for unit in left if unit not in units]
        held[split] = [example.id for example in parts["train"] if example.unit in units]
    return held


def _take(units: list[str], sizes: Counter[str], wanted: int, most_rows: int) -> set[str]:
    """The first `wanted` units that fit into `most_rows` rows together."""
    taken: set[str] = set()
    rows = 0
    for unit in units:
        if len(taken) < wanted and rows + sizes[unit] <= most_rows:
            taken.add(unit)
            rows += sizes[unit]
    if not taken:
        raise TaskError(f"init: every group of rows has more than {most_rows} rows; group finer or give a file a split")
    return taken


def _margin(test: list[Example]) -> float:
    """A margin that the test split can resolve: with few units, .01 would end in no verdict at all."""
    return 0.01 if len({example.unit for example in test}) >= 500 else 0.02


def _templates(instruction: str | None) -> dict[str, str]:
    if instruction is None:
        return TEMPLATES
    if not instruction.strip():
        raise SettingsError("init: the instruction is empty; write one, or leave it out for the usual ones")
    return {**TEMPLATES, "plain": instruction if "{input}" in instruction else instruction + "\n\n{input}"}


def _names(paths: dict[Split, Path]) -> dict[str, str]:
    """What each file is called in the folder: its own name, with the split in front where two are called the same."""
    names: dict[str, str] = {}
    for split, path in paths.items():
        if not path.name.isprintable():
            raise DataError("the name holds signs that TOML cannot; rename the file", file=repr(str(path)))
        names[split] = path.name if path.name not in names.values() else f"{split}-{path.name}"
    return names


def _write(folder: Path, spec: TaskSpec, copies: dict[str, Path], held: HeldOut | None) -> Task:
    """The folder, built beside its place, read back as a task, and moved there in one step."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        for name, path in copies.items():
            shutil.copyfile(path, part / name)
        if held:
            write_json(part / "splits.json", held.model_dump())
        write_text(part / "task.toml", f"{HEADER}\n\n{toml_of(spec)}")
        task = load_task(part)
        os.replace(part, folder)
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written ({error.strerror}); make room or choose another") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(task, folder=folder)
