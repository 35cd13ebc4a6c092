"""A lesson's source is read into cells, written back the same, emptied for learners, or refused by its line."""

from __future__ import annotations

import ast

import pytest

from luthier.course import deck
from luthier.course.source import Lesson, calls_of, parse
from luthier.errors import DataError

SOURCE = '''# %% [markdown]
# # 9.9 A title
#
# Text.

# %% tags=["hole"]
def double(x: int) -> int:
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% tags=["test"]
assert double(2) == 4, "double: two by two"
### BEGIN HIDDEN TESTS
assert double(3) + double(0) == 6, "double: three"
### END HIDDEN TESTS
'''


def lesson() -> Lesson:
    return parse(SOURCE, "lesson")


def test_cells_have_their_text_their_tags_and_their_line() -> None:
    read = lesson()
    assert [cell.markdown for cell in read.cells] == [True, False, False]
    assert read.title == "9.9 A title" and read.cells[0].text == "# 9.9 A title\n\nText."
    assert [cell.line for cell in read.cells] == [1, 6, 13] and read.holes == ("double",)


def test_what_is_read_is_written_again() -> None:
    assert parse(lesson().script(), "lesson").script() == lesson().script() == SOURCE
    for row in deck.rows():
        if row.done:
            read = deck.lesson_of(row)
            same = parse(read.script(), read.name)
            assert [(c.markdown, c.tags, c.text) for c in same.cells] == [
                (c.markdown, c.tags, c.text) for c in read.cells
            ]


def test_a_learner_gets_neither_solutions_nor_hidden_tests() -> None:
    given = lesson().for_learners().script()
    assert "2 * x" not in given and "three" not in given and "two by two" in given
    assert 'raise NotImplementedError("double: write this function")' in given
    ast.parse(given)


def test_a_check_knows_its_hole_its_message_and_whether_it_is_hidden() -> None:
    first, second = lesson().checks()
    assert (first.hole, first.message, first.hidden) == ("double", "double: two by two", False)
    assert second.hidden and len(calls_of(second.statement, "double")) == 2


def test_a_hole_without_its_solution_is_named() -> None:
    assert "2 * x" not in lesson().stub("double") and "def double" in lesson().stub("double")
    with pytest.raises(KeyError):
        lesson().stub("triple")


@pytest.mark.parametrize(
    "text, says",
    [
        ("x = 1\n# %%\n", "line 1: text before the first"),
        ("", "it has no cell"),
        ('# %% tags=["hole"]\nx = 1\n', "line 1: a hole is one function"),
        ('# %% tags=["hloe"]\nx = 1\n', "the tag 'hloe' is not one of"),
        ("# %% [markdown]\nText without its sign\n", "each line begins with '# '"),
        ('# %%\n### BEGIN SOLUTION\nx = 1\n', "has no one '### END SOLUTION'"),
    ],
)  # fmt: skip
def test_what_is_no_lesson_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse(text, "lesson")


@pytest.mark.parametrize(
    "line, says",
    [("assert 1 == 1", "calls a hole's function"), ("assert double(1) == 2, 'wrong'", "begins with 'double: '")],
)
def test_an_assert_of_a_test_cell_names_its_hole(line: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse(SOURCE + line, "lesson").checks()
