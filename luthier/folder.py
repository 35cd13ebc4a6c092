"""The study's folder: where things lie, what the clock said, and the log of what was done when.

Files with a clock in them are cost.json, log.jsonl and an arm's metrics.jsonl; all others are equal between two runs.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import FolderError
from luthier.files import append_lines, cache_folder, locked, read_json, write_json
from luthier.task import Task


@dataclass(frozen=True)
class StudyFolder:
    """Paths and small records of one study."""

    path: Path

    def arm(self, name: str) -> Path:
        """The folder of one arm."""
        return self.path / "arms" / name

    def finished(self, name: str) -> bool:
        """Whether an arm, or one of its seeds, is whole."""
        return (self.arm(name) / "arm.json").exists()

    def log(self, event: str, **about: Any) -> None:
        """One line of log.jsonl: what is safely on disk from this moment on."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        append_lines(self.path / "log.jsonl", [{"time": now, "event": event, **about}])

    def cost(self) -> dict[str, Any]:
        """cost.json, or an empty one."""
        path = self.path / "cost.json"
        return dict(read_json(path)) if path.exists() else {"seconds": 0.0, "arms": {}}

    def spent(self, arm: str, more: dict[str, float], peak_bytes: int = 0) -> None:
        """Adds seconds and tokens to an arm's row of cost.json; over all sittings of a study."""
        cost = self.cost()
        row = cost["arms"].setdefault(arm, {})
        for key, value in more.items():
            row[key] = round(row.get(key, 0) + value, 3)
        if peak_bytes:
            row["peak_bytes"] = max(row.get("peak_bytes", 0), peak_bytes)
        cost["seconds"] = round(
            sum(v for r in cost["arms"].values() for k, v in r.items() if k.endswith("_seconds")), 3
        )
        write_json(self.path / "cost.json", cost)

    def open_test(self, task: Task) -> int:
        """Counts, once a study, that this test split was opened; in the user's cache, over all studies.

        Returns how many studies have opened it, this one included.
        """
        cache, key = cache_folder(), task.hashes()["test"]
        with locked(cache, wait=True):
            path = cache / "test-openings.json"
            openings = read_json(path) if path.exists() else {}
            mine = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]
            studies = openings.setdefault(key, [])
            if mine not in studies:
                studies.append(mine)
                write_json(path, openings)
        return studies.index(mine) + 1

    def begin(self, about: dict[str, Any], known: dict[str, Any] | None) -> None:
        """Writes study.json before anything else, so that the folder is known as ours whenever a kill comes."""
        for part in self.path.rglob(".*.part"):
            part.unlink(missing_ok=True)  # of a file that a kill caught in the making; the lock is ours
        if not (known and known["status"] == "done" and _same_work(known, about)):
            write_json(self.path / "study.json", about | {"status": "running"})
        self.log("resume" if known else "start", arms=list(about["arms"]))

    def take(self, specification: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What study.json says when this folder holds the same study, None when it is new.

        `before` is what a key that the stored specification does not know yet stood for.
        Raises FolderError when the folder is somebody else's or holds another study.
        """
        file = self.path / "study.json"
        if not file.exists():
            # Hidden names are our own lock and what a kill left of a file in the making.
            others = [p for p in self.path.iterdir() if p.name[0] != "."] if self.path.is_dir() else []
            if others or self.path.is_file():
                raise FolderError(f"{self.path}: is not empty and holds no study of ours; name a new folder with --out")
            return None
        known = read_json(file)
        if not isinstance(known, dict) or "specification" not in known:
            raise FolderError(f"{file}: is no study of ours; name a new folder with --out")
        stored = (before or {}) | known["specification"]
        for key, value in specification.items():
            if key != "arms" and stored.get(key) != value:
                raise FolderError(
                    f"{self.path}: holds a study with {key} = {stored.get(key)!r}, not {value!r}; "
                    "name another folder with --out"
                )
        return known


def _same_work(known: dict[str, Any], about: dict[str, Any]) -> bool:
    """Whether two study.json name the same arms and seeds, so that a study that was done still is."""
    seeds, asked = (one["specification"].get("seeds", 1) for one in (known, about))
    return known["arms"] == about["arms"] and seeds == asked
