"""A machine as rater, against a real server on this machine: both orders, strict reading, tries, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import ModelError, SettingsError
from luthier.rating.ballot import open_ballot
from luthier.rating.endpoint import KEY_VARIABLE
from luthier.rating.judge import combined, verdict_in
from luthier.rating.judge import judge as judge_of
from luthier.rating.result import result
from tests.commands import ROOT, commands_of, type_in
from tests.endpoint import Reply, said
from tests.rated import make_study, rate_all

ARMS = ["zero-shot", "lora"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_study(tmp_path / "study", count=12)
    open_ballot(folder, ARMS)
    return folder


def answers_of(body: dict) -> tuple[str, str]:
    """The two answers that a prompt holds, in their places."""
    parts = body["messages"][0]["content"].split('<answer number="')
    return tuple(part.split(">\n", 1)[1].split("\n</answer>")[0] for part in parts[1:])  # type: ignore[return-value]


def longer(body: dict) -> Reply:
    """A judge that likes length, and says so."""
    first, second = map(len, answers_of(body))
    return said(f"It is longer.\nVERDICT: {'TIE' if first == second else 1 if first > second else 2}")


# --- what it says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply, verdict, why",
    [
        ("Because.\nVERDICT: 1", "first", ""),
        ("VERDICT: BOTH BAD\n\n", "both bad", ""),
        ("  VERDICT: TIE  ", "tie", ""),
        ("", None, "the reply is empty"),
        ("Answer 1 is better.", None, "the reply has no verdict line"),
        ("The verdict: 1", None, "the reply has no verdict line"),
        ("VERDICT: 3", None, "the reply has no verdict line"),
        ("VERDICT: 1 or 2", None, "the reply has no verdict line"),
        ("verdict: 1", None, "the reply has no verdict line"),
        ("VERDICT: 1\nVERDICT: 2", None, "the reply has several verdict lines"),
        ("VERDICT: 1\nOr not.", None, "the verdict line is not the last"),
    ],
)
def test_a_verdict_is_read_strictly_and_never_guessed(reply, verdict, why):
    assert verdict_in(reply) == (verdict, why)


@pytest.mark.parametrize(
    "straight, swapped, verdict, consistent",
    [
        ("1", "2", "first", True),
        ("2", "1", "second", True),
        ("1", "1", "tie", False),
        ("TIE", "1", "tie", False),
        ("TIE", "TIE", "tie", True),
        ("BOTH BAD", "BOTH BAD", "both bad", True),
        ("BOTH BAD", "TIE", "tie", False),
    ],
)
def test_a_verdict_that_turns_with_the_sides_is_a_tie_and_marked(straight, swapped, verdict, consistent):
    found = combined(f"VERDICT: {straight}", f"VERDICT: {swapped}")
    assert found[:2] == (verdict, consistent) and bool(found[2]) != consistent


def test_one_reply_without_a_verdict_is_no_verdict():
    assert combined("VERDICT: 1", "Hm.") == (None, True, "the reply has no verdict line")


# --- the whole way ------------------------------------------------------------------------------------------------


def test_every_item_is_asked_twice_with_places_changed_and_kept_apart_from_people(folder, serve, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "secret-key\n")
    server = serve(longer)
    rate_all(open_ballot(folder), "ann")
    counts = judge_of(folder, server.url, "big")
    items = [item for item in open_ballot(folder).order("judge:big") if not item.repeat and not item.identical]
    assert counts == {"asked": len(items), "verdicts": len(items), "inconsistent": 0}
    assert len(server.asked) == 2 * len(items)
    for one, two in zip(server.asked[::2], server.asked[1::2], strict=True):
        assert answers_of(one) == answers_of(two)[::-1]
    assert set(server.keys) == {"Bearer secret-key"} and set(server.paths) == {"/v1/chat/completions"}
    assert all(body["model"] == "big" and body["temperature"] == 0 for body in server.asked)
    assert "Say what was agreed." in server.asked[0]["messages"][0]["content"]
    found = result(folder)
    assert found.people.raters == 1 and found.judges[0].items == len(items)
    assert found.judges[0].with_people.all.votes == len(items)
    everything = "".join(path.read_text() for path in folder.rglob("*.json*"))
    assert "secret-key" not in everything and "VERDICT: " in everything


def test_a_judge_that_always_takes_the_first_has_no_preference(folder, serve):
    judge_of(folder, serve(lambda body: said("VERDICT: 1")).url, "m")
    row = result(folder).judges[0]
    assert row.inconsistent.value == 1.0 and row.turned == {"first, and with places changed first": row.items}
    assert [arm.log_strength for arm in row.strengths.arms] == pytest.approx([0, 0], abs=1e-9)


def test_texts_are_put_into_the_prompt_as_they_are(tmp_path, serve):
    folder = make_study(tmp_path / "study", count=5)
    path = folder / "arms" / "lora" / "answers.jsonl"
    path.write_text("".join(json.dumps({"id": f"d{i}", "text": f"$first {{}} $ {i} \\1"}) + "\n" for i in range(5)))
    server = serve(longer)
    judge_of(folder, server.url, "m", arms=ARMS, dialogues=3)
    assert all(any(text.startswith("$first {} $ ") for text in answers_of(body)) for body in server.asked)


def test_it_goes_on_where_it_stopped_and_asks_nothing_twice(folder, serve):
    left = iter(range(7))
    server = serve(lambda body: longer(body) if next(left, None) is not None else (400, {}, "enough"))
    with pytest.raises(ModelError, match="400"):
        judge_of(folder, server.url, "m")
    assert len(open_ballot(folder).votes()) == 3  # the fourth had one reply of two
    other = serve(longer)
    judge_of(folder, other.url, "m")
    items = [item for item in open_ballot(folder).order("judge:m") if not item.repeat and not item.identical]
    assert len(other.asked) == 2 * (len(items) - 3)
    assert judge_of(folder, other.url, "m")["asked"] == 0


def test_no_verdict_is_kept_with_its_reason_and_enters_nothing(folder, serve):
    judge_of(folder, serve(lambda body: said("I like both.")).url, "m")
    row = result(folder).judges[0]
    assert row.no_verdict == {"the reply has no verdict line": row.items}
    assert (row.votes, row.strengths, row.inconsistent) == (0, None, None)


@pytest.mark.parametrize(
    "url, model, says",
    [
        ("127.0.0.1:8080", "m", "--judge"),
        ("file:///etc/passwd", "m", "--judge"),
        ("http://127.0.0.1:1/v1", "", "--judge-model"),
    ],
)
def test_addresses_and_models_that_are_none_are_sentences(folder, url, model, says):
    with pytest.raises(SettingsError, match=says):
        judge_of(folder, url, model)


def test_the_commands_of_the_page_on_rating_run(tmp_path, serve, monkeypatch):
    """In order: two people at the keys, what their votes say, and a model on this machine."""
    monkeypatch.chdir(tmp_path)
    make_study(tmp_path / "studies" / "mine", count=12)
    commands = commands_of(ROOT / "docs" / "rating.md")
    assert [command[:2] for command in commands] == [["rate", "studies/mine"]] * len(commands)
    for command in commands:
        type_in([serve(longer).url if part.startswith("http://") else part for part in command], keys="1" * 400)
    voters = {vote.rater for vote in open_ballot(tmp_path / "studies" / "mine").votes()}
    assert {"ann", "bob"} <= voters and len(voters) == 3
    assert (tmp_path / "studies" / "mine" / "ratings.json").exists()
