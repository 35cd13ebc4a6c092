"""The check of facts: named cases, then recall and false alarms on the labelled set, which have to hold."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter

import pytest

from calibration import facts as calibration
from calibration import planting
from luthier.files import read_json
from luthier.scoring.facts import KINDS, not_read, unsupported
from luthier.scoring.source import Source

INPUT = """Mr. Benjamin Okoro: The United Kingdom office opens at half past three, on the 27th of May.
Zsofia: Then I'll bring two hundred and five chairs for $1,200. My friend from China helps.
#Person1#: Twenty-eight fifty a day, and the M R I takes a day."""


def found(answer: str, source: str = INPUT) -> list[tuple[str, str]]:
    return [(fact.kind, fact.text) for fact in unsupported(answer, Source(source))]


@pytest.mark.parametrize(
    "answer",
    [
        "Ben Okoro opens the UK office at 3:30 pm.",
        "Zsofia's friend is Chinese and brings 205 chairs.",
        "Zsophia pays 1200 dollars on 27 May.",  # two letters off would be another name
        "The office opens at 15:30 on May 27.",
        "#Person1# asks 28.50 for 24 hours and an MRI.",
        "Both agree; two things are left. Traffic is bad, and everybody waits.",
        "1.  Chairs. 2.  An office. 3.  An MRI.",
        "",
    ],
)
def test_supported_in_another_form(answer: str) -> None:
    assert found(answer.replace("Zsophia", "Zsofya")) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Zsofia meets Leopold there.", [("name", "Leopold")]),
        ("Leopold's friend helps.", [("name", "Leopold")]),
        ("Leopold and Zsofia agree.", [("name", "Leopold")]),
        ("They ask Mrs. Ottoline Pell.", [("name", "Ottoline Pell")]),
        ("#Person3# agrees.", [("name", "#Person3#")]),
        ("They need 250 chairs.", [("number", "250")]),
        ("They need seventy chairs.", [("number", "seventy")]),
        ("It costs $1,500.", [("amount", "$1,500")]),
        ("The office opens at 4:30.", [("time", "4:30")]),
        ("It opens at quarter to nine on Friday.", [("time", "quarter to nine"), ("date", "Friday")]),
        ("It opens on 27 June.", [("date", "27 June")]),
    ],
)
def test_not_in_the_input(answer: str, expected: list[tuple[str, str]]) -> None:
    assert found(answer) == expected


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("It was in ninety six.", "It was in 1996.", []),
        ("It was in O eight.", "It was in 2008.", []),
        ("He has eight chairs.", "It was in 2008.", [("date", "2008")]),
        ("It was on May twenty first, two thousand seven.", "It was on 05/21/07.", []),
        ("Clinic was March two thousand and four.", "It was in March 2004.", []),
        ("It was in May of two thousand nine.", "It was in 5/2009.", []),
        ("It was in May of two thousand nine.", "It was in 6/2009.", [("date", "6/2009")]),
    ],
)
def test_years_and_days_as_people_say_them(said: str, answer: str, expected: list[tuple[str, str]]) -> None:
    assert found(answer, f"Ann: {said}") == expected


def test_a_finding_says_where_it_stands_and_cannot_be_changed() -> None:
    answer = "Zsofia and Leopold need 99 chairs."
    facts = unsupported(answer, Source(INPUT))
    assert [answer[fact.start : fact.end] for fact in facts] == [fact.text for fact in facts] == ["Leopold", "99"]
    assert all(fact.kind in KINDS and fact.why for fact in facts)
    with pytest.raises(dataclasses.FrozenInstanceError):
        facts[0].kind = "number"  # type: ignore[misc]


def test_what_is_not_checked_is_not_found() -> None:
    """A wrong name that stands elsewhere in the input, a negation, swapped roles."""
    assert found("Zsofia opens the office, and Okoro does not bring any chairs.") == []


# ------------------------------------------------------------------------------------------------- the labelled set


@pytest.fixture(scope="module")
def stored() -> dict:
    return read_json(calibration.RESULTS)


@pytest.fixture(scope="module")
def recall() -> dict:
    return calibration.recall()


def test_the_labelled_set_is_large_enough_and_always_the_same() -> None:
    planted = planting.planted()
    counts = Counter(one.kind for one in planted)
    assert set(counts) == {*planting.CHECKED, *planting.NOT_CHECKED}
    assert min(counts.values()) >= 50, counts
    assert len(calibration.ours()) >= 300
    assert planted == planting.planted()
    assert all(one.by == "rule" or one.answer[one.start : one.end] for one in planted if one.kind != "omission")


def test_recall_holds(recall: dict) -> None:
    shares = {kind: row["share"] for kind, row in recall.items() if row["checked"]}
    assert min(shares.values()) >= 0.9, shares


def test_what_is_called_not_checked_is_not_seen(recall: dict) -> None:
    assert max(row["share"] for row in recall.values() if not row["checked"]) <= 0.1


def test_the_stored_results_are_what_is_measured(recall: dict, stored: dict) -> None:
    assert recall == stored["recall"]
    assert calibration.alarms(calibration.ours()) == stored["ours"]["found"]


def test_clean_answers_are_left_alone(stored: dict) -> None:
    assert stored["ours"]["share"] <= 0.03


@pytest.mark.parametrize("name", ["dialogsum dev", "mts validation"])
def test_false_alarms_on_references_that_others_wrote(name: str, stored: dict) -> None:
    splits = dict(calibration.others((name,)))
    if name not in splits:
        pytest.skip(f"{calibration.SHARED} is not there: false alarms on {name} cannot be counted")
    alarms = calibration.alarms(splits[name])
    wrong = set(alarms) - set(calibration.RIGHT[name])
    assert len(wrong) / len(splits[name]) <= 0.03, alarms
    assert sorted(alarms) == stored["others"][name]["ids"]


def test_the_page_shows_the_stored_results(stored: dict) -> None:
    text = calibration.PAGE.read_text(encoding="utf-8")
    assert calibration.page(text, stored) == text


def test_neither_torch_nor_a_model_is_imported() -> None:
    code = "import sys, luthier.scoring.facts, luthier.verdicts.profile"
    code += "; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_other_languages_are_not_counted_and_the_reason_is_said() -> None:
    english = ["Anna: Can we move the visit to Monday, and are you free then? Ben: That is fine for me."] * 10
    assert not_read(english) == "" == not_read(["Ann 3 apples."])
    assert not_read(english, "unicode").endswith("and this task's words are read as unicode")
    assert not_read(["Аня: Можно перенести визит?"] * 3).endswith("and the inputs have letters beyond a-z")
    indonesian = ["Ani: Bisakah janji dipindahkan ke hari Senin? Budi: Ya, saya bisa datang jam sembilan pagi."] * 10
    assert not_read(indonesian).endswith("and the inputs hardly have its words")
