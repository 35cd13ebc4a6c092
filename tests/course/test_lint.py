"""A lesson that lacks a part, or says a result that no cell holds, is named by its line."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from luthier.course import deck
from luthier.course.lint import problems, results_in, sentences_of
from luthier.course.source import parse

SOURCE = deck.row_of("1.18").path.read_text(encoding="utf-8")
WRONG = dict(deck.wrong_solutions_of("row_1_18_compute"))


def found(text: str) -> list[str]:
    return problems(parse(text, "lesson"), WRONG)


def test_the_lesson_as_it_is_has_no_problem() -> None:
    assert found(SOURCE) == []


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("take 14 GB", "take 15 GB", "15 stands in the text and in no claim cell"),
        ("3.140625. Three", "3.1416. Three", "3.1416 stands in the text and in no claim cell"),
        ("4,200 GB. Both", "4,300 GB. Both", "4300 stands in the text"),
        ("# # 1.18", "# ## 1.18", "begins with '# '"),
        ("## What this does not show", "## The end", "the last cell"),
        ('tags=["predict"]', 'tags=["dials"]', "no cell with the tag 'predict'"),
        ("### BEGIN HIDDEN TESTS\n", "", "has no one '### END HIDDEN TESTS'"),
        ("assert in_all == 24\n", "", None),
        ("You need no model for it.", "You need " + "no " * 30 + "model.", "a sentence has 33 words"),
    ],
)
def test_what_is_missing_or_said_without_a_claim_is_named(old: str, new: str, says: str | None) -> None:
    assert old in SOURCE
    try:
        said = "\n".join(found(SOURCE.replace(old, new)))
    except Exception as problem:
        said = str(problem)
    assert said == "" if says is None else says in said


def test_a_hole_needs_hidden_checks_and_two_wrong_solutions() -> None:
    lesson = parse(SOURCE, "lesson")
    assert problems(lesson, {}) == ["the hole training_bytes needs two planted wrong solutions"]
    assert "which is no hole" in problems(lesson, {**WRONG, "other": ()})[0]
    start, end = (
        SOURCE.index("### BEGIN HIDDEN"),
        SOURCE.index("### END HIDDEN TESTS\n") + len("### END HIDDEN TESTS\n"),
    )
    assert "needs a check that learners see and a hidden one" in found(SOURCE[:start] + SOURCE[end:])[0]


def test_a_planted_false_claim_fails_when_the_lesson_runs(tmp_path: Path) -> None:
    lesson = parse(SOURCE, "lesson")
    first = next(at for at, cell in enumerate(lesson.cells) if cell.has("claim"))
    text = "\n".join(cell.text for cell in lesson.cells[: first + 1] if not cell.markdown)
    script = tmp_path / "script.py"
    script.write_text(text, encoding="utf-8")
    runpy.run_path(str(script))
    script.write_text(text.replace("in_all == 24", "in_all == 25"), encoding="utf-8")
    with pytest.raises(AssertionError):
        runpy.run_path(str(script))


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("It takes 24 GB, or 4,200 GB.", ["24", "4200"]), ("1.41 % of them", ["1.41"]), ("SmolLM2-135M in fp32", []),
        ("## 1.18 What training takes", []), ("as `0.1` says", []), ("see [Devlin 2019]", []), ("1. first", []),
        ("T5 and int8 at 0.5.", ["0.5"]), ("10 to 15 minutes", ["10", "15"]),
    ],
)  # fmt: skip
def test_which_numbers_of_a_text_are_results(text: str, numbers: list[str]) -> None:
    assert results_in(text) == numbers


def test_sentences() -> None:
    assert sentences_of("One. Two!\n- three\n- four: five") == ["One.", "Two!", "- three", "- four:", "five"]
