"""`luthier init`: a new task folder from the user's own files.

    the user's files --init_task--> folder with task.toml, the files, splits.json

Splits that were not given are drawn by seed over units, so that equal inputs stay in one split.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from luthier.defaults import DEV_SHARE, TEST_SHARE
from luthier.errors import DataError, FolderError, LuthierError, SettingsError, TaskError
from luthier.files import possible, sha256_of, write_json, write_text
from luthier.metrics import DECIDING, DECIDING_LABELS, usual_margin
from luthier.scoring.words import ENGLISH
from luthier.settings import settings_from, toml_of
from luthier.task.draw import drawn
from luthier.task.examples import Columns, chats_as
from luthier.task.external import HUB, hub_files
from luthier.task.labels import words_of_labels
from luthier.task.opened import AS_FOUND, Format
from luthier.task.parts import INPUT, composed, placeholders
from luthier.task.reading import reading_of
from luthier.task.spec import CLASS_TEMPLATES, TEMPLATES, HeldOut, Split, TaskSpec
from luthier.task.splits import SPLIT_NAMES, moved, read_files, refuse_unsound
from luthier.task.task import Task, load_task
from luthier.task.texts import Notes

HEADER = "# A task: what is asked, on which examples, and how it is decided. Edit it before the first study, not after."


def init_task(
    folder: str | Path,
    source: str | Path,
    *,
    input: str | Sequence[str],
    target: str | None = None,
    labels: str | None = None,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    split_column: str | None = None,
    cluster: str | None = None,
    id: str | None = None,
    meta: list[str] | None = None,
    instruction: str | None = None,
    name: str | None = None,
    seed: int = 0,
    dev_share: float = DEV_SHARE,
    test_share: float = TEST_SHARE,
    metric: str | None = None,
    margin: float | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    quote: str | None = None,
) -> Task:
    """A new task folder from the user's files, which are copied unchanged. Missing splits are drawn by `seed`.

    `input` is a column, or several, which templates then name ({context} {question}). `target` is the column of
    reference texts; for a classification give `labels`, the column of labels, instead. With neither, `input` holds
    chats, and the last reply of each is the reference.
    `encoding`, `delimiter` and `quote` (a sign, or none) say how the files are written; by default it is found.
    `source` may be hub:owner/name, a data set of the Hugging Face hub, whose splits are then given.
    Shares are of the distinct units of `source`, up to draw.MOST_ROWS rows. The margin is by default .01 where test has
    500 units or more, else .02; of a classification .02 and .05. The metric is rouge1, or accuracy. A failure leaves
    nothing behind.

    Raises DataError for bad rows, SettingsError for a bad option, TaskError when splits contradict each other or there
    are too few rows to draw from, FolderError for a folder in use.
    """
    folder = possible(folder).resolve()
    _refuse_used(folder)
    if target is not None and labels is not None:
        raise SettingsError("init: give one of target, a column of texts, and labels, a column of labels")
    written = settings_from(Format, {"encoding": encoding, "delimiter": delimiter, "quote": quote}, "init")
    wanted = {
        "input": _one_or_several(input),
        "target": target or labels,
        "id": id,
        "cluster": cluster,
        "split": split_column,
        "meta": meta or [],
    }
    columns = settings_from(Columns, wanted, "init")
    given: dict[Split, str | Path | None] = {"dev": dev, "test": test}
    with _source_files(source) as files:
        paths = files | {split: Path(path) for split, path in given.items() if path is not None}
        columns = columns.model_copy(update={"chat": chats_as(paths["train"], columns, written)})
        parts, notes = read_files(paths, columns, written, labelled=bool(labels))
        words = words_of_labels(parts, paths["train"], labels) if labels else None  # before rows are drawn by label
        shares: dict[Split, float] = {"test": test_share, "dev": dev_share}
        missing = {split: share for split, share in shares.items() if not parts[split]}
        held = drawn(parts, missing, seed, paths["train"], labelled=bool(labels))
        parts = moved(parts, held)
        refuse_unsound(paths["train"], parts)
        names = _names(paths)
        read = ENGLISH if labels else reading_of(parts)
        test_units = len({example.unit for example in parts["test"]})
        keys = {
            "name": name or folder.name,
            "description": f"From {', '.join(columns.inputs)} to {columns.target or 'the last reply'}.",
            "data": {
                **names,
                "splits": "splits.json" if held else None,
                "columns": columns,
                "format": _format(written, notes),
            },
            "prompt": {"templates": _templates(instruction, columns, labelled=bool(labels)), "shot_seed": seed},
            "classes": {"words": words} if words else None,
            "decide": {
                "metric": metric or (DECIDING_LABELS if labels else DECIDING),
                "margin": usual_margin(test_units, bool(labels)) if margin is None else margin,
                "words": read.words,
                "bleu": read.bleu,
            },
        }
        spec = settings_from(TaskSpec, keys, "init")
        copies = {names[split]: path for split, path in paths.items()}
        held_out = HeldOut(seed=seed, **held, train_sha256=sha256_of(paths["train"])) if held else None
        return replace(_write(folder, spec, copies, held_out), notes=tuple(notes))


def _one_or_several(columns: str | Sequence[str]) -> str | Sequence[str]:
    """One column as its name, several as a list; what is neither is left to the check of the settings."""
    if not isinstance(columns, list | tuple):
        return columns
    return columns[0] if len(columns) == 1 else list(columns)


@contextlib.contextmanager
def _source_files(source: str | Path) -> Iterator[dict[Split, Path]]:
    """The files of `source`: itself, or the splits of a data set of the hub, which are removed when the block ends."""
    if not str(source).startswith(HUB):
        yield {"train": Path(source)}
        return
    with tempfile.TemporaryDirectory() as download, _named({Path(download): str(source)}):
        files = hub_files(str(source).removeprefix(HUB), Path(download))
        named = {SPLIT_NAMES[split]: path for split, path in files.items() if split in SPLIT_NAMES}
        if "train" not in named:
            raise TaskError(f"{source}: the data set has no split 'train'; it has {', '.join(files)}")
        yield named


@contextlib.contextmanager
def _named(places: dict[Path, str]) -> Iterator[None]:
    """Errors name the user's file, and not the place where luthier holds it for a moment."""
    try:
        yield
    except LuthierError as error:
        said = str(error)
        for place, name in places.items():
            said = said.replace(str(place), name)
        if said == str(error):
            raise
        raise type(error)(said) from None


def _format(given: Format, notes: Sequence[Notes]) -> Format | None:
    """How the files are written, for task.toml: as the user said, or as all of them were found to be."""
    found = {note.written for note in notes}
    as_found = next(iter(found)) if len(found) == 1 else AS_FOUND
    format = as_found.model_copy(update=given.model_dump(exclude_none=True))
    return None if format == AS_FOUND else format


def _refuse_used(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FolderError(f"{folder}: there is something already; choose a new folder, or remove this one first")


def _templates(instruction: str | None, columns: Columns, labelled: bool) -> dict[str, str]:
    """The templates of a new task. A chat, or columns of which one says what is asked, need no words of ours."""
    several = len(columns.inputs) > 1
    whole = composed(columns.inputs) if several else f"{{{INPUT}}}"
    usual = CLASS_TEMPLATES if labelled else {"plain": "{input}"} if several or columns.target is None else TEMPLATES
    templates = {name: text.replace("{input}", whole) for name, text in usual.items()}
    if instruction is None:
        return templates
    if not instruction.strip():
        raise SettingsError("init: the instruction is empty; write one, or leave it out for the usual ones")
    has_place = placeholders(instruction, [*columns.inputs, INPUT])
    return {**templates, "plain": instruction if has_place else f"{instruction}\n\n{whole}"}


def _names(paths: dict[Split, Path]) -> dict[str, str]:
    """The name of each file in the folder: its own, with the split in front where two have the same name."""
    names: dict[str, str] = {}
    for split, path in paths.items():
        if not path.name.isprintable():
            raise DataError("the name holds signs that TOML cannot; rename the file", file=repr(str(path)))
        names[split] = path.name if path.name not in names.values() else f"{split}-{path.name}"
    return names


def _write(folder: Path, spec: TaskSpec, copies: dict[str, Path], held: HeldOut | None) -> Task:
    """Builds the folder under a hidden name, reads it back as a task, and renames it in one step."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        for name, path in copies.items():
            shutil.copyfile(path, part / name)
        if held:
            write_json(part / "splits.json", held.model_dump())
        write_text(part / "task.toml", f"{HEADER}\n\n{toml_of(spec)}")
        with _named({**{part / name: str(path) for name, path in copies.items()}, part: str(folder)}):
            task = load_task(part)
        os.replace(part, folder)
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written ({error.strerror}); make room or choose another") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(task, folder=folder)
