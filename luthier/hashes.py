"""Hashes of large files, taken from their bytes once and known again by everything that changes when a file does.

Known are path, size, times of change, inode and device of a file; what is known lies in the user's cache folder. A
file that changed a moment ago is hashed and not remembered: within one tick of the clock it could change unseen.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from luthier.errors import FolderError
from luthier.files import cache_folder, read_json, sha256_of, write_json

WORTH_REMEMBERING = 1 << 20  # bytes; a smaller file is hashed as fast as its hash is looked up
SETTLED_SECONDS = 2.0  # the coarsest clock of a file system

Difference = Literal["missing", "added", "changed"]


def first_other(expected: Mapping[str, str], here: Mapping[str, str]) -> tuple[str, Difference] | None:
    """The first file (name -> hash) that is not as expected, and how; None where all are."""
    for name in [*expected, *here]:
        if expected.get(name) != here.get(name):
            return name, "missing" if name not in here else "added" if name not in expected else "changed"
    return None


def sha256_of_files(*paths: Path) -> str:
    """What `sha256_of` gives, from the cache where no file changed since it was hashed."""
    real = [path.resolve() for path in paths]
    before = _states(real)
    if sum(state["size"] for state in before) < WORTH_REMEMBERING:
        return sha256_of(*real)
    place = _place(real)
    if place and (known := _known(place, before)) is not None:
        return known
    digest = sha256_of(*real)
    newest = max(max(state["mtime_ns"], state["ctime_ns"]) for state in before)
    if place and _states(real) == before and time.time_ns() - newest > SETTLED_SECONDS * 1e9:
        with contextlib.suppress(FolderError):  # a cache that cannot be written makes it slower, not wrong
            write_json(place, {"files": before, "sha256": digest})
    return digest


def _place(paths: list[Path]) -> Path | None:
    """Where the hash is remembered; None for a user without a cache folder."""
    try:
        return cache_folder() / "hashes" / f"{_key(paths)}.json"
    except FolderError:
        return None


def _key(paths: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(os.fsencode(path) for path in paths)).hexdigest()[:32]


def _states(paths: list[Path]) -> list[dict[str, Any]]:
    """What a file cannot keep when its bytes change. ctime, because mtime can be set back."""
    found = [(path, path.stat()) for path in paths]
    return [
        {
            "path": os.fsencode(path).hex(),
            "size": state.st_size,
            "mtime_ns": state.st_mtime_ns,
            "ctime_ns": state.st_ctime_ns,
            "inode": state.st_ino,
            "device": state.st_dev,
        }
        for path, state in found
    ]


def _known(place: Path, states: list[dict[str, Any]]) -> str | None:
    try:
        stored = read_json(place)
    except FolderError:
        return None
    if not isinstance(stored, dict) or stored.get("files") != states or not isinstance(stored.get("sha256"), str):
        return None
    return str(stored["sha256"])
