"""The task that ships with luthier is what its licence and its users expect: written one by one, balanced, sound."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest

from luthier.records import Example
from luthier.task.task import load_task

TASK = load_task("dialogues")
ALL = (*TASK.train, *TASK.dev, *TASK.test)


def grams(text: str, n: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def test_sizes() -> None:
    assert len(ALL) >= 240
    assert (len(TASK.train), len(TASK.dev), len(TASK.test)) == (144, 48, 60)


def test_no_two_dialogues_share_their_wording() -> None:
    fives = {e.id: grams(e.input, 5) for e in ALL}
    alike = {(a, b): len(fives[a] & fives[b]) / len(fives[a] | fives[b]) for a, b in combinations(fives, 2)}
    assert max(alike.values()) <= 0.1


def test_no_phrase_runs_through_the_dialogues() -> None:
    sixes = Counter(gram for e in ALL for gram in grams(e.input, 6))
    gram, count = sixes.most_common(1)[0]
    assert count <= 0.03 * len(ALL), gram


def test_kinds_are_balanced_and_moods_are_several() -> None:
    kinds = Counter(e.meta["kind"] for e in ALL)
    assert len(kinds) >= 12
    assert max(kinds.values()) - min(kinds.values()) <= 2
    moods = Counter(e.meta["mood"] for e in ALL)
    assert len(moods) >= 3
    assert min(moods.values()) >= len(ALL) / (2 * len(moods))


@pytest.mark.parametrize("example", ALL, ids=lambda e: e.id)
def test_turns_and_references(example: Example) -> None:
    turns = example.input.split("\n")
    assert 4 <= len(turns) <= 16
    assert all(re.match(r"[A-Z][\w.' #-]{0,30}: \S", turn) for turn in turns)
    assert len(example.references) == (2 if example in TASK.test else 1)
    assert all(10 <= len(reference.split()) <= 55 for reference in example.references)


def test_the_licence_stands_beside_the_data() -> None:
    assert TASK.spec.licence == "CC0-1.0"
    assert "CC0 1.0" in (TASK.folder / "LICENSE").read_text(encoding="utf-8")
