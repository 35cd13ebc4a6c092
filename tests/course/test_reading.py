"""What a learner has done is counted by row, outputs are made once, and his own copy is never written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.course import deck, reading
from luthier.course.desk import ask, begin_desk, predict
from luthier.course.reading import asked_in, copy_for_learners, outputs_of, standings
from luthier.course.source import Lesson, parse

SMALL = parse("# %% [markdown]\n# # 9.9 Small\n\n# %%\nprint(6 * 7)\n", "small")


def test_a_desk_begins_once_and_counts_the_last_answer_of_each_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    desk = begin_desk()
    assert begin_desk() == desk and desk.salt != begin_desk(tmp_path.parent / "other").salt
    asked = desk.question("1.18/memory")
    for answer in (asked.answer * 50, asked.answer):
        ask("1.18/memory", f"{answer:.4g}")
    predict("1.18/gigabytes", 4)
    one = next(one for one in standings(desk) if one.row.id == "1.18")
    assert (one.predicted, one.questions, one.answered, one.right) == (True, 3, 1, 1)
    assert all(not one.predicted and not one.answered for one in standings(desk) if one.row.id != "1.18")


def test_outputs_are_kept_until_the_lesson_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def count(lesson: Lesson) -> list[list[reading.Output]]:
        runs.append(lesson.name)
        return made(lesson)

    made = reading.recorded
    monkeypatch.setattr(reading, "recorded", count)
    desk = begin_desk(tmp_path)
    first = outputs_of(SMALL, desk)
    assert first[1][0].text == "42\n" and outputs_of(SMALL, desk) == first and len(runs) == 1
    outputs_of(parse(SMALL.script().replace("7", "8"), "small"), desk)
    assert len(runs) == 2
    kept = sorted((tmp_path / ".luthier-course" / "outputs").iterdir())
    assert len(kept) == 2
    for path in kept:
        path.write_text("[", encoding="utf-8")
    assert outputs_of(SMALL, desk) == first and len(runs) == 3


@pytest.mark.parametrize("ends", ["raise ValueError('no room')", "import os; os._exit(9)"])
def test_a_run_that_failed_is_not_kept(ends: str, tmp_path: Path) -> None:
    desk = begin_desk(tmp_path)
    again = f"import pathlib\nif not pathlib.Path({str(tmp_path / 'there')!r}).exists():\n    {ends}\nprint(42)"
    lesson = parse(f"# %% [markdown]\n# # 9.9 Small\n\n# %%\nprint(1)\n\n# %%\n{again}\n\n# %%\nprint(2)\n", "small")
    failed = outputs_of(lesson, desk)
    assert [one.kind for one in failed[2]] == ["error"] and failed[1][0].text == "1\n" and failed[3] == []
    assert ("no room" if "no room" in ends else "ended here, with code 9") in failed[2][0].text
    (tmp_path / "there").touch()
    assert [cell[0].text for cell in outputs_of(lesson, desk)[1:]] == ["1\n", "42\n", "2\n"]


def test_what_a_lesson_asks_is_read_from_its_cells() -> None:
    lesson = deck.lesson_of(deck.row_of("1.18"))
    asked = [item for cell in lesson.tagged("question") for item in asked_in(cell, "ask")]
    assert asked == ["1.18/factor", "1.18/memory"]
    assert [item for cell in lesson.tagged("predict") for item in asked_in(cell, "predict")] == ["1.18/gigabytes"]


def test_a_copy_is_made_once(tmp_path: Path) -> None:
    lesson = deck.lesson_of(deck.row_of("1.18"))
    path = copy_for_learners(lesson, tmp_path)
    assert "write this function" in path.read_text(encoding="utf-8")
    path.write_text("mine", encoding="utf-8")
    assert copy_for_learners(lesson, tmp_path).read_text(encoding="utf-8") == "mine"
