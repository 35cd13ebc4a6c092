"""A dialogue counts once, identical answers are ties in their place, repeats and both bad stand apart."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from luthier.rating.ballot import open_ballot
from luthier.rating.votes import people_of, rater_of, share_of
from luthier.records import Vote, as_row
from tests.rated import SAME, by_quality, make_study, rate_all

ARMS = ["copy-3", "zero-shot", "lora"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_study(tmp_path_factory.mktemp("made") / "study", count=40)
    open_ballot(folder, ARMS)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "study")


def test_identical_answers_are_ties_once_a_rater_came_past_them(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann")
    people = people_of(ballot, ballot.votes())
    assert people.identical_items == len(SAME) and people.judged_dialogues == 40
    pair = next(row for row in people.pairs if {row.a, row.b} == {"zero-shot", "lora"})
    assert (pair.votes, pair.n, pair.ties) == (40 - len(SAME), 40, 0)
    assert pair.win_rate == pytest.approx((0.5 * len(SAME)) / 40)  # a is zero-shot, which wins no other


def test_half_way_identical_answers_count_in_proportion(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann", most=60)
    place = {item.key: number for number, item in enumerate(ballot.order("ann"))}
    last = max(place[(*vote.item, vote.repeat)] for vote in ballot.votes())
    passed = sum(item.identical for item in ballot.order("ann")[:last])
    assert people_of(ballot, ballot.votes()).identical_items == passed


def test_a_dialogue_that_many_judged_counts_once(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann")
    one = ballot.votes()
    again = [Vote(**{**as_row(vote), "rater": f"r{i}", "replies": ()}) for vote in one[:30] for i in range(9)]
    a, b = people_of(ballot, one), people_of(ballot, one + again)
    assert b.votes > a.votes
    assert [row.log_strength for row in a.strengths.arms] == pytest.approx(
        [row.log_strength for row in b.strengths.arms]
    )


def test_repeats_say_how_steady_a_rater_is_and_nothing_else(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann")
    votes = ballot.votes()
    turned = [Vote(**{**as_row(v), "verdict": "tie", "replies": ()}) if v.repeat else v for v in votes]
    one, two = people_of(ballot, votes), people_of(ballot, turned)
    assert (one.repeats.value, two.repeats.value) == (1.0, 0.0)
    assert one.model_copy(update={"repeats": None}) == two.model_copy(update={"repeats": None})


def test_both_bad_is_no_preference_and_stands_apart(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann", lambda q: "both bad" if "lora" not in (q.item.first, q.item.second) else by_quality(q))
    people = people_of(ballot, ballot.votes())
    pair = people.pairs[0]
    assert (pair.a, pair.b, pair.both_bad, pair.ties) == ("copy-3", "zero-shot", 40, 40)
    assert pair.win_rate == 0.5 and pair.verdict == "cannot tell"
    assert people.both_bad.arms["copy-3"].value == 0.5
    assert people.both_bad.arms["lora"].value == 0.0
    assert people.strengths.one_sided


def test_one_dialogue_has_no_interval_and_json_can_hold_it(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann", most=3)
    votes = [vote for vote in ballot.votes() if vote.example == ballot.votes()[0].example]
    row = people_of(ballot, votes).strengths.arms[0]
    assert math.isfinite(row.log_strength)
    json.dumps(row.model_dump(mode="json"), allow_nan=False)


def test_a_rater_beside_nobody_has_nobody_to_agree_with(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann", most=10)
    row = rater_of(ballot.votes(), "ann")
    assert (row.votes, row.with_others, row.seconds_median) == (10, None, 12.0)
    assert row.ties.value == 0.0 and share_of([]) is None
