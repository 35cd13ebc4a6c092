"""A record is written as one line and read back as it was; what is no such record is refused by field."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import FolderError
from luthier.files import write_lines
from luthier.records import Answer, Example, Prompt, Score, Vote, as_row
from luthier.results.record import read_lines_of

RECORDS = [
    Example("a", "in\n\u2028put", ("r", "ü"), {"n": 1, "deep": {"x": [None, True]}}, "u", 3),
    Prompt("a", "text", (1, 2), (3,), ("s",), 1, 2, None),
    Answer("a", "said", (1, 2), "end", -1.5),
    Score("a", "u", {"rouge1": 0.5, "bleu": None}, {"bleu": [1, 2]}, {"bleu": "why"}, "max", 2),
    Vote("a", "x", "y", "me", "tie", seconds=1.5, replies=("1", "2")),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_read_back_as_it_was_written(record: object, tmp_path: Path) -> None:
    write_lines(tmp_path / "x.jsonl", [as_row(record)] * 2)
    assert read_lines_of(type(record), tmp_path / "x.jsonl") == [record, record]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.integers(0, 2**31)))
def test_any_text_survives_its_line(text: str, tokens: list[int]) -> None:
    answer = Answer(text, text, tuple(tokens))
    with TemporaryDirectory() as folder:
        write_lines(Path(folder) / "x.jsonl", [as_row(answer)])
        assert read_lines_of(Answer, Path(folder) / "x.jsonl") == [answer]


def test_an_example_is_usable_when_it_can_be_asked_and_judged() -> None:
    assert Example("a", "in", ("r",)).is_usable
    assert not Example("a", " \n", ("r",)).is_usable and not Example("a", "in", ()).is_usable


def test_an_example_is_its_own_unit_unless_it_names_one() -> None:
    assert Example("a", "x", ()).unit == "a" and Example("a", "x", (), unit="u").unit == "u"


def test_the_winner_and_the_item_of_a_vote_do_not_hang_on_the_sides() -> None:
    one, other = Vote("a", "x", "y", "me", "first"), Vote("a", "y", "x", "me", "second")
    assert one.winner == other.winner == "x" and one.item == other.item
    assert Vote("a", "x", "y", "me", "tie").winner is None


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_damaged_line_is_refused_by_file_line_and_field(record: object, tmp_path: Path) -> None:
    good, path = as_row(record), tmp_path / "x.jsonl"
    first = next(iter(good))
    for bad in (good | {"unknown": 1}, good | {first: None}, {k: v for k, v in good.items() if k != first}):
        write_lines(path, [good, bad, good])
        with pytest.raises(FolderError, match=r"x.jsonl: line 2 is damaged: .*'") as error:
            read_lines_of(type(record), path)
        assert "\n" not in str(error.value)
    path.write_text('{"id": 1')  # torn, as a kill leaves it
    assert read_lines_of(type(record), path) == []
