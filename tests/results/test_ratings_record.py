"""What rating writes is read back as types and written again as the same bytes; damage and newer formats are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.files import append_lines, read_json, write_json, write_lines
from luthier.rating.ballot import open_ballot
from luthier.rating.result import result
from luthier.records import Vote, as_row
from luthier.results.ratings_record import VOTES_FILE, RatingPlan, Ratings, VoteLine
from luthier.results.record import read_lines_of
from tests.rated import at_random, make_study, rate_all

ARMS = ["copy-3", "zero-shot", "lora"]


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By two people and a machine that turns with the sides and sometimes says nothing."""
    folder = make_study(tmp_path_factory.mktemp("rated") / "study")
    ballot = open_ballot(folder, ARMS)
    rate_all(ballot, "ann")
    rate_all(ballot, "bob", at_random(1))
    ballot.undo("bob")
    items = [item for item in ballot.order("judge:m") if not item.repeat and not item.identical]
    verdicts = [None if number % 5 == 0 else "tie" for number in range(len(items))]
    votes = [
        Vote(item.example, item.first, item.second, "judge:m", verdict, machine=True, consistent=False, reason="x")
        for item, verdict in zip(items, verdicts, strict=True)
    ]
    append_lines(folder / VOTES_FILE, map(as_row, votes))
    result(folder)
    return folder


@pytest.mark.parametrize("kind", [RatingPlan, Ratings])
def test_a_file_that_was_read_is_written_again_as_the_same_bytes(kind, rated, tmp_path):
    kind.read(rated).write(tmp_path)
    assert (tmp_path / kind.FILE).read_bytes() == (rated / kind.FILE).read_bytes()


@pytest.mark.parametrize("most", [0, 1])
def test_few_votes_or_none_come_back_too(tmp_path, most):
    folder = make_study(tmp_path / "study", count=12)
    rate_all(open_ballot(folder, ARMS), "ann", most=most)
    result(folder)
    Ratings.read(folder).write(tmp_path)
    assert (tmp_path / Ratings.FILE).read_bytes() == (folder / Ratings.FILE).read_bytes()


def test_a_line_is_a_vote_or_one_that_is_taken_back_and_is_written_as_it_was(rated, tmp_path):
    lines = read_lines_of(VoteLine, rated / VOTES_FILE)
    assert [line.undo for line in lines].count(True) == 1
    write_lines(
        tmp_path / VOTES_FILE,
        ({k: v for k, v in as_row(line).items() if k != "undo" or v} for line in lines),
    )
    assert (tmp_path / VOTES_FILE).read_bytes() == (rated / VOTES_FILE).read_bytes()


def test_fields_are_read_by_name(rated):
    ratings = Ratings.read(rated)
    assert ratings.people is not None and ratings.people.strengths is not None
    assert ratings.people.strengths.arms[0].arm == "lora"
    assert [rater.rater for rater in ratings.raters] == ["ann", "bob"]
    assert ratings.judges[0].no_verdict == {"x": sum(ratings.judges[0].no_verdict.values())}
    pair = ratings.people.pairs[0]
    assert pair.decisive is not None and pair.decisive.votes == pair.decisive_votes == pair.a_wins + pair.b_wins
    assert RatingPlan.read(rated).pairs == [("copy-3", "zero-shot"), ("copy-3", "lora"), ("zero-shot", "lora")]


@pytest.mark.parametrize(
    "change, says",
    [
        ({"format": 2}, "format 2, and this version of luthier reads up to 1; update luthier"),
        ({"level": "high"}, "the key 'level' is 'high'; it should be a number; make it again with: luthier rate"),
        ({"raters": [{}]}, "the key 'raters.0.rater' is missing"),
        ({"panel": 1}, "the key 'panel' is not one that luthier writes"),
    ],
)
def test_damage_and_a_newer_format_are_one_sentence(rated, tmp_path, change, says):
    write_json(tmp_path / Ratings.FILE, read_json(rated / Ratings.FILE) | change)
    with pytest.raises(FolderError, match=says):
        Ratings.read(tmp_path)
