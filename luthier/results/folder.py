"""The study's folder: where things lie, what the clock said, and the log of what was done when.

Files with a clock in them are cost.json, log.jsonl and an arm's metrics.jsonl; all others are equal between two runs.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import FolderError
from luthier.files import append_lines, read_json, sha256_of_text, write_json
from luthier.results.comparison import Comparison
from luthier.results.looks import count_look, next_look


@dataclass(frozen=True)
class StudyFolder:
    """Paths and small records of one study."""

    path: Path
    record: str = "study.json"  # what the folder holds, and how far it is

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

    def spent(self, arm: str, more: dict[str, float], **peaks: int) -> None:
        """Adds seconds and tokens to an arm's row of cost.json, and keeps the highest of each of `peaks`; over all
        sittings of a study.
        """
        cost = self.cost()
        row = cost["arms"].setdefault(arm, {})
        for key, value in more.items():
            row[key] = round(row.get(key, 0) + value, 3)
        for key, peak in peaks.items():
            row[key] = max(row.get(key, 0), peak)
        cost["seconds"] = round(
            sum(v for r in cost["arms"].values() for k, v in r.items() if k.endswith("_seconds")), 3
        )
        write_json(self.path / "cost.json", cost)

    def open_test(self, test_sha256: str) -> int:
        """Counts that this study, as study.json now describes it, looks at the test split; returns which look that is.

        The same study is the same look, whether it goes on after a kill, is asked for again, or runs in another folder;
        with one arm more it is another. A folder keeps the number that its compare.json has, whatever the cache says.
        """
        study = read_json(self.path / "study.json")
        known = self._look_taken(list(study["arms"]))
        return known or count_look(test_sha256, _asked(study))

    def look(self, test_sha256: str, arms: Iterable[str]) -> int:
        """Which look at the test split a study of these arms is, or would be; nothing is counted."""
        if known := self._look_taken(arms):
            return known
        stored = self.path / "study.json"
        study = read_json(stored) if stored.exists() else {"arms": {}}
        asked = _asked(study) if set(study["arms"]) == set(arms) else None
        return next_look(test_sha256, asked)

    def _look_taken(self, arms: Iterable[str]) -> int | None:
        found = Comparison.read_if_there(self.path)
        return found.look if found and set(found.arms) == set(arms) else None

    def begin(self, about: dict[str, Any], known: dict[str, Any] | None) -> None:
        """Writes study.json before anything else, so that the folder is known as ours whenever a kill comes."""
        for part in self.path.rglob(".*.part"):
            part.unlink(missing_ok=True)  # of a file that a kill caught in the making; the lock is ours
        if not (known and known["status"] == "done" and _same_work(known, about)):
            write_json(self.path / self.record, about | {"status": "running"})
        self.log("resume" if known else "start", arms=list(about["arms"]))

    def take(self, specification: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What study.json says when this folder holds the same study, None when it is new.

        `before` is what a key that the stored specification does not know yet stood for.
        Raises FolderError when the folder is somebody else's or holds another study.
        """
        file = self.path / self.record
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


def _asked(study: dict[str, Any]) -> str:
    """What shapes the answers of a study, as one hash: its specification, arms, data and base weights."""
    specification = {key: value for key, value in study["specification"].items() if key != "likelihood"}
    others = [model["base_sha256"] for model in study.get("models", {}).values()]
    shape = [specification, study["arms"], study["task"]["hashes"], study["model"]["base_sha256"], *others]
    return sha256_of_text(json.dumps(shape, sort_keys=True))[:16]


def ships_base(arms: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether arms have different bases, or bases of different widths, from the arms' arm.json."""
    return len({(about["model"], about.get("width")) for about in arms.values() if about.get("model")}) > 1


def bytes_to_ship(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """arm -> bytes that shipping it takes, from the arms' arm.json: what it saved, beside the base.

    Where `ships_base` it is all that answering needs, the base included: a small adapter of a large model is no small
    thing beside a small model, and an arm made narrow is a whole model of its own.
    """
    whole = ships_base(arms)

    def shipped(counts: Mapping[str, Any]) -> int:
        return int((counts.get("weight") or {}).get("file_bytes", 0) if whole else counts.get("saved_bytes") or 0)

    return {name: shipped(about.get("counts") or {}) for name, about in arms.items()}
