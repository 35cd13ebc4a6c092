"""What a learner hands in, packed by him, and read by whoever marks it, whatever became of it on the way.

    folder --pack--> hand-in-NAME.zip --read_hand_in--> HandIn: who, his answers, his functions by lesson

Files are found by a lesson's name in theirs, else by the functions that they define. Functions are read with `ast`,
cell by cell, so a cell that is deleted, doubled, retyped or broken spoils no other.
"""

from __future__ import annotations

import ast
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from luthier.course import deck
from luthier.course.desk import FOLDER, Desk
from luthier.course.holes import names_in, names_of, world_of
from luthier.course.labs import reports
from luthier.course.source import Lesson
from luthier.errors import DataError, FolderError
from luthier.files import replacing

MOST_FILES, MOST_BYTES = 400, 30 * 2**20  # of a hand-in; a notebook with pictures has some MB
ENDINGS = (".py", ".ipynb", ".txt")
DEEPEST, PASSED_OVER = 3, ("site-packages", "node_modules", "__pycache__")
_CELL = re.compile(r"^#\s*(?:%%|In\s?\[)", re.MULTILINE)


@dataclass(frozen=True)
class HandIn:
    """One hand-in. `answers` are the first readable ones of each item; `claims` what its progress says of them.

    `functions` maps a lesson to its holes' sources. `notes` say what could not be read, or was left out.
    """

    learner: str
    salt: str
    signature: str
    answers: Mapping[str, str]
    claims: Mapping[str, bool]
    functions: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]


def pack(desk: Desk, folder: Path) -> Path:
    """Packs what a learner did into a zip in `folder`: his desk, files near it that are named after lessons, and the
    reports of his labs' studies.

    Raises FolderError where there is nothing to hand in.
    """
    if desk.folder is None:
        raise FolderError(f"{folder}: nothing was learned here yet; begin with luthier learn")
    own = [path for name in ("learner.json", "progress.jsonl") if (path := desk.folder / name).is_file()]
    safe = re.sub(r"[^\w.-]+", "-", desk.learner)[:60]
    out = folder / f"hand-in-{safe}.zip"
    with replacing(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in [*own, *_copies(desk.folder.parent), *reports(desk)]:
            entry = zipfile.ZipInfo(path.relative_to(desk.folder.parent).as_posix(), _changed(path))
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
    return out


def packed_in(path: Path) -> list[str]:
    """The names of the files that a hand-in holds."""
    with zipfile.ZipFile(path) as packed:
        return packed.namelist()


def _copies(folder: Path) -> Iterator[Path]:
    """Files whose names hold a lesson's, in a folder and DEEPEST folders below it; never the course's own lessons."""
    lessons = {row.lesson for row in deck.rows()}
    for here, below, names in os.walk(folder):
        place = Path(here)
        deep = len(place.relative_to(folder).parts) >= DEEPEST
        below[:] = [] if deep else sorted(one for one in below if one[0] != "." and one not in PASSED_OVER)
        if (place.parent / "deck.toml").is_file():
            continue
        for path in (place / name for name in sorted(names)):
            if path.suffix.lower() in ENDINGS and any(lesson in path.stem.lower() for lesson in lessons):
                yield path


def _changed(path: Path) -> tuple[int, int, int, int, int, int]:
    """When a file was changed, in UTC, as a zip may say it."""
    at = time.gmtime(path.stat().st_mtime)
    if not 1980 <= at.tm_year <= 2107:
        return (1980, 1, 1, 0, 0, 0)
    return (at.tm_year, at.tm_mon, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec)


def read_hand_in(path: Path) -> HandIn:
    """Reads a zip. Raises DataError for a file that is none, holds too much, or has no learner.json."""
    files = _unpacked(path)
    notes: list[str] = []
    ticket = _object(next((data for name, data in files.items() if name.endswith("learner.json")), b""))
    if not isinstance(ticket.get("learner"), str):
        raise DataError(
            f"it has no {FOLDER}/learner.json that names a learner; pack it with luthier hand-in", file=path
        )
    answers: dict[str, str] = {}
    claims: dict[str, bool] = {}
    progress = next((data for name, data in files.items() if name.endswith("progress.jsonl")), b"")
    for raw in progress.splitlines():
        line = _object(raw)
        item, answer = line.get("item"), line.get("answer")
        if line.get("kind") != "answer" or not isinstance(item, str) or not isinstance(answer, str):
            continue
        if not line.get("take") and item not in answers:
            answers[item] = whole(answer[:2000])
            claims[item] = line.get("right") is True
    functions: dict[str, dict[str, str]] = {}
    for name, data in files.items():
        if PurePosixPath(name).suffix.lower() in ENDINGS:
            _read_file(name, data, functions, notes)
    learner, salt, signature = (whole(str(ticket.get(key, ""))) for key in ("learner", "salt", "signature"))
    return HandIn(learner, salt, signature, answers, claims, functions, tuple(notes))


def whole(text: str) -> str:
    """The text with "?" for halves of a character, which JSON may hold and no file takes."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _unpacked(path: Path) -> dict[str, bytes]:
    """The files of a zip, the oldest first."""
    try:
        with zipfile.ZipFile(path) as packed:
            entries = sorted((one for one in packed.infolist() if not one.is_dir()), key=lambda one: one.date_time)
            if len(entries) > MOST_FILES:
                raise DataError(f"it holds {len(entries):,} files, and a hand-in has at most {MOST_FILES}", file=path)
            found: dict[str, bytes] = {}
            room = MOST_BYTES
            for entry in entries:
                with packed.open(entry) as file:
                    data = file.read(room + 1)
                room -= len(data)
                if room < 0:
                    raise DataError(f"it unpacks to more than {MOST_BYTES:,} bytes", file=path)
                found[entry.filename.replace("\\", "/")] = data
            return found
    except DataError:
        raise
    except Exception as problem:  # each way of packing has errors of its own, such as zlib.error
        raise DataError(f"it is no zip that can be read ({problem})", file=path) from None


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# ------------------------------------------------------------------------------------------------------- functions


def _read_file(name: str, data: bytes, functions: dict[str, dict[str, str]], notes: list[str]) -> None:
    """Adds the holes that a file fills to `functions`: of two files the one that fills more counts, then the later."""
    cells, broken = trees_of(name, data)
    if broken:
        notes.append(f"{name}: {broken} {'cell is' if broken == 1 else 'cells are'} no Python and were passed over")
    defined = {one.name for tree in cells for one in tree.body if isinstance(one, ast.FunctionDef)}
    stem = PurePosixPath(name).stem
    rows = [row for row in deck.rows() if row.done]
    named = [row for row in rows if row.lesson in stem.lower()]
    found = named or [row for row in rows if defined & set(deck.lesson_of(row).holes)]
    if not found:
        notes.append(f"{name}: it belongs to no lesson")
    for lesson in {row.lesson: deck.lesson_of(row) for row in found}.values():
        filled = functions_of(cells, lesson)
        if len(filled) >= len(functions.get(lesson.name, {})):
            functions[lesson.name] = filled


def trees_of(name: str, data: bytes) -> tuple[list[ast.Module], int]:
    """The cells of a file as syntax trees, and how many could not be parsed."""
    text = data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    texts = list(_notebook_cells(text)) if name.lower().endswith(".ipynb") else [text]
    if len(texts) == 1 and _parsed(texts[0]) is None:
        only = texts[0]
        starts = [0, *(match.start() for match in _CELL.finditer(only)), len(only)]
        texts = [only[a:b] for a, b in pairwise(starts)]
    parsed = [_parsed(one) or _parsed(_without_magic(one)) for one in texts if one.strip()]
    return [one for one in parsed if one is not None], sum(one is None for one in parsed)


def _notebook_cells(text: str) -> Iterator[str]:
    cells = _object(text.encode()).get("cells")
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict) and cell.get("cell_type", "code") == "code":
            source = cell.get("source", "")
            yield "".join(map(str, source)) if isinstance(source, list) else str(source)


def _without_magic(text: str) -> str:
    """Lines that only Jupyter understands, such as %pip and !ls, become comments."""
    return re.sub(r"^(\s*)((?:%%?[A-Za-z]|!(?!=)).*)$", r"\1pass  # \2", text, flags=re.MULTILINE)


def _parsed(text: str) -> ast.Module | None:
    try:
        tree = ast.parse(text)
        ast.unparse(tree)  # what is nested too deep to be written again is passed over too
        return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def functions_of(cells: list[ast.Module], lesson: Lesson) -> dict[str, str]:
    """The source that each hole needs: the last definition that is more than a stub, and the learner's own helpers."""
    ours = {name for statement in ast.parse(world_of(lesson)).body for name in names_of(statement)}
    helpers: dict[str, ast.stmt] = {}
    filled: dict[str, ast.stmt] = {}
    for statement in (one for tree in cells for one in tree.body):
        for name in names_of(statement):
            if name in lesson.holes:
                if isinstance(statement, ast.FunctionDef) and not _is_stub(statement):
                    filled[name] = statement
            elif name not in ours or isinstance(statement, ast.Import | ast.ImportFrom):
                helpers[name] = statement
    found = {}
    for hole, statement in filled.items():
        needed: list[ast.stmt] = []
        ahead = names_in(statement)
        while ahead:
            helper = helpers.get(ahead.pop())
            if helper is not None and helper not in needed:
                needed.append(helper)
                ahead |= names_in(helper)
        order = [one for one in dict.fromkeys(helpers.values()) if one in needed]
        found[hole] = ast.unparse(ast.Module([*order, statement], []))
    return found


def _is_stub(function: ast.FunctionDef) -> bool:
    """Whether a function only raises NotImplementedError, or does nothing."""
    body = [one for one in function.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    return not body or all(
        isinstance(one, ast.Pass) or (isinstance(one, ast.Raise) and "NotImplementedError" in ast.unparse(one))
        for one in body
    )
