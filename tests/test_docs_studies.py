"""The pages whose commands run whole studies, on tiny models: docs/methods.md, answering.md, widths.md and
classification.md."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from luthier.files import write_lines
from tests.commands import CSV, ROOT, commands_of, type_in

pytestmark = pytest.mark.slow


def test_the_commands_of_the_page_on_methods_run(newcomer: Path) -> None:
    """In order, on a few rows of the files that the page names."""
    for name, count in (("train", 60), ("dev", 20)):
        rows = [{"id": f"{name}{i}", "dialogue": f"Ann: Lunch at {i}?", "summary": "Lunch."} for i in range(count)]
        write_lines(newcomer / f"{name}.jsonl", rows)
    commands = commands_of(ROOT / "docs" / "methods.md")
    assert [verb for verb, *_ in commands] == ["init", *["study"] * (len(commands) - 1)]
    type_in(commands[0])
    for command in commands[1:]:
        type_in([*command, "--train", "8", "--dev", "2", "--test", "4"])


def test_the_commands_of_the_page_on_answering_run(newcomer: Path) -> None:
    study, *more = commands_of(ROOT / "docs" / "answering.md")
    type_in([*study, "--train", "8", "--dev", "2", "--test", "4", "--out", "studies/mine"])
    assert len(list((newcomer / "studies" / "mine" / "arms").glob("lora*"))) == 3
    assert [verb for verb, *_ in more] == ["answer", "score"]
    (newcomer / "visits.csv").write_text(CSV.replace("summary", "note", 1), encoding="utf-8")
    for words in more:
        type_in(words)


def test_the_commands_of_the_page_on_widths_run(newcomer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32: a base of bf16 rounds an update that is merged, and the words of random weights do not survive it."""
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    pytest.importorskip("bitsandbytes", reason="pip install 'luthier[widths]'")
    study, *merges = commands_of(ROOT / "docs" / "widths.md")
    assert [verb for verb, *_ in (study, *merges)] == ["study", "merge", "merge"]
    type_in([*study, "--train", "8", "--dev", "2", "--test", "4", "--out", "studies/mine"])
    for merge in merges:
        type_in(merge)
        assert (newcomer / merge[-1] / "config.json").exists()


def write_tickets(folder: Path) -> None:
    """60 messages in three queues, and two tools' answers to them."""
    queues = ("billing", "delivery", "returns")
    with open(folder / "tickets.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["message", "queue"])
        rows.writerows([f"Message {i} about {queues[i % 3]}.", queues[i % 3]] for i in range(90))
    with open(folder / "answers.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["queue", "ours", "theirs"])
        rows.writerows([queues[i % 3], queues[i % 3], queues[0]] for i in range(60))


def test_the_commands_of_the_page_on_classification_run(newcomer: Path) -> None:
    """In order, on tiny models; what is asked of the dialogues that ship is asked of a few of them."""
    write_tickets(newcomer)
    commands = commands_of(ROOT / "docs" / "classification.md")
    assert [verb for verb, *_ in commands[:5]] == ["init", "check", "study", "ask", "compare"]
    for verb, *arguments in commands:
        if verb == "ask":
            arguments[0] = str(next((newcomer / "studies").iterdir()))
        if arguments[0].startswith("dialogues:"):
            arguments += ["--train", "16", "--dev", "4", "--test", "20"]
        type_in([verb, *arguments])
