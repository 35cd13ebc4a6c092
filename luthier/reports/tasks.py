"""Several studies of one multi-task training in one table: its folder -> tasks.json, report.html, report.md.

    tasks/TASK/compare.json, scores.jsonl   what each task's own study says
    multi/ARM/mixture.json, training.json   what the multi-task arm saw
    cost.json                               what the clock said; it is read for the page and not kept in tasks.json

Each task asks one question of each multi-task arm: is it better than the arm trained on this task alone or, for a task
held out, than the zero-shot base? These questions are one family over all tasks, whatever else the studies compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luthier.errors import FolderError
from luthier.files import inside, read_json, read_lines, write_json, write_text
from luthier.records import Score, from_row
from luthier.reports.pairs import strip_of
from luthier.reports.write import SIGNS, environment, markdown
from luthier.stats import simultaneous
from luthier.verdicts.compare import compare

Row = dict[str, Any]

RECORD = "multitask.json"
LEVEL = 0.95
VERDICTS = ("better", "equivalent", "worse", "cannot tell")


def multi(arm: str) -> str:
    """What the multi-task arm is called whose single-task twin is `arm`."""
    return f"multi-{arm}"


def conclude(folder: Path) -> Row:
    """What tasks.json holds, from the finished studies; it is written too. Nothing here has a clock in it.

    Raises FolderError when a file of a study is missing or damaged.
    """
    record = read_json(folder / RECORD)
    places = {name: inside(folder, row["folder"]) for name, row in record["tasks"].items()}
    found = {name: read_json(place / "compare.json") for name, place in places.items()}
    tasks = [_task_row(name, record["tasks"][name], found[name]) for name in places]
    questions = [(row, arm) for arm in record["trained"] for row in tasks]
    level = simultaneous.simultaneous_level(LEVEL, len(questions))
    pairs = [_pair(places[row["task"]], row, arm, found[row["task"]], level) for row, arm in questions]
    mixtures = {multi(arm): read_json(folder / "multi" / multi(arm) / "mixture.json") for arm in record["trained"]}
    result = {
        "format": 1,
        "level": LEVEL,
        "comparisons": len(questions),
        "sentences": [sentence for arm in record["trained"] for sentence in _sentences(arm, pairs)],
        "family": _family(len(questions), [row["look"] for row in tasks]),
        "tasks": tasks,
        "pairs": pairs,
        "mixtures": mixtures,
        "effort": [row for arm in record["trained"] for row in _effort(folder, record, arm)],
        "findings": record["findings"],
        "warnings": {name: found[name]["warnings"] for name in places},
    }
    write_json(folder / "tasks.json", result)
    return result


def _task_row(name: str, about: Row, found: Row) -> Row:
    arms = {arm: rows[found["deciding"]] for arm, rows in found["arms"].items()}
    return {
        "task": name,
        "folder": about["folder"],
        "held_out": about["held_out"],
        "metric": found["deciding"],
        "margin": found["margin"],
        "n": found["n"],
        "look": found["look"],
        "arms": arms,
    }


def _pair(place: Path, row: Row, arm: str, found: Row, level: float) -> Row:
    """The task's question on a multi-task arm, judged by `compare` at the level of the whole family."""
    names = (multi(arm), "zero-shot" if row["held_out"] else arm)
    scores = {
        name: [from_row(Score, line) for line in read_lines(place / "arms" / name / "scores.jsonl")] for name in names
    }
    judged = compare(
        scores, deciding=row["metric"], margin=row["margin"], level=level, baselines=(), look=row["look"]
    )  # fmt: skip
    pair = next(one for one in judged["pairs"] if one["metric"] == row["metric"])
    return {
        "task": row["task"],
        "held_out": row["held_out"],
        "metric": row["metric"],
        "margin": row["margin"],
        **{key: value for key, value in pair.items() if key not in ("metric", "low", "high")},
        "in_study": _verdict_in(found, *names),
    }


def _verdict_in(found: Row, a: str, b: str) -> str | None:
    """The verdict of a against b in a study's own compare.json, where it is one of all pairs of arms."""
    turned = {"better": "worse", "worse": "better"}
    for row in found["pairs"]:
        if row["metric"] == found["deciding"] and {row["a"], row["b"]} == {a, b}:
            verdict = row["verdict"]
            return verdict if row["a"] == a else turned.get(verdict, verdict)
    return None


def _sentences(arm: str, pairs: Sequence[Row]) -> list[str]:
    """The answers to the two questions: as good as one model a task, and of use where it never trained."""
    mine = [row for row in pairs if row["a"] == multi(arm)]
    seen, unseen = ([row for row in mine if row["held_out"] is held] for held in (False, True))
    counts = Counter(row["verdict"] for row in seen)
    told = ", ".join(f"{word} on {counts[word]}" for word in VERDICTS if counts[word])
    said = [f"One {multi(arm)} against one {arm} a task: {told} of {len(seen)} tasks."]
    for word in VERDICTS:
        if names := [row["task"] for row in unseen if row["verdict"] == word]:
            said.append(f"{_than(multi(arm), word)} on {' and '.join(names)}, never trained on.")
    return said


def _than(arm: str, verdict: str) -> str:
    return {
        "better": f"{arm} is better than zero-shot",
        "equivalent": f"{arm} is equivalent to zero-shot",
        "worse": f"{arm} is worse than zero-shot",
        "cannot tell": f"Cannot tell whether {arm} differs from zero-shot",
    }[verdict]


def _family(count: int, looks: Sequence[int | None]) -> str:
    later = ", and by 2^k more at the k-th look at a test set" if any(looks) else ""
    return (
        f"A verdict is about one task; all {count} hold together with {100 * LEVEL:.4g} % confidence, because each has "
        f"its error rate divided by {count} (Bonferroni){later}. A task's own study judges every pair of its arms at "
        "once, which is another family and may say less or more."
    )


def _effort(folder: Path, record: Row, arm: str) -> list[Row]:
    """A row for each training: the single-task arms, then the multi-task arm; `folder` is where its cost.json lies."""
    single = [(name, row["folder"]) for name, row in record["tasks"].items() if not row["held_out"]]
    rows = [{"arm": arm, "task": n, "folder": at, **_trained(folder / at / "arms" / arm)} for n, at in single]
    together = _trained(folder / "multi" / multi(arm))
    return [*rows, {"arm": multi(arm), "task": "all together", "folder": ".", **together}]


def _trained(place: Path) -> Row:
    counts = read_json(place / "training.json")
    examples = round(counts["train_examples"] * counts["passes"])
    kept = ("train_tokens", "supervised_tokens", "steps", "best_step", "best_dev", "trainable", "saved_bytes")
    return {"examples": examples, **{name: counts[name] for name in kept}}


# ------------------------------------------------------------------------------------------------------------- page


def overview(folder: str | Path) -> Path:
    """Writes tasks.json, report.md and report.html of a finished multi-task study; returns the page.

    Raises FolderError when the folder holds none, or a file of it is missing or damaged.
    """
    folder = Path(folder)
    if not (folder / RECORD).exists():
        raise FolderError(f"{folder}: holds no {RECORD}; name a folder made by `luthier multitask`")
    shown = _shown(folder, read_json(folder / RECORD), conclude(folder))
    write_text(folder / "report.md", environment(markdown).get_template("overview.md.jinja").render(shown))
    write_text(folder / "report.html", environment(None).get_template("overview.html.jinja").render(shown))
    return folder / "report.html"


def _shown(folder: Path, record: Row, result: Row) -> Row:
    """The names that both templates know."""
    return {
        **result,
        "record": record,
        "model": record["model"],
        "prompts": _prompts(result["tasks"], record["trained"]),
        "table": _table(result),
        "minutes": [_minutes(folder / row["folder"] / "cost.json", row["arm"]) for row in result["effort"]],
        "strip": strip_of(result["pairs"], max(row["margin"] for row in result["tasks"])),
        "signs": SIGNS,
        "several_templates": any(
            len(row["templates"]) > 1 for rows in result["mixtures"].values() for row in rows.values()
        ),
        "mixture": mixture_words(record["specification"]["mixture"]),
    }


def _prompts(tasks: Sequence[Row], trained: Sequence[str]) -> list[str]:
    """The arms that train nothing. The copying baseline is left to each task's own report: each task has another."""
    known = dict.fromkeys(arm for row in tasks for arm in row["arms"])
    train = {name for arm in trained for name in (arm, multi(arm))}
    return [arm for arm in known if arm not in train and not arm.startswith("copy")]


def _table(result: Row) -> list[tuple[str, list[Row]]]:
    """(heading, a row for each task and multi-task arm): the trained tasks first, then those held out."""
    tasks = {row["task"]: row for row in result["tasks"]}
    rows = [{**pair, "means": tasks[pair["task"]]["arms"], "of": tasks[pair["task"]]} for pair in result["pairs"]]
    parts = (("trained on", False), ("held out: never trained on", True))
    return [(title, some) for title, held in parts if (some := [row for row in rows if row["held_out"] is held])]


def _minutes(cost: Path, arm: str) -> float | None:
    """Minutes of training an arm, its dev answers on the way included; None where nobody measured."""
    row = (read_json(cost)["arms"] if cost.exists() else {}).get(arm, {})
    known = [row[key] for key in ("train_seconds", "evaluate_seconds") if key in row]
    return sum(known) / 60 if known else None


def mixture_words(mixture: Row) -> str:
    """'temperature mixture, T = 2, at most 500 examples a task counted'."""
    words = [f"{mixture['kind']} mixture"]
    if mixture["temperature"] is not None:
        words.append(f"T = {mixture['temperature']:g}")
    if mixture["cap"] is not None:
        words.append(f"a task counted as at most {mixture['cap']:,} examples")
    return ", ".join(words)
