"""What is asked and what is written: blind, balanced, repeated, shared, resumable, and nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from luthier.errors import FolderError, SettingsError
from luthier.files import read_json, read_lines, write_json, write_lines
from luthier.rating.ballot import open_ballot, shortlist
from luthier.records import Answer, Score, as_row
from luthier.results.comparison import Comparison
from luthier.results.ratings_record import VOTES_FILE, RatingPlan
from luthier.verdicts.compare import comparison
from tests.rated import SAME, by_quality, make_study, rate_all

ARMS = ["copy-3", "zero-shot", "lora"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study")


def test_the_plan_is_written_once_and_read_again(folder):
    first = open_ballot(folder, ARMS, 20).plan
    assert open_ballot(folder).plan == first
    assert len(set(first.dialogues)) == 20 and first.shared == 4
    assert open_ballot(make_study(folder.parent / "again"), ARMS, 20).plan == first
    other = open_ballot(make_study(folder.parent / "other", seed=1), ARMS, 20).plan
    assert other.dialogues != first.dialogues


def test_a_longer_plan_begins_with_the_shorter_one(folder):
    short = open_ballot(folder, ARMS, 10).plan.dialogues
    long = open_ballot(make_study(folder.parent / "long"), ARMS, 20).plan.dialogues
    assert long[:10] == short


def test_every_pair_of_every_dialogue_is_asked_and_identical_answers_are_not(folder):
    ballot = open_ballot(folder, ARMS)
    asked = [question.item for question in rate_all(ballot, "ann")]
    once = Counter(item.key[:3] for item in asked if not item.repeat)
    assert set(once.values()) == {1}
    assert len(once) == 24 * 3 - len(SAME)
    assert not {(id, "lora", "zero-shot") for id in SAME} & set(once)
    of = Counter(item.shared for item in ballot.order("ann") if not item.identical and not item.repeat)
    assert sum(item.repeat for item in asked) == round(0.1 * of[True]) + round(0.1 * of[False]) == 7


def test_sides_are_balanced_for_each_pair_and_repeats_are_swapped_and_far_away(folder):
    order = open_ballot(folder, ARMS).order("ann")
    for pair in (("copy-3", "zero-shot"), ("copy-3", "lora"), ("zero-shot", "lora")):
        shown = [i.first for i in order if {i.first, i.second} == set(pair) and not i.repeat and not i.identical]
        left, right = (shown.count(arm) for arm in pair)
        assert abs(left - right) <= 2  # one of each block may be odd
    place = {item.key: number for number, item in enumerate(order)}
    for number, item in enumerate(order):
        if item.repeat:
            before = order[place[(*item.key[:3], False)]]
            assert (before.first, before.second) == (item.second, item.first)
            between = {i.example for i in order[place[before.key] : number]} - {item.example}
            assert len(between) >= 2


def test_a_dialogue_is_read_once(folder):
    order = [item for item in open_ballot(folder, ARMS).order("ann") if not item.repeat]
    assert sum(a.example != b.example for a, b in pairwise(order)) == 24 - 1


def test_the_order_hangs_on_the_name_and_on_nothing_else(folder):
    ballot = open_ballot(folder, ARMS)
    before = ballot.order("ann")
    rate_all(ballot, "ann", most=5)
    assert open_ballot(folder).order("ann") == before
    assert ballot.order("bob") != before


def test_raters_share_a_fifth_and_divide_the_rest(folder):
    ballot = open_ballot(folder, ARMS)
    ann, bob = rate_all(ballot, "ann", most=40), rate_all(ballot, "bob")
    ann += rate_all(ballot, "ann")
    assert ballot.question("ann") is None and ballot.question("bob") is None
    both = {q.item.key[:3] for q in ann} & {q.item.key[:3] for q in bob}
    shared = {item.key[:3] for item in ballot.order("ann") if item.shared and not item.identical}
    assert both == shared
    assert len({id for id, *_ in shared}) == ballot.plan.shared == 5
    # A third, who comes when all is done, still has what everybody judges, and its repeats.
    third = rate_all(ballot, "cem")
    assert {q.item.key[:3] for q in third} == shared and any(q.item.repeat for q in third)


def test_progress_counts_what_falls_to_this_rater(folder):
    ballot = open_ballot(folder, ARMS)
    asked = rate_all(ballot, "ann")
    assert [q.done for q in asked] == list(range(len(asked)))
    assert {q.total for q in asked} == {len(asked)}


def test_undo_takes_back_the_last_vote_again_and_again_and_keeps_the_lines(folder):
    ballot = open_ballot(folder, ARMS)
    _, second, third = rate_all(ballot, "ann", most=3)
    rate_all(ballot, "bob", most=1)
    undone = open_ballot(folder).undo("ann")  # in another sitting
    assert undone is not None and undone.item == third.item.key[:3]
    assert ballot.question("ann").item == third.item
    ballot.undo("ann")
    assert ballot.question("ann").item == second.item
    ballot.vote(second.item, "ann", "tie", reason="now I see")
    votes = [vote for vote in ballot.votes() if vote.rater == "ann"]
    assert [(vote.item, vote.verdict) for vote in votes][1:] == [(second.item.key[:3], "tie")]
    assert len(read_lines(folder / VOTES_FILE)) == 7
    assert ballot.undo("nobody") is None
    assert ballot.undo(" ann ") == votes[-1]  # as `question` and `vote` read a name


def test_a_torn_line_is_dropped_and_its_question_asked_again(folder):
    ballot = open_ballot(folder, ARMS)
    asked = rate_all(ballot, "ann", most=4)
    data = (folder / VOTES_FILE).read_bytes()
    (folder / VOTES_FILE).write_bytes(data[:-9])
    question = open_ballot(folder).question("ann")
    assert question.item == asked[-1].item and question.done == 3
    ballot.vote(question.item, "ann", by_quality(question))
    assert len(read_lines(folder / VOTES_FILE)) == 4


def test_raters_in_different_processes_lose_nothing(folder):
    open_ballot(folder, ARMS)
    code = (
        "import sys; from pathlib import Path\n"
        "from luthier.rating.ballot import open_ballot; from tests.rated import rate_all\n"
        "rate_all(open_ballot(Path(sys.argv[1])), sys.argv[2], most=15)"
    )
    raters = [subprocess.Popen([sys.executable, "-c", code, str(folder), name]) for name in ("ann", "bob", "cem")]
    assert [rater.wait(60) for rater in raters] == [0, 0, 0]
    assert Counter(vote.rater for vote in open_ballot(folder).votes()) == {"ann": 15, "bob": 15, "cem": 15}


@pytest.mark.parametrize(
    "arms, dialogues, says",
    [
        (["lora", "full"], None, "no arm 'full'; it has copy-3, zero-shot, lora"),
        (["lora"], None, "two to 4 different arms"),
        (["lora", "lora"], None, "two to 4 different arms"),
        ([], None, "no arm: rate two"),
        (ARMS, 25, "25 dialogues were asked for; the study has 24"),
        (ARMS, 0, "0 dialogues"),
    ],
)
def test_a_plan_that_cannot_be_is_a_sentence(folder, arms, dialogues, says):
    with pytest.raises(SettingsError, match=says):
        open_ballot(folder, arms, dialogues)
    assert not (folder / RatingPlan.FILE).exists()


def test_another_plan_after_the_first_is_refused(folder):
    open_ballot(folder, ARMS, 20)
    assert open_ballot(folder, ARMS, 20)
    for arms, dialogues in ((ARMS[:2], None), (None, 21)):
        with pytest.raises(SettingsError, match="rating began with copy-3, zero-shot, lora on 20 dialogues"):
            open_ballot(folder, arms, dialogues)


def test_votes_are_not_mixed_with_other_answers(folder):
    open_ballot(folder, ARMS)
    path = folder / "arms" / "lora" / "answers.jsonl"
    write_lines(path, [as_row(Answer(row["id"], row["text"] + "!")) for row in read_lines(path)])
    with pytest.raises(FolderError, match="the answers changed since rating began"):
        open_ballot(folder)


@pytest.mark.parametrize(
    "line, says",
    [
        ({"verdict": "first"}, "line 1 is damaged: the key 'example' is missing"),
        ({"example": "d1", "first": "lora", "second": "copy-3", "rater": "a", "verdict": "left"}, "verdict 'left'"),
        (
            {"example": "x", "first": "lora", "second": "copy-3", "rater": "a", "verdict": "tie"},
            "line 1 is a vote under another plan, on lora and copy-3 in dialogue x; put the rating-plan.json",
        ),
        (
            {"example": "d1", "first": "lora", "second": "lora", "rater": "a", "verdict": "tie"},
            "line 1 is a vote under another plan, on lora and lora",
        ),
    ],
)
def test_a_line_that_is_no_vote_is_named(folder, line, says):
    ballot = open_ballot(folder, ARMS)
    (folder / VOTES_FILE).write_text(json.dumps(line) + "\n")
    with pytest.raises(FolderError, match=says):
        ballot.votes()


@pytest.mark.parametrize("damage", ["\x00\x00", "{}", "[1]", "", '{"example": 3}'])
def test_the_way_out_of_a_damaged_line_keeps_all_other_votes(folder, damage):
    """The sentence says which line, and what it advises is enough: no vote but that one is asked again."""
    ballot = open_ballot(folder, ARMS)
    rate_all(ballot, "ann", most=4)
    lines = (folder / VOTES_FILE).read_text().splitlines()
    (folder / VOTES_FILE).write_text("\n".join([*lines[:2], damage, *lines[3:]]) + "\n")
    with pytest.raises(FolderError, match=r"line 3 .*; mend that line, or take it out and keep a copy") as problem:
        ballot.question("ann")
    assert "remove" not in str(problem.value)
    (folder / VOTES_FILE).write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    assert open_ballot(folder).question("ann").done == 3


def test_the_way_out_of_a_damaged_plan_keeps_all_votes(folder):
    rate_all(open_ballot(folder, ARMS, 20), "ann", most=4)
    before = (folder / RatingPlan.FILE).read_bytes()
    (folder / RatingPlan.FILE).write_text("{}")
    with pytest.raises(FolderError, match="remove it and rate again with the same --arms and --dialogues"):
        open_ballot(folder)
    (folder / RatingPlan.FILE).unlink()
    assert open_ballot(folder, ARMS, 20).question("ann").done == 4
    assert (folder / RatingPlan.FILE).read_bytes() == before


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 61, "judge:me"])
def test_names_that_cannot_stand_in_a_file_are_refused(folder, name):
    with pytest.raises(SettingsError, match="--rater"):
        open_ballot(folder, ARMS).question(name)


def test_folders_that_cannot_be_rated_are_sentences(folder, tmp_path):
    with pytest.raises(FolderError, match="is this a folder that luthier made"):
        open_ballot(tmp_path / "nothing")
    compared = read_json(folder / "compare.json")
    write_json(folder / "compare.json", {key: value for key, value in compared.items() if key != "ship"})
    with pytest.raises(FolderError, match=r"compare\.json: the key 'ship' is missing; remove the file"):
        open_ballot(folder)
    (folder / "compare.json").unlink()
    with pytest.raises(FolderError, match="the study is not finished"):
        open_ballot(folder)
    (folder / "arms" / "lora" / "answers.jsonl").unlink()
    with pytest.raises(FolderError, match="finish the study first"):
        open_ballot(folder, ARMS)


def compared(means: dict[str, float], may_be_best: list[str], baselines: list[str]) -> Comparison:
    """A comparison of arms with these means, of which these are said to be possibly the best."""
    scores = {name: [Score(f"e{i}", f"e{i}", {"rouge1": mean}) for i in range(3)] for name, mean in means.items()}
    found = comparison(scores, baselines=baselines)
    return found.model_copy(update={"ship": found.ship.model_copy(update={"may_be_best": tuple(may_be_best)})})


def test_the_shortlist_is_what_may_be_best_and_the_best_baseline():
    means = {"copy-3": 0.3, "zero-shot": 0.2, "a": 0.5, "b": 0.6, "c": 0.55, "d": 0.58, "e": 0.1}
    base = ["copy-3", "zero-shot"]
    assert shortlist(compared(means, ["b"], base)) == ["b", "copy-3"]
    assert shortlist(compared(means, ["a", "b", "c"], base)) == ["b", "c", "a", "copy-3"]
    assert shortlist(compared(means, ["a", "b", "c", "d", "e"], base)) == ["b", "d", "c", "a"]
    assert shortlist(compared(means, ["copy-3"], base)) == ["copy-3", "b"]
    with pytest.raises(SettingsError, match="one arm only"):
        shortlist(compared({"a": 0.5}, ["a"], []))


def test_the_default_arms_of_a_study_come_from_its_decision(folder):
    may_be_best = Comparison.read(folder).ship.may_be_best
    assert list(open_ballot(folder).plan.arms) == [*may_be_best, "zero-shot"] == ["lora", "zero-shot"]


def test_two_rows_of_one_dialogue_are_one_dialogue(folder):
    rows = read_lines(folder / "examples.jsonl")
    for number, row in enumerate(rows):
        row["unit"] = f"u{number // 2}"
    write_lines(folder / "examples.jsonl", rows)
    assert len(open_ballot(folder, ARMS).plan.dialogues) == 12
    write_json(
        folder / RatingPlan.FILE, read_json(folder / RatingPlan.FILE) | {"seed": 1}
    )  # a plan is read back as it stands
    assert open_ballot(folder).plan.seed == 1
