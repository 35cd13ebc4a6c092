"""What a report shows, read from a study's folder: arms in the order of their quality, pairs, warnings, examples.

Everything here is read or chosen, nothing is measured again; no model, clock or random state beyond a fixed seed.
A missing or damaged file is a FolderError; what a study has not (a trained arm, a cost, a finished arm) is absent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from luthier.errors import FolderError
from luthier.files import inside, read_json, read_lines
from luthier.plots import Dot
from luthier.records import Answer, Example, Prompt, Score, from_row

Row = dict[str, Any]
Record = TypeVar("Record", Example, Prompt, Answer, Score)

APART = 6  # examples shown because the arms differ most on them
AT_RANDOM = 6  # examples shown whatever the arms did
FIRST_WARNINGS = 4  # on the first screen; the others unfold

_NEEDED = {
    "study.json": ("task.name", "task.metric", "model.name", "status"),
    "compare.json": (
        "deciding", "margin", "level", "alpha", "n", "examples", "comparisons", "signatures", "arms", "best", "pairs",
        "power", "baselines", "excluded", "missing", "warnings", "ship.sentence", "ship.arm", "ship.provisional",
    ),
    "cost.json": ("arms",),
}  # fmt: skip
_TURNED = {"better": "worse", "worse": "better"}


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
        """What has to be shipped beside the base model; nothing for an arm that moves no parameter."""
        return (self.counts.get("saved_bytes") or 0) / 1e6 if self.about else None

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
    """A whole study: its three records, its test examples, and its arms, the best mean first."""

    folder: Path
    study: Row
    compare: Row
    cost: Row
    examples: list[Example]
    arms: list[ArmPage]

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

    def rank(arm: ArmPage) -> float:
        mean = arm.metrics.get(compare["deciding"], {}).get("mean")
        return -mean if mean is not None else float("inf")

    return StudyPage(folder, study, compare, cost, examples, sorted(arms, key=rank))


def _record(path: Path) -> Row:
    """A JSON object that has all that a report asks of it."""
    if path.parent.is_dir() and path.name == "compare.json" and not path.exists():
        raise FolderError(f"{path}: not there yet, the study is not finished; start it again, and it goes on")
    record = read_json(path)
    for name in _NEEDED[path.name]:
        value = record
        for key in name.split("."):
            if not isinstance(value, dict) or key not in value:
                raise FolderError(f"{path}: '{name}' is missing, so the file is damaged; start the study again")
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


# ------------------------------------------------------------------------------------------------------------ pairs


def ranked_pairs(page: StudyPage) -> list[Row]:
    """The pairs on the deciding metric, each turned so that its better mean stands first; the best arms first."""
    place = {arm.name: number for number, arm in enumerate(page.compared)}
    rows = [_turned(row, place) for row in page.compare["pairs"] if row["metric"] == page.deciding]
    return sorted(rows, key=lambda row: (place.get(row["a"], len(place)), place.get(row["b"], len(place))))


def _turned(row: Row, place: Mapping[str, int]) -> Row:
    """The pair, or the same pair seen from the other arm: a - b becomes b - a."""
    if place.get(row["a"], len(place)) <= place.get(row["b"], len(place)):
        return row
    ends = {"low": "high", "simultaneous_low": "simultaneous_high"}
    turned = row | {"a": row["b"], "b": row["a"], "verdict": _TURNED.get(row["verdict"], row["verdict"])}
    for low, high in ends.items():
        turned |= {low: _minus(row.get(high)), high: _minus(row.get(low))}
    return turned | {"difference": _minus(row["difference"])}


def _minus(number: float | None) -> float | None:
    return None if number is None else -number


def against_the_best(page: StudyPage) -> dict[str, Row]:
    """arm -> its pair with the best of the other arms, seen from the arm."""
    order = [arm.name for arm in page.compared]
    found = {}
    for name in order:
        others = [other for other in order if other != name]
        row = next((r for r in ranked_pairs(page) if others and {r["a"], r["b"]} == {name, others[0]}), None)
        if row is not None:
            found[name] = _turned(row, {name: 0, others[0]: 1})
    return found


# --------------------------------------------------------------------------------------------------------- warnings


def warnings_of(page: StudyPage) -> list[str]:
    """What a reader must know first, the gravest first; one sentence each."""
    compare, found = page.compare, []
    if page.unfinished:
        found.append(f"Not finished, start the study again to go on: {', '.join(page.unfinished)}.")
    found += _unbeaten(page)
    if (times := page.test_opened or 1) > 1:
        found.append(
            f"{times - 1} earlier {'study' if times == 2 else 'studies'} opened this test split; "
            "choices made on it since make its numbers optimistic."
        )
    grave = [row["text"] for row in page.study.get("health") or [] if row["level"] != "note"]
    if grave:
        found.append(
            f"Data: {grave[0]}" if len(grave) == 1 else f"The data check found {len(grave)} problems: see Data."
        )
    for arm in page.compared:
        if arm.name == compare["ship"]["provisional"] and 5 * arm.cut_answers > len(arm.answers):
            found.append(f"{arm.cut_answers} of {len(arm.answers)} answers of {arm.name} were stopped by its limit.")
    # compare.json says the same of each arm apart; _unbeaten gathers them by baseline.
    return found + [text for text in compare["warnings"] if "is not shown to beat the baseline" not in text]


def _unbeaten(page: StudyPage) -> list[str]:
    """Baselines that no arm is shown to beat, then those that some arms are not."""
    none, some = [], []
    for baseline in page.baselines:
        beats = {
            arm: rows[baseline]["beats"]
            for arm, rows in page.compare["baselines"].items()
            if baseline in rows and arm not in page.baselines
        }
        losers = [arm for arm, beaten in beats.items() if not beaten]
        if losers and len(losers) == len(beats):
            none.append(baseline)
        elif losers:
            some.append(f"Not shown to beat the baseline {baseline}: {', '.join(losers)}.")
    nobody = [f"No arm is shown to beat the baseline {' or the baseline '.join(none)}."] if none else []
    return nobody + some


# --------------------------------------------------------------------------------------------------------- examples


def examples_to_show(page: StudyPage) -> list[Row]:
    """Those on which the arms differ most by the deciding metric, then some drawn by a fixed seed."""
    values = {example.id: _values(page, example.id) for example in page.examples}
    answered = [example for example in page.examples if values[example.id]]
    apart = sorted(answered, key=lambda example: -_range(values[example.id]))[:APART]
    others = [example for example in answered if example not in apart]
    drawn = random.Random("report").sample(others, min(AT_RANDOM, len(others)))
    shown = [(example, f"arms {_range(values[example.id]):.3f} apart") for example in apart]
    shown += [(example, "drawn at random") for example in drawn]
    return [{"example": example, "why": why, "answers": _answers(page, example.id)} for example, why in shown]


def _values(page: StudyPage, id: str) -> list[float]:
    """The deciding metric of every arm that has one for this example."""
    scores = [arm.scores[id].values.get(page.deciding) for arm in page.arms if id in arm.scores]
    return [value for value in scores if value is not None]


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _answers(page: StudyPage, id: str) -> list[Row]:
    rows = []
    for arm in page.arms:
        if id in arm.answers:
            score = arm.scores.get(id)
            value = score.values.get(page.deciding) if score else None
            rows.append({"arm": arm, "text": arm.answers[id].text, "stop": arm.answers[id].stop, "value": value})
    return rows


def length_choices(page: StudyPage) -> dict[str, tuple[dict[int, float], int]]:
    """arm -> (limit on new tokens -> dev metric, the limit chosen), for the arms whose limit dev chose."""
    found: dict[str, tuple[dict[int, float], int]] = {}
    for arm in page.compared:
        length = arm.about.get("length") or {}
        by_limit = {int(limit): value for limit, value in (length.get("dev") or {}).items() if value is not None}
        if len(by_limit) > 1:
            found[arm.name] = (by_limit, length["chosen"])
    return found


def strip_of(pairs: Sequence[Row], margin: float) -> Callable[[float], float]:
    """Difference -> place on a strip of 0 to 100, the same for all pairs, with 0 and both margins on it."""
    ends = [row.get(key) for row in pairs for key in ("simultaneous_low", "simultaneous_high", "difference")]
    known = [end for end in ends if end is not None] + [-1.2 * margin, 1.2 * margin]
    low, high = min(known), max(known)
    return lambda difference: 100 * (difference - low) / (high - low)
