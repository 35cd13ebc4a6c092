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
from luthier.reports.tasks import _sentences, conclude, mixture_words
from luthier.scoring.score import score
from luthier.stats.intervals import paired

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
    from luthier.verdicts.compare import compare

    examples = [Example(f"e{i}", f"{task} {i}", ("right right right right",)) for i in range(UNITS)]
    scores = {}
    for arm in ARMS[task]:
        scores[arm] = score([Answer(e.id, answer(task, arm, i)) for i, e in enumerate(examples)], examples)
        write_lines(place / "arms" / arm / "scores.jsonl", map(as_row, scores[arm]))
        write_json(place / "arms" / arm / "training.json", TRAINING)
    write_json(place / "compare.json", compare(scores, look=1))
    write_json(place / "cost.json", {"arms": {"lora": {"train_seconds": 60.0, "evaluate_seconds": 30.0}}})


TRAINING = {
    "train_examples": 10, "passes": 2.0, "train_tokens": 400, "supervised_tokens": 80, "steps": 3, "best_step": 2,
    "best_dev": 0.5, "trainable": 7, "saved_bytes": 2_000_000,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("overview") / "out"
    for task in ARMS:
        make_study(made / "tasks" / task, task)
    write_json(made / "multi" / "multi-lora" / "training.json", TRAINING | {"train_examples": 40, "passes": 1.0})
    row = {"available": 10, "rate": 0.5, "drawn": 20, "distinct": 10, "passes": 2.0, "tokens": 400}
    seen = row | {"supervised_tokens": 80, "templates": {"plain": 12, "question": 8}}
    write_json(made / "multi" / "multi-lora" / "mixture.json", {"sums": seen, "heads": seen})
    mixture = {"kind": "temperature", "temperature": 2.0, "cap": 500, "templates": None}
    record = {
        "specification": {"mixture": mixture, "effort": "together"},
        "trained": ["lora"],
        "tasks": {t: {"folder": f"tasks/{t}", "held_out": t == "notes"} for t in ARMS},
        "findings": ["leak: 1 of 7 <b>inputs</b>"],
        "command": "luthier multitask sums heads --held-out notes",
        "model": {"name": "a | b", "precision": "fp32", "base_sha256": "0"},
        "versions": {}, "machine": {}, "commit": None, "dirty": False, "status": "done",
    }  # fmt: skip
    write_json(made / "multitask.json", record)
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


def test_no_answer_is_no_answer() -> None:
    rows = [
        {"a": "multi-lora", "b": "lora", "task": "sums", "held_out": False, "verdict": "cannot tell"},
        {"a": "multi-lora", "b": "zero-shot", "task": "notes", "held_out": True, "verdict": "cannot tell"},
    ]
    assert _sentences("lora", rows) == [
        "One multi-lora against one lora a task: cannot tell on 1 of 1 tasks.",
        "Cannot tell whether multi-lora differs from zero-shot on notes, never trained on.",
    ]


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


def test_a_mixture_is_said_in_words() -> None:
    given = {"kind": "temperature", "temperature": 2.0, "cap": 500, "templates": None}
    assert mixture_words(given) == "temperature mixture, T = 2, a task counted as at most 500 examples"
    assert mixture_words(given | {"kind": "equal", "temperature": None, "cap": None}) == "equal mixture"
