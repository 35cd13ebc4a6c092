"""The deck lists every row of the syllabus once, and finds what a row has."""

from __future__ import annotations

import pytest

from luthier.course import deck
from luthier.errors import SettingsError


def test_all_54_rows_and_sagemaker_stand_in_order() -> None:
    rows = deck.rows()
    assert len(rows) == 55 and rows[-1].id == "sagemaker"
    for week, lessons, steps in ((1, 21, 7), (2, 15, 11)):
        own = [row for row in rows if row.week == week and row.id != "sagemaker"]
        assert [row.id for row in own[:lessons]] == [f"{week}.{n}" for n in range(1, lessons + 1)]
        assert len(own) == lessons + steps and all(row.id.startswith(f"lab{week}.") for row in own[lessons:])
    assert len({row.id for row in rows}) == 55


def test_a_row_that_is_done_has_its_files_and_an_open_one_says_that_it_is_open() -> None:
    for row in deck.rows():
        questions = deck.HERE / "questions" / f"{row.lesson}.py"
        assert row.path.is_file() == questions.is_file() == row.done, row.id
    written = {path.stem for path in deck.LESSONS.glob("*.py")}
    assert written <= {row.lesson for row in deck.rows()}
    if still := next((row for row in deck.rows() if not row.done), None):
        assert deck.questions_of(still) == ()
        with pytest.raises(SettingsError, match="is open"):
            deck.lesson_of(still)


def test_a_question_is_found_by_row_and_name() -> None:
    assert deck.question_of("1.18/memory").name == "memory"
    assert {one.row for one in deck.every_question(1)} <= {row.id for row in deck.rows() if row.week == 1}
    with pytest.raises(SettingsError, match=r"row 1\.18 has 1\.18/factor"):
        deck.question_of("1.18/nothing")
    with pytest.raises(SettingsError, match=r"there is no row '1\.99'"):
        deck.question_of("1.99/nothing")


def test_a_row_that_is_done_without_questions_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    row = deck.row_of("1.18").model_copy(update={"lesson": "row_9_9_none"})
    monkeypatch.setattr(deck, "rows", lambda: (row,))
    with pytest.raises(SettingsError, match=r"row 1\.18 is done .* questions/row_9_9_none\.py is not there"):
        deck.questions_of(row)


@pytest.mark.parametrize("said", ["lab1.2", "lab-1.2", "Lab 1.2", "LAB_1.2"])
def test_a_row_is_found_as_people_write_it(said: str) -> None:
    assert deck.row_of(said).id == "lab1.2"
