"""What the documents say is run: Python blocks as they stand, commands on a tiny model under the real one's name."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.commands import ROOT, blocks, commands_of, type_in

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON = [(page.name, code) for page in PAGES for code in blocks(page, "python")]


@pytest.mark.parametrize("page, code", PYTHON, ids=[name for name, _ in PYTHON])
def test_python_blocks_run(page: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, page, "exec"), {})
    if page == "README.md":
        assert capsys.readouterr().out.startswith("Ship ours: its rouge1 is ")


def write_visits(path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["dialogue", "note"])
        for i in range(320):
            rows.writerow([f"Doctor: Is it day {i}?\nPatient: It is worse.", f"Worse since day {i}."])


def write_answers(path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["dialogue_id", "summary", "ours", "theirs"])
        rows.writerows([[i // 2, f"They meet at {i}.", f"They meet at {i}.", "They talk."] for i in range(60)])


def write_talks(path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["dialogue", "summary", "title"])
        rows.writerows([f"Ann: Lunch at {i}?\nBen: Fine.", f"They have lunch at {i}.", "Lunch"] for i in range(240))


def test_the_commands_of_the_readme_run(newcomer: Path) -> None:
    """In order, as a newcomer would type them; `ask` and `answer` get the folder that `study` made."""
    write_visits(newcomer / "visits.csv")
    with open(newcomer / "more.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["dialogue"], *([f"Doctor: Is it day {i}?\nPatient: Worse."] for i in range(3))])
    write_answers(newcomer / "answers.csv")
    commands = commands_of(ROOT / "README.md")
    assert [verb for verb, *_ in commands] == ["init", "check", "show", "study", "ask", "answer", "compare"]
    for verb, *arguments in commands:
        if verb in ("ask", "answer"):
            arguments[0] = str(next((newcomer / "studies").iterdir()))
        type_in([verb, *arguments])
    assert len((newcomer / "notes.jsonl").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.slow
def test_the_commands_of_several_tasks_run(newcomer: Path) -> None:
    write_visits(newcomer / "visits.csv")
    write_talks(newcomer / "talks.csv")
    commands = commands_of(ROOT / "docs" / "tasks.md")
    assert [verb for verb, *_ in commands] == ["init", "init", "init", "multitask", "report", "ask"]
    for command in commands:
        type_in(command)
    assert (newcomer / "studies" / "talks" / "tasks.json").exists()


def test_the_commands_of_the_page_on_data_run(newcomer: Path) -> None:
    """Each on a file as people have them."""
    wishes = "".join(
        f"Gast {i} fragt, ob es für 0,50 € Handtücher gibt;Gast {i} will Handtücher\r\n" for i in range(40)
    )
    (newcomer / "wishes.csv").write_bytes(f"wish;summary\r\n{wishes}".encode("cp1252"))
    tickets = "".join(f'{i}\tIs the 5" screen of room {i} broken?\t{i % 2}\n' for i in range(40))
    (newcomer / "tickets.tsv").write_text(f"id\ttext\tkind\n{tickets}", encoding="utf-8")
    chats = [
        [{"role": "user", "content": f"Where is room {i}?"}, {"role": "assistant", "content": f"Room {i} is up."}]
        for i in range(40)
    ]
    (newcomer / "chats.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    rows = [{"context": f"Room {i} is up.", "question": f"Where is {i}?", "answer": "It is up."} for i in range(40)]
    (newcomer / "questions.json").write_text(json.dumps(rows, indent=1))
    right = "".join(f'Room {i} is "up\tRoom {i} is up\n' for i in range(40))
    (newcomer / "answers.txt").write_text(f"right\tours\n{right}", encoding="utf-16")
    commands = commands_of(ROOT / "docs" / "data.md")
    assert [verb for verb, *_ in commands] == ["init", "check", "init", "init", "init", "score"]
    for command in commands:
        type_in(command)


def test_the_make_targets_of_the_readme_are_there() -> None:
    for line in "\n".join(blocks(ROOT / "README.md", "sh")).splitlines():
        if line.startswith("make "):
            subprocess.run([*shlex.split(line, comments=True), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_every_file_named_in_the_readme_is_there() -> None:
    for name in re.findall(r"`((?:docs/)?[\w-]+(?:/|\.md))`", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name
