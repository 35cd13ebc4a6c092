"""The profile: each number against one worked out by hand."""

from __future__ import annotations

import json
from statistics import fmean

import pytest

from luthier.errors import DataError
from luthier.records import Answer, Example
from luthier.results.comparison import Mean
from luthier.results.profile_record import ArmProfile
from luthier.scoring.score import score, words_of
from luthier.scoring.words import Reading
from luthier.verdicts.profile import fragments, only_tags, profile

REFERENCE = "Anna meets Ben at the old station today"
EXAMPLES = [
    Example(f"d{i}", f"Anna: The old station, at {i + 10}?\nBen: Fine, Anna. " + "Well. " * i, (f"{REFERENCE}",))
    for i in range(30)
]
SHORT = [Answer(e.id, REFERENCE if i % 5 else "Anna meets him", stop="end") for i, e in enumerate(EXAMPLES)]
LONG = [
    Answer(e.id, f"{REFERENCE}. {'Then they talk and talk about it. ' * (i % 3 + 1)}", stop="length")
    for i, e in enumerate(EXAMPLES)
]


def told(texts: list[str], stop: str = "end") -> ArmProfile:
    """The one arm's row when it answers the first examples with these texts."""
    answers = [Answer(EXAMPLES[i].id, text, stop=stop) for i, text in enumerate(texts)]
    return profile({"arm": answers}, EXAMPLES[: len(texts)]).arms["arm"]


def test_fragments_are_those_of_newsroom() -> None:
    """Greedy and longest: "the old station" (3) and "anna" (1) of six words."""
    source = words_of("Anna waits. The old station, the old house.")
    places: dict[str, list[int]] = {}
    for at, word in enumerate(source):
        places.setdefault(word, []).append(at)
    assert fragments(words_of("the old station pleases anna much"), source, places) == [3, 1]
    row = (
        profile(
            {"arm": [Answer("a", "the old station pleases anna much")]},
            [Example("a", "Anna waits. The old station, the old house.", ("x",))],
        )
        .arms["arm"]
        .copied
    )
    assert row.coverage.mean == pytest.approx(4 / 6)
    assert row.density.mean == pytest.approx((9 + 1) / 6)
    assert row.trigrams.mean == pytest.approx(1 / 4)


def test_lengths() -> None:
    row = told(["one two", "one two three four", "one two three four five six"])
    assert (row.words.mean, row.words.median, row.words.n) == (4, 4, 3)
    assert row.length_ratio.mean == pytest.approx(0.5)
    assert row.words.low < 4 < row.words.high


def test_repetition_counts_trigrams_said_before() -> None:
    assert told(["a b c a b c"]).repeated.mean == pytest.approx(1 - 3 / 4)
    assert told(["a b"]).repeated == Mean(mean=None, low=None, high=None, n=0)


def test_answers_that_say_nothing() -> None:
    row = told(["", "#Person1#:", "#Person1#: yes", "fine"])
    assert (row.empty.yes, row.only_tags.yes, row.only_tags.ids) == (1, 1, ("d1",))
    assert row.empty.n == 4 and row.empty.low < 0.25 < row.empty.high
    assert only_tags("#Person1#: #Person2#:") and not only_tags("Anna")


def test_why_an_answer_stopped_is_unknown_where_it_was_given() -> None:
    assert told(["a", "b"], stop="length").hit_limit.share == 1
    assert told(["a", "b"], stop="given").hit_limit is None


def test_unsupported_facts_by_kind_with_examples() -> None:
    row = told(["Anna meets Leopold.", "Anna and Ben meet.", "Anna pays 77 euros."]).facts
    assert (row.any.yes, row.kinds["name"].yes, row.kinds["amount"].yes) == (2, 1, 1)
    assert [(e.id, e.findings[0].text) for e in row.examples] == [("d0", "Leopold"), ("d2", "77 euros")]


def test_buckets_hold_every_example_once() -> None:
    buckets = profile({"short": SHORT, "long": LONG}, EXAMPLES).buckets
    assert sum(row.n for row in buckets["input"]) == 30 and len(buckets["input"]) == 3
    assert [row.arms["short"].n for row in buckets["input"]] == [row.n for row in buckets["input"]]
    assert len(buckets["reference"]) == 1, "all references are equally long"


def test_reasoning_is_left_out_once() -> None:
    """Of two closing tags the second closes nothing and stays, for the profile as for the scores."""
    said = [Answer(e.id, f"a</think>{REFERENCE}.</think>Nothing of it.") for e in EXAMPLES]
    reading = Reading(reasoning="leave out")
    scored = score(said, EXAMPLES, ["rouge1"], reading=reading)
    made = profile({"arm": said}, EXAMPLES, deciding="rouge1", reading=reading)
    buckets = made.buckets["input"]
    mean = sum(row.n * row.arms["arm"].mean for row in buckets) / sum(row.n for row in buckets)
    assert mean == pytest.approx(fmean(row.values["rouge1"] or 0 for row in scored))


def test_it_is_json_and_the_same_each_time() -> None:
    first, again = (json.dumps(profile({"short": SHORT, "long": LONG}, EXAMPLES).as_json()) for _ in range(2))
    assert first == again and "NaN" not in first


def test_foreign_answers_are_refused() -> None:
    with pytest.raises(DataError, match="arm 'a'"):
        profile({"a": [Answer("stranger", "x")]}, EXAMPLES)
