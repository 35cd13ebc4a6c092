"""Answering a file: an arm or a model answers every row, and each answer is kept beside its row.

    rows --read_asked--> Examples --prompt--> Prompts --asking--> Answers --> one line a row: the row and its answer

Batches are kept as they end, so a killed run goes on at the last of them. A kept answer counts only where its row, the
arm and the settings are the same, and nobody changed it: their hash stands beside it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.arms.ask import load_source
from luthier.arms.shipped import Shipped
from luthier.decoding.answers import Asking, asking
from luthier.errors import DataError, FolderError, SettingsError
from luthier.files import (
    append_lines,
    locked,
    possible,
    read_lines,
    sha256_of_text,
    sweep,
    write_lines,
)
from luthier.machine import keep_freed_memory
from luthier.progress import bar, check_stop, say, stoppable
from luthier.records import Answer, Prompt
from luthier.settings import is_text
from luthier.task.examples import read_asked
from luthier.task.external import NoText
from luthier.task.opened import AS_FOUND, Format
from luthier.task.rows import Row, plain

COLUMN = "answer"
ABOUT = "luthier"  # the key beside the answer: how it came about
SEAL = "sha256"
ENDING = ".jsonl"


@dataclass(frozen=True)
class Answered:
    """What one run answered."""

    out: Path
    arm: str
    rows: int
    kept: int  # of them, rows that an earlier run had answered
    at_limit: int  # answers that were stopped by the limit on new tokens
    cut: int  # rows whose input did not fit, and was cut
    shots_dropped: int  # rows for which shots were left out

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "out": str(self.out)}


def answer(
    source: str | Path,
    file: str | Path,
    *,
    out: str | Path,
    input: str | None = None,
    id: str | None = None,
    arm: str | None = None,
    column: str = COLUMN,
    verify: bool = False,
    format: Format = AS_FOUND,
) -> Answered:
    """Answers every row of `file` as the arm was measured, and writes `out`: a JSON line a row, in the file's order.

    A line holds the row's cells, the answer under `column`, and under "luthier" how it came about: {"row", "stop": why
    it ended, "new_tokens", "tokens_cut" of the input, "shots_dropped", "sha256" of arm, settings, row and answer}.
    Where `out` is there already, its answers are kept, and the rows that have none are asked.

    `source` is a study (its shipped arm, or `arm`), an arm's folder, or a model. input: the column that is asked; None
    where the arm's template names its columns. id: a column of unique names, which samples are drawn by; else the
    row's number. verify: the arm's probes are asked first.

    Raises LuthierError: what `read_asked` and `load_source` raise, SettingsError for an `out` that is no .jsonl file or
    is the file itself, DataError where a column of the file has the answer's name, and FolderError where `out` holds
    answers of another arm, or to other rows.
    """
    place = possible(out)
    if place.suffix != ENDING:
        raise SettingsError(f"{place}: answers are written as JSON lines; give --out a name that ends in {ENDING}")
    if place.exists() and possible(file).exists() and place.samefile(file):
        raise SettingsError(f"{place}: is the file that is read; give --out another name")
    keep_freed_memory()
    shipped = load_source(str(source), arm, check_probes=verify)
    rows, examples, notes = read_asked(file, input, shipped.template, id, format)
    for sentence in notes.sentences():
        say(f"{sentence}.")
    _refuse_taken(Path(file), rows, column)
    limit = shipped.generation.max_new_tokens or 1
    prompts = [shipped.prompt_of(example, limit) for example in examples]
    asked = asking(
        shipped.model, prompts, shipped.answers_by, limit=limit, generation=shipped.generation, seed=shipped.seed
    )
    work = _Work(place, column, shipped, {prompt.id: (row, prompt) for row, prompt in zip(rows, prompts, strict=True)})
    mark = sha256_of_text(str(os.getuid()), str(place.resolve()))[:16]
    with stoppable(), locked(Path(tempfile.gettempdir()) / f"luthier-answers-{mark}"):  # no lock beside a user's file
        return work.run(asked)


@dataclass(frozen=True)
class _Work:
    """The rows of one file to answer, by the id of their prompt."""

    out: Path
    column: str
    shipped: Shipped
    asked: dict[str, tuple[Row, Prompt]]

    def run(self, asked: Asking) -> Answered:
        sweep(self.out)
        done = self._kept()
        before = len(done)
        with bar(f"{self.shipped.folder.name}: {self.out.name}", len(self.asked), "rows", done=before) as progress:
            for batch in asked.batches:
                if all(one.id in done for one in batch):
                    continue
                new = {one.id: self._written(one) for one in asked.answer(batch) if one.id not in done}
                append_lines(self.out, new.values())
                progress.advance(len(new))
                done.update(new)
                check_stop()
        write_lines(self.out, [done[id] for id in self.asked])  # in the file's order
        return self._told(done, before)

    def _kept(self) -> dict[str, dict[str, Any]]:
        """The lines that are there already. Raises FolderError for one that this work would not have written."""
        ids = {row.number: id for id, (row, _) in self.asked.items()}
        kept = {}
        for number, line in enumerate(read_lines(self.out), 1):
            about: Any = line.get(ABOUT)
            row = about.get("row") if isinstance(about, dict) else None
            id = ids.get(row) if isinstance(row, int) else None
            if id is None or line != self._line(id, line.get(self.column), about):
                raise FolderError(
                    f"{self.out}: line {number} answers another row than the file has, is of another arm or other "
                    "settings, or was changed; give --out another name, or remove this file"
                )
            kept[id] = line
        return kept

    def _written(self, answer: Answer) -> dict[str, Any]:
        row, prompt = self.asked[answer.id]
        about = {"row": row.number, "stop": answer.stop, "new_tokens": len(answer.tokens),
                 "tokens_cut": prompt.tokens_cut, "shots_dropped": prompt.shots_dropped}  # fmt: skip
        return self._line(answer.id, answer.text, about)

    def _line(self, id: str, text: Any, about: dict[str, Any]) -> dict[str, Any]:
        """A row with its answer, sealed."""
        row, prompt = self.asked[id]
        line = {**{name: _cell(value) for name, value in row.values.items()}, self.column: text}
        told = {key: value for key, value in about.items() if key != SEAL}
        asked = (self.shipped.fingerprint, self.shipped.generation.model_dump(), self.shipped.seed, prompt.prompt_ids)
        seal = sha256_of_text(*(json.dumps(part, sort_keys=True) for part in (*asked, id, line, told)))
        return {**line, ABOUT: {**told, SEAL: seal[:16]}}

    def _told(self, done: dict[str, dict[str, Any]], before: int) -> Answered:
        about = [line[ABOUT] for line in done.values()]
        counts = Counter(one["stop"] for one in about)
        return Answered(
            out=self.out,
            arm=self.shipped.folder.name,
            rows=len(done),
            kept=before,
            at_limit=counts["length"],
            cut=sum(one["tokens_cut"] > 0 for one in about),
            shots_dropped=sum(one["shots_dropped"] > 0 for one in about),
        )


def _cell(value: Any) -> Any:
    """A cell as a JSON value; null where it has no text and no number."""
    return None if isinstance(value, NoText) or value != value else plain(value)


def _refuse_taken(file: Path, rows: Sequence[Row], column: str) -> None:
    """Raises DataError for a name that a column of the file has, SettingsError for one that no column can have."""
    if not column.strip() or not is_text(column) or column == ABOUT:
        raise SettingsError(f"--column '{column}' cannot be the answers' name; give another")
    for row in rows:
        for name in (column, ABOUT):
            if name in row.values:
                problem = "the file has this column already; " + (
                    "name that of the answers with --column" if name == column else "rename it"
                )
                raise DataError(problem, file=file, row=row.number, field=name)
