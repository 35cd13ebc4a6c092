"""What the votes say: ties nobody is asked about, agreement, metrics, machines; and what is not claimed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from luthier.errors import FolderError
from luthier.files import append_lines, read_json, write_lines
from luthier.rating.ballot import open_ballot
from luthier.rating.result import result
from luthier.records import Vote, as_row
from luthier.results.ratings_record import VOTES_FILE, RatingPlan, Ratings
from tests.rated import at_random, by_quality, make_study, rate_all

ARMS = ["copy-3", "zero-shot", "lora"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_study(tmp_path_factory.mktemp("made") / "study", count=40)
    open_ballot(folder, ARMS)
    return folder


@pytest.fixture(scope="module")
def judged(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(made, tmp_path_factory.mktemp("judged") / "study")
    ballot = open_ballot(folder)
    rate_all(ballot, "ann", most=60)
    rate_all(ballot, "cem", at_random(1), most=30)
    for rater, decide in (("bob", by_quality), ("cem", at_random(2)), ("ann", by_quality)):
        rate_all(ballot, rater, decide)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A study that nobody has rated, with its plan."""
    return shutil.copytree(made, tmp_path / "study")


@pytest.fixture
def rated(judged: Path, tmp_path: Path) -> Path:
    """By two who look and one who does not."""
    return shutil.copytree(judged, tmp_path / "study")


def test_what_is_returned_is_what_is_written_and_the_same_again(rated):
    found = result(rated)
    assert Ratings.read(rated) == found == result(rated)
    assert read_json(rated / Ratings.FILE) == found.as_json()


def test_raters_who_see_the_better_arm_put_it_first(rated):
    found = result(rated)
    people = found.people
    assert [row.arm for row in people.strengths.arms] == ["lora", "zero-shot", "copy-3"]
    assert all(row.low < row.log_strength < row.high for row in people.strengths.arms)
    lora = next(row for row in people.pairs if (row.a, row.b) == ("copy-3", "lora"))
    assert lora.verdict == "worse" and lora.simultaneous_high < 0.5
    assert lora.simultaneous_low < lora.low < lora.win_rate < lora.high < lora.simultaneous_high
    assert "lora is preferred to copy-3" in " ".join(found.sentences)


def test_the_one_who_clicks_at_random_is_seen(rated):
    raters = {row.rater: row for row in result(rated).raters}
    assert raters["ann"].repeats.value == 1.0
    assert raters["cem"].with_others.high < raters["ann"].with_others.value
    assert raters["ann"].seconds_median == 12.0


def test_few_raters_speak_for_themselves_alone(rated):
    said = " ".join(result(rated).sentences)
    assert "holds for these raters only" in said and "For these raters, " in said
    ballot = open_ballot(rated)
    for name in ("dan", "eva"):
        rate_all(ballot, name)
    assert "these raters only" not in " ".join(result(rated).sentences)


def test_the_number_of_votes_that_a_difference_needs_is_said(rated):
    found = result(rated)
    assert found.votes_needed == {"0.6": 194, "0.55": 783, "0.7": 47}
    assert "A 60/40 preference needs about 194 decisive votes" in " ".join(found.sentences)


def test_a_lean_to_one_side_is_found_and_leaves_equal_arms_equal(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann", lambda question: "first")
    found = result(folder)
    assert found.people.position.value == 1.0
    assert found.people.repeats.value == 0.0
    assert "lean to a side" in " ".join(found.sentences) and "hardly more than chance" not in found.sentences[0]
    strengths = [row.log_strength for row in found.people.strengths.arms]
    assert strengths == pytest.approx([0, 0, 0], abs=0.15)
    assert {row.verdict for row in found.people.pairs} == {"cannot tell"}


def test_agreement_is_perfect_between_two_who_look(folder):
    ballot = open_ballot(folder)
    for rater in ("ann", "bob"):
        rate_all(ballot, rater)
    agreement = result(folder).people.agreement
    assert agreement.percent.value == agreement.alpha == 1.0
    assert agreement.low < 1.0
    rate_all(ballot, "cem", at_random(3))
    assert result(folder).people.agreement.alpha < 0.7


def test_nobody_to_agree_with_is_said(folder):
    rate_all(open_ballot(folder), "ann")
    found = result(folder)
    assert found.people.agreement is None
    assert "agreement between raters is not known" in " ".join(found.sentences)


def test_metrics_agree_with_people_who_judge_by_them_and_not_with_chance(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann")
    seen = result(folder).metrics["rouge1"]
    assert seen.agrees.low > 0.7 and seen.correlation.low > 0.5
    (folder / VOTES_FILE).unlink()
    rate_all(ballot, "cem", at_random(5))
    chance = result(folder).metrics["rouge1"]
    assert chance.agrees.low < 0.5 < chance.agrees.high
    assert chance.correlation.low < 0 < chance.correlation.high


def test_the_correlation_is_that_of_differences_within_dialogue(folder):
    ballot = open_ballot(folder)
    rate_all(ballot, "ann", at_random(8))
    value = {arm: {r["id"]: r["values"]["chrf"] for r in lines(folder, arm)} for arm in ARMS}
    votes = [vote for vote in ballot.votes() if not vote.repeat]
    gap = np.array([value[v.first][v.example] - value[v.second][v.example] for v in votes])
    side = np.array([{"first": 1, "second": -1}.get(v.verdict, 0) for v in votes])
    # Each item once in either order: then the means are 0, and this is what numpy calls a correlation.
    both = np.corrcoef(np.append(gap, -gap), np.append(side, -side))[0, 1]
    assert result(folder).metrics["chrf"].correlation.value == pytest.approx(both)


def lines(folder: Path, arm: str) -> list[dict]:
    return [json.loads(line) for line in (folder / "arms" / arm / "scores.jsonl").read_text().splitlines()]


def test_a_machine_is_never_counted_with_people(rated):
    before = result(rated)
    ballot = open_ballot(rated)
    items = [item for item in ballot.order("judge:m") if not item.repeat and not item.identical]
    votes = [
        Vote(i.example, i.first, i.second, "judge:m", "first", machine=True, consistent=n % 4 > 0, reason="x")
        for n, i in enumerate(items)
    ]
    votes[7] = Vote(items[7].example, items[7].first, items[7].second, "judge:m", None, machine=True, reason="empty")
    append_lines(rated / VOTES_FILE, map(as_row, votes))
    after = result(rated)
    assert after.model_copy(update={"judges": ()}) == before
    judge = after.judges[0]
    assert (judge.judge, judge.machine, judge.items) == ("judge:m", True, len(items))
    assert judge.no_verdict == {"empty": 1}
    assert judge.inconsistent.value == pytest.approx(0.25, abs=0.02)
    assert 0.2 < judge.with_people.all.value < 0.8
    assert ballot.question("dan").total == open_ballot(rated).question("dan").total


def test_arms_that_no_vote_links_have_no_strengths_and_the_reason(folder):
    ballot = open_ballot(folder)
    item = next(item for item in ballot.order("ann") if {item.first, item.second} == {"lora", "copy-3"})
    ballot.vote(item, "ann", "first")
    found = result(folder)
    assert found.people.strengths.arms == ()
    assert "groups that no vote links" in found.people.strengths.reason
    assert any(sentence.startswith("No strengths: ") for sentence in found.sentences)


def test_figures_are_rows_that_can_be_drawn(rated):
    figures = result(rated).figures
    # Made-up answers are as long as each other: their length prefers none.
    assert {name: len(figure.rows) for name, figure in figures.items()} == {"strengths": 3, "pairs": 3, "metrics": 6}
    for figure in figures.values():
        for row in figure.rows:
            assert row.low <= row.value <= row.high and row.label


def test_before_anybody_rated_there_is_no_result(folder):
    (folder / RatingPlan.FILE).unlink()
    with pytest.raises(FolderError, match="no such file; is this a folder that luthier made"):
        result(folder / "elsewhere")
    with pytest.raises(FolderError, match="nobody has rated it yet"):
        result(folder)
    assert not (folder / RatingPlan.FILE).exists()


def test_scores_that_are_missing_leave_the_votes_alone(rated):
    write_lines(rated / "arms" / "lora" / "scores.jsonl", [])
    assert result(rated).metrics["rouge1"].agrees.votes > 0


def test_no_torch_is_imported(rated):
    code = (
        "import sys; from pathlib import Path; from luthier.rating.result import result; import luthier.cli.rating\n"
        "import luthier.rating.judge; result(Path(sys.argv[1]))\n"
        "print([n for n in ('torch', 'transformers', 'peft', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(rated)], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
