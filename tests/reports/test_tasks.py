"""The table over several tasks: what it says follows from each task's own scores, and the page from the folder."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from luthier import overview as write_overview
from luthier.errors import FolderError
from luthier.files import append_lines, read_json, write_json, write_lines
from luthier.records import Answer, Example, as_row
from luthier.reports.tasks import conclude
from luthier.results.cost import Cost
from luthier.scoring.score import score
from luthier.stats.intervals import paired
from luthier.verdicts.compare import comparison
from tests import records

UNITS = 40
ARMS = {
    "sums": ("zero-shot", "lora", "multi-lora"),
    "heads": ("zero-shot", "lora", "multi-lora"),
    "notes": ("zero-shot", "multi-lora"),
}


def answer(task: str, arm: str, number: int) -> str:
    """Of four words, as many right ones as the arm knows; multi-lora is better on sums and worse on heads."""
    right = {"zero-shot": 1, "lora": 2}.get(arm, 3 if task != "heads" else 1)
    return " ".join(["right"] * max(1, right - (number % 3 == 0)) + ["wrong"] * (4 - right))


def make_study(place: Path, task: str) -> None:
    """What a finished study holds of scores and verdicts; no model is asked."""
    examples = [Example(f"e{i}", f"{task} {i}", ("right right right right",)) for i in range(UNITS)]
    scores = {}
    for arm in ARMS[task]:
        scores[arm] = score([Answer(e.id, answer(task, arm, i)) for i, e in enumerate(examples)], examples)
        write_lines(place / "arms" / arm / "scores.jsonl", map(as_row, scores[arm]))
        records.training_record(train_examples=10, passes=2.0).write(place / "arms" / arm)
    comparison(scores, look=1).write(place)
    Cost().spent("lora", train_seconds=60.0, evaluate_seconds=30.0).write(place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("overview") / "out"
    for task in ARMS:
        make_study(made / "tasks" / task, task)
    records.training_record(train_examples=40, passes=1.0).write(made / "multi" / "multi-lora")
    records.mixture_record("sums", "heads").write(made / "multi" / "multi-lora")
    records.multitask_record(
        {task: task == "notes" for task in ARMS},
        findings=["leak: 1 of 7 <b>inputs</b>"],
        model={"name": "a | b", "precision": "fp32", "base_sha256": "0"},
    ).write(made)
    write_overview(made)
    return made


def pairs(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in read_json(folder / "tasks.json")["pairs"]}


def means(task: str, arm: str) -> list[float]:
    examples = [Example(f"e{i}", "x", ("right right right right",)) for i in range(UNITS)]
    scored = score([Answer(e.id, answer(task, arm, i)) for i, e in enumerate(examples)], examples)
    return [float(one.values["rouge1"] or 0.0) for one in scored]


def test_differences_are_paired_and_against_the_right_rival(folder: Path) -> None:
    found = pairs(folder)
    assert {task: row["b"] for task, row in found.items()} == {"sums": "lora", "heads": "lora", "notes": "zero-shot"}
    for task, row in found.items():
        differences = [x - y for x, y in zip(means(task, row["a"]), means(task, row["b"]), strict=True)]
        assert row["difference"] == pytest.approx(fmean(differences))


def test_the_interval_is_that_of_three_questions_at_the_first_look(folder: Path) -> None:
    """Bonferroni by hand: the paired interval at 1 - .05 / 2 / 3."""
    row = pairs(folder)["sums"]
    expected = paired(means("sums", row["a"]), means("sums", row["b"])).interval(1 - 0.05 / 2 / 3)
    assert (row["simultaneous_low"], row["simultaneous_high"]) == pytest.approx(expected, abs=1e-9)


def test_the_verdicts_are_counted_in_one_sentence(folder: Path) -> None:
    result = read_json(folder / "tasks.json")
    assert {task: row["verdict"] for task, row in pairs(folder).items()} == {
        "sums": "better", "heads": "worse", "notes": "better",
    }  # fmt: skip
    assert result["sentences"] == [
        "One multi-lora against one lora a task: better on 1, worse on 1 of 2 tasks.",
        "multi-lora is better than zero-shot on notes, never trained on.",
    ]
    assert result["comparisons"] == 3 and "divided by 3" in result["family"]
    assert pairs(folder)["heads"]["in_study"] == "worse"


def test_effort_counts_what_each_training_saw(folder: Path) -> None:
    rows = [(row["arm"], row["task"], row["examples"]) for row in read_json(folder / "tasks.json")["effort"]]
    assert rows == [("lora", "sums", 20), ("lora", "heads", 20), ("multi-lora", "all together", 40)]


def test_the_page_opens_offline_and_escapes_what_it_was_given(folder: Path) -> None:
    page, text = ((folder / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert "<b>inputs</b>" not in page and "&lt;b&gt;inputs" in page
    assert "<script" not in page and not re.search(r'(src|href)="(https?:)?//', page)
    assert "a \\| b" in text and "<b>" not in text
    for task in ARMS:
        assert f'href="tasks/{task}/report.html"' in page and f"| {task} (" in text
    assert "1.5" in page  # minutes of a single-task training: 60 + 30 s


def test_the_same_folder_gives_the_same_bytes_and_no_clock_in_tasks_json(folder: Path) -> None:
    names = ("tasks.json", "report.html", "report.md")
    before = [(folder / name).read_bytes() for name in names]
    append_lines(folder / "log.jsonl", [{"time": "later"}])
    write_overview(folder)
    assert [(folder / name).read_bytes() for name in names] == before
    assert "seconds" not in (folder / "tasks.json").read_text()


def test_the_report_verb_writes_it_again_without_torch(folder: Path) -> None:
    code = f"import sys, luthier; luthier.overview({str(folder)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_report_knows_both_kinds_of_folder(folder: Path, luthier_says: Callable[..., Any]) -> None:
    said = luthier_says("report", folder)
    assert (said.code, said.out.strip()) == (0, f"Report: {folder / 'report.html'}")


def test_what_is_no_multi_task_study_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FolderError, match=r"holds no multitask\.json"):
        write_overview(tmp_path)
    record = read_json(folder / "multitask.json")
    record["tasks"]["sums"]["folder"] = "../../elsewhere"
    write_json(tmp_path / "multitask.json", record)
    with pytest.raises(FolderError, match="lies outside this folder"):
        conclude(tmp_path)
