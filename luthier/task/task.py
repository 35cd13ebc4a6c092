"""A task: a folder whose task.toml names the prompt, the examples, and the deciding metric.

    folder with task.toml, rows, splits.json --load_task--> Task

A folder may hold more than one question about its rows: FOLDER:NAME reads NAME.toml instead of task.toml.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import TaskError
from luthier.files import possible, sha256_of_text
from luthier.records import Example
from luthier.scoring.labels import LabelSet
from luthier.scoring.words import Reading
from luthier.settings import read_settings
from luthier.task.labels import classified
from luthier.task.parts import composed
from luthier.task.spec import BARE, SPLITS, Split, TaskSpec
from luthier.task.splits import changed_train_file, read_splits, refuse_unsound
from luthier.task.texts import Notes

TASK_FILE = "task.toml"
SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Task:
    """A task: its specification and the examples of its three splits."""

    name: str
    folder: Path
    spec: TaskSpec
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    notes: tuple[Notes, ...]  # what reading changed, file by file
    file: str = TASK_FILE  # which of the folder's specifications this is
    label_notes: tuple[str, ...] = ()  # sentences about labels that rows spell another way than task.toml
    changed: str | None = None  # the train file's SHA-256, if the file changed after splits.json was drawn

    @property
    def files(self) -> dict[Split, Path]:
        """The file that holds each split; several splits may share one."""
        names = self.spec.files()
        return {split: self.folder / names.get(split, names["train"]) for split in SPLITS}

    def template(self, name: str | None = None) -> str:
        """The text of a template, by default the task's default one. Raises TaskError for a name it does not have."""
        templates = {**self.spec.prompt.templates, BARE: composed(self.spec.inputs)}
        name = self.spec.prompt.default if name is None else name
        if name not in templates:
            raise TaskError(f"{self.folder}: no template '{name}'; name one of {', '.join(templates)}")
        text = self.spec.with_input(templates[name])
        return text.replace("{labels}", ", ".join(self.labels)) if self.labels else text

    @property
    def labels(self) -> tuple[str, ...]:
        """The words that stand for the labels, in the order of task.toml; none where answers are texts."""
        return tuple(self.spec.classes.words.values()) if self.spec.classes else ()

    @property
    def label_set(self) -> LabelSet | None:
        """The labels, and what makes a text one of them; None where answers are texts."""
        return LabelSet(self.labels, tuple(self.spec.classes.fold)) if self.spec.classes else None

    @property
    def reading(self) -> Reading:
        """What a word is, BLEU's tokenizer, and whether reasoning blocks are part of an answer."""
        decide = self.spec.decide
        return Reading(decide.words, decide.bleu, self.spec.answer.reasoning)

    @property
    def source(self) -> str:
        """The argument with which `load_task` loads this task: its folder, and its file if that is not task.toml."""
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
        notes += self.label_notes
        if self.reading.words != "ascii":
            notes.append(f"Words are read as {decide.words}, and BLEU's tokenizer is {decide.bleu}.")
        about = {"task": self.name, "folder": str(self.folder), "splits": splits, "labels": list(self.labels)}
        return about | {"metric": decide.metric, "margin": decide.margin, "notes": notes}


def _hash(examples: tuple[Example, ...]) -> str:
    ordered = sorted(examples, key=lambda example: example.id)
    return sha256_of_text(*(json.dumps([e.id, e.input, list(e.references), *_parts(e)]) for e in ordered))


def _parts(example: Example) -> list[Any]:
    return [part for part in (example.turns, example.fields) if part]


# --- folder -> Task -----------------------------------------------------------------------------------------------


def load_task(folder_or_name: str | Path) -> Task:
    """The task in a folder, or the shipped task of that name.

    Raises TaskError when there is neither, task.toml is wrong, a split is missing or two share an id; DataError for bad
    rows; FolderError when task.toml names a file outside its folder.
    """
    file = find_task(folder_or_name)
    folder, spec = file.parent, read_settings(TaskSpec, file, TaskError)
    parts, notes = read_splits(folder, spec)
    refuse_unsound(folder, parts)
    files = spec.files()
    paths = {split: folder / files.get(split, files["train"]) for split in SPLITS}
    parts, label_notes = classified(spec, parts, paths)
    train, dev, test = (tuple(parts[split]) for split in SPLITS)
    changed = changed_train_file(folder, spec)
    return Task(
        spec.name, folder, spec, train, dev, test, tuple(notes), file.name, tuple(label_notes), changed
    )  # fmt: skip


def find_task(folder_or_name: str | Path) -> Path:
    """The specification file of a folder, of FOLDER:NAME, or of a shipped task.

    Raises TaskError, with the names there are, when there is none; FolderError for an impossible name.
    """
    possible(folder_or_name)
    before, _, question = str(folder_or_name).rpartition(":")
    asked = [(str(folder_or_name), TASK_FILE)]
    if before and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", question):  # a name, so that it stays in the folder
        asked.append((before, f"{question}.toml"))
    for folder, file in asked:
        for parent in (Path(folder), *([SHIPPED / folder] if folder in _shipped() else [])):
            if (parent / file).is_file():
                return parent / file
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
