"""The verbs of the course, as they are typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from luthier.cli import exits
from luthier.course import deck, reading
from luthier.course.desk import find_desk
from luthier.course.recorded import Output
from luthier.course.source import Lesson
from tests.commands import Said, type_in


@pytest.fixture
def quick(newcomer: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to type in, where a lesson has outputs at once."""

    def at_once(lesson: Lesson) -> list[list[Output]]:
        return [[] if cell.markdown else [Output("text", f"ran {cell.line}\n")] for cell in lesson.cells]

    monkeypatch.setattr(reading, "recorded", at_once)
    return newcomer


def test_without_a_row_it_shows_where_one_stands(newcomer: Path, luthier_says) -> None:
    type_in(["learn", "--json"])
    type_in(["quiz"])
    said = luthier_says("learn").out
    assert re.search(r"sagemaker +The same study", said), "a row's name and its title are two words"
    lab, both = luthier_says("lab", "2").out, luthier_says("lab").out
    assert "Next: luthier learn lab2.1a" in lab and "luthier study dialogues" in lab and "lab1.1" not in lab
    assert "Next: luthier learn lab1.1" in both and both.count("luthier study dialogues") == 2
    assert not (newcomer / ".luthier-course").exists(), "looking keeps nothing"


def test_a_lesson_asks_first_and_runs_then(quick: Path) -> None:
    type_in(["learn", "1.18"], keys="30\nno number\n3.3\n12\n")
    lines = find_desk(quick).lines()
    assert [line["kind"] for line in lines] == ["prediction", "answer", "answer"] and lines[0]["value"] == "30"
    assert "write this function" in (quick / "row_1_18_compute.py").read_text(encoding="utf-8")


def test_a_page_and_a_notebook_are_written_and_a_notebook_never_over_another(quick: Path, luthier_says) -> None:
    type_in(["learn", "1.18", "--page"])
    assert "ran " in (quick / "row_1_18_compute.html").read_text(encoding="utf-8")
    type_in(["learn", "1.18", "--notebook"])
    assert json.loads((quick / "row_1_18_compute.ipynb").read_text(encoding="utf-8"))["nbformat"] == 4
    said = luthier_says("learn", "1.18", "--notebook")
    assert said.code == 2 and "is there already" in said.err


def test_a_quiz_is_marked_and_the_next_one_has_other_numbers(newcomer: Path, luthier_says) -> None:
    def questions() -> list[str]:
        return [one["text"] for one in json.loads(luthier_says("quiz", "1", "--json").out)]

    first = questions()
    type_in(["quiz", "1"], keys="1\na\n" * 200)
    assert len(first) >= 4 and questions() != first
    kinds = [line["kind"] for line in find_desk(newcomer).lines()]
    assert kinds[0] == "quiz" and kinds.count("answer") == len(first)
    type_in(["quiz", "1"], keys="\n" * 200)
    after = [line["kind"] for line in find_desk(newcomer).lines()]
    assert after == [*kinds, "quiz"]  # an empty line skips a question, and is no answer


def test_quizzes_are_listed_with_what_was_right(newcomer: Path, luthier_says) -> None:
    assert [one["takes"] for one in json.loads(luthier_says("quiz", "--json").out)] == [0, 0]
    begun = luthier_says("quiz", "1").out  # nothing is typed
    assert begun.splitlines()[0].endswith("ends the quiz.") and "questions." in begun.splitlines()[0]
    assert [one["takes"] for one in json.loads(luthier_says("quiz", "--json").out)] == [1, 0]


def test_a_lab_s_job_is_a_folder_and_what_to_type(newcomer: Path, luthier_says) -> None:
    said = luthier_says("lab", "job", "--sagemaker", "a job")
    assert said.code == 0 and "SAGEMAKER_BASE_DIR='a job' luthier sagemaker-train" in said.out
    assert (newcomer / "a job" / "input" / "data" / "task" / "task.toml").is_file()
    for words, sentence in (
        (["job"], "a job needs its folder"),
        (["1", "--sagemaker", "b"], "a job needs its folder"),
        (["3"], "there is no lab '3'"),
        (["job", "--sagemaker", "a job"], "there is something already"),
    ):
        said = luthier_says("lab", *words)
        assert said.code in exits.CODES and said.code and sentence in said.err
    assert not (newcomer / "b").exists()


def test_what_is_not_there_is_a_sentence(newcomer: Path, luthier_says) -> None:
    said: Said = luthier_says("learn", "1.99")
    assert said.code == 2 and "there is no row '1.99'" in said.err
    if still := next((row for row in deck.rows() if not row.done), None):
        assert "is open" in luthier_says("learn", still.id).err
    (newcomer / ".luthier-course").mkdir()
    (newcomer / ".luthier-course" / "learner.json").write_text("{}", encoding="utf-8")
    said = luthier_says("quiz", "1")
    assert said.code in exits.CODES and "names no learner" in said.err


def test_a_kernel_is_made_where_it_is_asked_for(newcomer: Path) -> None:
    pytest.importorskip("ipykernel", reason="pip install 'luthier[course]'")
    type_in(["kernel", "--prefix", "here"])
    assert list(newcomer.glob("here/share/jupyter/kernels/luthier/kernel.json"))


def test_a_class_from_its_tickets_to_its_marks(newcomer: Path, monkeypatch: pytest.MonkeyPatch, luthier_says) -> None:
    (newcomer / "names.txt").write_text("ann\n\nben\n", encoding="utf-8")
    type_in(["class", "issue", "mine", "--file", "names.txt", "--row", "1.18"])
    (newcomer / "desk").mkdir()
    monkeypatch.chdir(newcomer / "desk")
    type_in(["learn", "--ticket", "../mine/tickets/ann.json"])
    said = luthier_says("hand-in")
    assert ".luthier-course/learner.json" in said.out and "hand this file in" in said.out
    monkeypatch.chdir(newcomer)
    type_in(["class", "mark", "mine", "desk"])
    (sheet,) = json.loads(luthier_says("class", "show", "mine", "--json").out)
    assert sheet["learner"] == "ann" and [one["passed"] for one in sheet["holes"]] == [0]
    type_in(["class", "show", "mine"])
    type_in(["class", "export", "--week", "1", "--variants", "2", "--out", "week.xml"])
    assert "multichoice" in (newcomer / "week.xml").read_text(encoding="utf-8")
    said = luthier_says("class", "mark", "mine", "names")
    assert said.code == 0 and "names: " in said.out  # a file that is not there is a hand-in that cannot be read
