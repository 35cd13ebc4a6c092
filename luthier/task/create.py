"""`luthier init`: a new task folder from the user's own files.

    the user's files --init_task--> folder with task.toml, the files, splits.json

Splits that were not given are drawn by seed over units, so that equal inputs stay in one split.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from luthier.defaults import DEV_SHARE, TEST_SHARE
from luthier.errors import DataError, FolderError, SettingsError, TaskError
from luthier.files import possible, sha256_of, sha256_of_text, write_json, write_text
from luthier.metrics import DECIDING, DECIDING_LABELS, usual_margin
from luthier.settings import settings_from, toml_of
from luthier.task.examples import Columns
from luthier.task.external import HUB, hub_files
from luthier.task.labels import words_of_labels
from luthier.task.spec import CLASS_TEMPLATES, TEMPLATES, HeldOut, Split, TaskSpec
from luthier.task.splits import SPLIT_NAMES, Parts, moved, read_files, refuse_unsound
from luthier.task.task import Task, load_task

MOST_ROWS: dict[Split, int] = {"dev": 500, "test": 1000}  # more rows cost time and gain little precision
HEADER = "# A task: what is asked, on which examples, and how it is decided. Edit it before the first study, not after."


def init_task(
    folder: str | Path,
    source: str | Path,
    *,
    input: str,
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
) -> Task:
    """A new task folder from the user's files, which are copied unchanged. Missing splits are drawn by `seed`.

    `target` is the column of reference texts; for a classification give `labels`, the column of labels, instead.
    `source` may be hub:owner/name, a data set of the Hugging Face hub, whose splits are then given.
    Shares are of the distinct units of `source`, up to MOST_ROWS rows. The margin is by default .01 where test has 500
    units or more, else .02; of a classification .02 and .05. The metric is rouge1, or accuracy. A failure leaves
    nothing behind.

    Raises DataError for bad rows, SettingsError for a bad option, TaskError when splits contradict each other or there
    are too few rows to draw from, FolderError for a folder in use.
    """
    folder = possible(folder).resolve()
    _refuse_used(folder)
    if (target is None) == (labels is None):
        raise SettingsError("init: give one of target, a column of texts, and labels, a column of labels")
    wanted = {
        "input": input,
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
        parts, _ = read_files(paths, columns)
        shares: dict[Split, float] = {"test": test_share, "dev": dev_share}
        held = _draw(parts, {split: share for split, share in shares.items() if not parts[split]}, seed)
        parts = moved(parts, held)
        refuse_unsound(paths["train"], parts)
        names = _names(paths)
        words = words_of_labels(parts, paths["train"], labels) if labels else None
        test_units = len({example.unit for example in parts["test"]})
        keys = {
            "name": name or folder.name,
            "description": f"From {input} to {target or labels}.",
            "data": {**names, "splits": "splits.json" if held else None, "columns": columns},
            "prompt": {"templates": _templates(instruction, labelled=bool(labels)), "shot_seed": seed},
            "classes": {"words": words} if words else None,
            "decide": {
                "metric": metric or (DECIDING_LABELS if labels else DECIDING),
                "margin": usual_margin(test_units, bool(labels)) if margin is None else margin,
            },
        }
        spec = settings_from(TaskSpec, keys, "init")
        copies = {names[split]: path for split, path in paths.items()}
        held_out = HeldOut(seed=seed, **held, train_sha256=sha256_of(paths["train"])) if held else None
        return _write(folder, spec, copies, held_out)


@contextlib.contextmanager
def _source_files(source: str | Path) -> Iterator[dict[Split, Path]]:
    """The files of `source`: itself, or the splits of a data set of the hub, which are removed when the block ends."""
    if not str(source).startswith(HUB):
        yield {"train": Path(source)}
        return
    with tempfile.TemporaryDirectory() as download:
        files = hub_files(str(source).removeprefix(HUB), Path(download))
        named = {SPLIT_NAMES[split]: path for split, path in files.items() if split in SPLIT_NAMES}
        if "train" not in named:
            raise TaskError(f"{source}: the data set has no split 'train'; it has {', '.join(files)}")
        yield named


def _refuse_used(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FolderError(f"{folder}: there is something already; choose a new folder, or remove this one first")


def _draw(parts: Parts, shares: dict[Split, float], seed: int) -> dict[Split, list[str]]:
    """Ids of train rows to hold out for each split in `shares`, drawn over units; no unit of a given split."""
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


def _templates(instruction: str | None, labelled: bool) -> dict[str, str]:
    usual = CLASS_TEMPLATES if labelled else TEMPLATES
    if instruction is None:
        return usual
    if not instruction.strip():
        raise SettingsError("init: the instruction is empty; write one, or leave it out for the usual ones")
    return {**usual, "plain": instruction if "{input}" in instruction else instruction + "\n\n{input}"}


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
        task = load_task(part)
        os.replace(part, folder)
    except OSError as error:
        raise FolderError(f"{folder}: cannot be written ({error.strerror}); make room or choose another") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(task, folder=folder)
