"""A study's folder as plain values for a report: its records, its examples, its arms in the order of their quality.

    page.py            what the folder holds
    page_verdicts.py   what it says of the arms: pairs, groups, warnings, what can be detected
    page_examples.py   which examples are shown, and the facts in their answers that the inputs do not hold
    page_evidence.py   profile, ratings, effort, seeds and likelihood as tables

Everything there is read or chosen; no model, clock or random state beyond a fixed seed. A missing or damaged file is a
FolderError; what a study has not (a trained arm, a cost, a profile, ratings) is absent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from luthier.errors import FolderError
from luthier.files import inside, read_json, read_lines
from luthier.records import Answer, Example, Prompt, Score, from_row
from luthier.reports.plots import Dot
from luthier.results.folder import bytes_to_ship, ships_base

Row = dict[str, Any]
Record = TypeVar("Record", Example, Prompt, Answer, Score)

_NEEDED = {
    "study.json": ("task.name", "task.metric", "model.name", "status"),
    "compare.json": (
        "deciding", "margin", "level", "alpha", "n", "examples", "comparisons", "signatures", "arms", "best", "pairs",
        "power", "baselines", "excluded", "missing", "warnings", "ship.sentence", "ship.arm", "ship.provisional",
    ),
    "cost.json": ("arms",),
}  # fmt: skip
_OPTIONAL = {  # files that older studies lack
    "profile.json": ("level", "deciding", "budgets.rows", "budgets.reference words", "buckets", "arms", "not_checked"),
    "ratings.json": ("level", "people", "raters", "metrics", "judges", "figures", "sentences"),
}


@dataclass(frozen=True)
class ArmPage:
    """One arm as its folder tells it. `about` is empty, and the records are, when the arm is not finished."""

    name: str
    kind: str  # 'baseline', 'prompt' or 'trained': a key of plots.KINDS
    about: Row
    cost: Row
    metrics: Row  # metric -> mean, low, high, n; from compare.json
    prompts: list[Prompt]
    answers: dict[str, Answer]
    scores: dict[str, Score]
    steps: list[Row]  # metrics.jsonl
    shipped_bytes: int = 0  # beside the base model; with it where arms have different ones

    @property
    def done(self) -> bool:
        return self.about.get("status") == "done" and bool(self.metrics)

    @property
    def counts(self) -> Row:
        return self.about.get("counts") or {}

    @property
    def trained(self) -> bool:
        return bool(self.about.get("training"))

    @property
    def saved_megabytes(self) -> float | None:
        """What has to be shipped beside the base model, and with it where arms have different ones."""
        return self.shipped_bytes / 1e6 if self.about else None

    @property
    def prompt_tokens(self) -> float | None:
        """Mean over the test prompts; None for an arm that asks no model."""
        return self.counts.get("prompt_tokens_mean")

    @property
    def minutes(self) -> float | None:
        """Training, choosing on dev, answering and scoring together."""
        seconds = [value for key, value in self.cost.items() if key.endswith("_seconds") and value is not None]
        return sum(seconds) / 60 if seconds else None

    @property
    def cut_answers(self) -> int:
        """Answers that were stopped by the limit on new tokens."""
        return (self.counts.get("stopped") or {}).get("length", 0)


@dataclass(frozen=True)
class StudyPage:
    """A whole study: its records, its test examples, and its arms, the best mean first."""

    folder: Path
    study: Row
    compare: Row
    cost: Row
    examples: list[Example]
    arms: list[ArmPage]
    profile: Row | None = None  # profile.json
    ratings: Row | None = None  # ratings.json

    @property
    def deciding(self) -> str:
        return str(self.compare["deciding"])

    @property
    def compared(self) -> list[ArmPage]:
        """The arms that have a mean of the deciding metric, the best first."""
        return [arm for arm in self.arms if self.result(arm).get("mean") is not None]

    @property
    def unfinished(self) -> list[str]:
        return [arm.name for arm in self.arms if not arm.done]

    @property
    def trained(self) -> list[ArmPage]:
        return [arm for arm in self.arms if arm.trained]

    @property
    def baselines(self) -> list[str]:
        return _baselines(self.compare)

    @property
    def test_opened(self) -> int | None:
        """This study was the k-th to open its test split; None when nobody counted."""
        return self.study.get("test_opened") or self.study["task"].get("test_opened")

    @property
    def ships_base(self) -> bool:
        """Whether what an arm takes to ship counts its base model."""
        return ships_base({arm.name: arm.about for arm in self.arms})

    def result(self, arm: ArmPage) -> Row:
        """Mean, low, high and n of the deciding metric."""
        return arm.metrics.get(self.deciding) or {}

    def dots(self) -> list[Dot]:
        """The compared arms for a figure."""
        rows = [(arm, self.result(arm)) for arm in self.compared]
        return [Dot(arm.name, arm.kind, row["mean"], row["low"], row["high"]) for arm, row in rows]


def read_study(folder: Path) -> StudyPage:
    """Everything a report needs. Raises FolderError for a folder or a file that is missing or damaged."""
    study, compare, cost = (_record(folder / name) for name in _NEEDED)
    listed = study.get("arms") or study.get("specification", {}).get("arms") or []
    names = dict.fromkeys([*compare["arms"], *listed])
    arms = [_arm(folder, name, compare, cost) for name in names]
    examples = _records(Example, folder / "examples.jsonl", needed=True)

    shipped = bytes_to_ship({arm.name: arm.about for arm in arms})
    arms = [replace(arm, shipped_bytes=shipped[arm.name]) for arm in arms]

    def rank(arm: ArmPage) -> float:
        mean = arm.metrics.get(compare["deciding"], {}).get("mean")
        return -mean if mean is not None else float("inf")

    profile, ratings = (_record(folder / name) if (folder / name).exists() else None for name in _OPTIONAL)
    return StudyPage(folder, study, compare, cost, examples, sorted(arms, key=rank), profile, ratings)


def _record(path: Path) -> Row:
    """A JSON object that has all that a report asks of it."""
    if path.parent.is_dir() and path.name == "compare.json" and not path.exists():
        raise FolderError(f"{path}: not there yet, the study is not finished; start it again, and it goes on")
    record = read_json(path)
    for name in (_NEEDED | _OPTIONAL)[path.name]:
        value = record
        for key in name.split("."):
            if not isinstance(value, dict) or key not in value:
                again = "start the study again" if path.name in _NEEDED else "remove it"
                raise FolderError(f"{path}: '{name}' is missing, so the file is damaged; {again}")
            value = value[key]
    return dict(record)


def _arm(folder: Path, name: str, compare: Row, cost: Row) -> ArmPage:
    place = inside(folder / "arms", name)
    about = read_json(place / "arm.json") if (place / "arm.json").exists() else {}
    if not isinstance(about, dict):
        raise FolderError(f"{place / 'arm.json'}: is no JSON object; remove the arm's folder and start the study again")
    done = about.get("status") == "done"
    kind = "baseline" if name in _baselines(compare) else "trained" if about.get("training") else "prompt"
    return ArmPage(
        name,
        kind,
        about,
        cost["arms"].get(name) or {},
        compare["arms"].get(name) or {},
        _records(Prompt, place / "prompts.jsonl", needed=done and about.get("generation") is not None),
        {answer.id: answer for answer in _records(Answer, place / "answers.jsonl", needed=done)},
        {score.id: score for score in _records(Score, place / "scores.jsonl", needed=done)},
        read_lines(place / "metrics.jsonl"),
    )


def _records(kind: type[Record], path: Path, needed: bool) -> list[Record]:
    """The records of a line file. Raises FolderError when it is needed and missing, or holds something else."""
    if needed and not path.exists():
        raise FolderError(f"{path}: no such file; start the study again, and it is made")
    try:
        return [from_row(kind, row) for row in read_lines(path)]
    except (TypeError, AttributeError):
        raise FolderError(f"{path}: a line is no {kind.__name__.lower()}; remove the file to make it again") from None


def _baselines(compare: Row) -> list[str]:
    return list(dict.fromkeys(name for rows in compare["baselines"].values() for name in rows))
