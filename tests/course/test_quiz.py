"""A quiz has two questions of each row, half of them computed, and another take has other numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.course import deck
from luthier.course.desk import Desk
from luthier.course.question import Question
from luthier.course.quiz import QuizStanding, draw_quiz, result, standing, takes


@pytest.mark.parametrize("week", [1, 2])
def test_two_of_each_row_and_half_of_them_computed(week: int) -> None:
    drawn = draw_quiz(week, Desk("salt", "ann"))
    rows = [row.id for row in deck.rows() if row.week == week and row.done]
    assert sorted(one.question.row for one in drawn) == sorted(rows * 2)
    assert sum(isinstance(one.question, Question) for one in drawn) * 2 >= len(drawn)
    if all(row.done for row in deck.rows() if row.week == week):
        assert len(drawn) >= 20


def test_takes_and_learners_have_other_numbers_and_the_same_one_has_the_same() -> None:
    def texts(desk: Desk, take: int) -> set[str]:
        return {one.text for one in draw_quiz(1, desk, take) if isinstance(one.question, Question)}

    ann, ben = Desk("salt", "ann"), Desk("salt", "ben")
    assert texts(ann, 0) == texts(ann, 0)
    assert not texts(ann, 0) & texts(ann, 1) and not texts(ann, 0) & texts(ben, 0)


def test_the_result_names_misconceptions_and_lessons(tmp_path: Path) -> None:
    drawn = [one for one in draw_quiz(1, Desk("salt", "ann")) if isinstance(one.question, Question)][:3]
    misconception, value = next(iter(drawn[0].wrong.items()))
    marks = [drawn[0].mark(str(value)), drawn[1].mark(str(drawn[1].answer))]
    lines = result(drawn, marks)
    assert lines[0] == "1 of 2 are right. 1 were not answered." and misconception in lines[1]
    assert lines[-1] == f"Lessons to look at again: {drawn[0].question.row}."
    skipped = [drawn[0].mark(""), *marks[1:]]
    assert result(drawn, skipped) == ["1 of 1 are right. 2 were not answered."]
    desk = Desk("salt", "ann", tmp_path)
    assert takes(1, desk) == 0
    desk.keep(kind="quiz", week=1)
    assert (takes(1, desk), takes(2, desk)) == (1, 0)


def test_a_standing_is_of_the_last_take(tmp_path: Path) -> None:
    desk = Desk("salt", "ann", tmp_path)
    assert standing(1, desk) == QuizStanding(1, 0, 0, 0)
    for take, rights in ((0, (True, True)), (1, (True, False))):
        desk.keep(kind="quiz", week=1, items=["1.1/a", "1.2/b", "1.3/c"])
        for item, right in zip(("1.1/a", "1.2/b"), rights, strict=True):
            desk.keep(kind="answer", item=item, take=take, right=right)
    desk.keep(kind="answer", item="1.3/c", right=True)  # in a lesson, and not in the quiz
    assert standing(1, desk) == QuizStanding(1, 2, 3, 1)
    assert standing(2, desk).takes == 0
