"""The panel's items: as many as it says, none twice, the same in every process, none in what replay trains on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from luthier.suites.instructions import A_FORM, FORMS, instructions
from luthier.suites.instruments import INSTRUMENTS
from luthier.suites.items import sha256_of
from luthier.suites.minimal_pairs import PAIRS_A_PHENOMENON, PHENOMENA, minimal_pairs
from luthier.suites.requirements import REQUIREMENTS, obeyed
from luthier.suites.texts import A_KIND, GENERATED, WRITTEN, documents, general, requests

ROOT = Path(__file__).parents[2]
# A change of an item makes panels that cannot be compared with earlier ones: change this hash knowingly.
HASHES = {
    "text": "e5df7e0c1b9b201b4a1abe0b69518d966b8af0cd8d1baf148daa974a809dc26f",
    "pairs": "17875a4b835e242dbf4057bba8be121b063d9ec00626da36e0eccb5935759ed8",
    "following": "d78213aeba20537c8e53d1bb488bd11c2a73dcc0f842884fbd7180e3424ddefe",
    "drift": "135d88942b9254948461ba187db94a14626ef0016820e15d010e85cda01d165b",
}


def test_the_items_are_those_that_earlier_panels_asked() -> None:
    code = (
        "import json; from luthier.suites.instruments import INSTRUMENTS as I\n"
        "from luthier.suites.items import sha256_of\nprint(json.dumps({n: sha256_of(i.items()) for n, i in I.items()}))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "7"}
    )
    assert json.loads(other.stdout) == {name: sha256_of(one.items()) for name, one in INSTRUMENTS.items()} == HASHES


def test_there_are_as_many_as_the_panel_says_and_none_twice() -> None:
    assert Counter(one.group for one in documents()) == dict.fromkeys((*WRITTEN, *GENERATED), A_KIND)
    assert Counter(one.group for one in minimal_pairs()) == dict.fromkeys(PHENOMENA, PAIRS_A_PHENOMENON)
    assert Counter(one.group for one in instructions()) == dict.fromkeys(FORMS, A_FORM)
    assert Counter(one.group for one in requests()) == dict.fromkeys(("explain", "advise", "write", "know", "do"), 20)
    for one in INSTRUMENTS.values():
        ids = [item.id for item in one.items()]
        assert len(ids) == len(set(ids))
    assert len({(one.right, one.wrong) for one in minimal_pairs()}) == len(minimal_pairs())
    assert len({one.text for one in documents()}) == len(documents())


def test_a_pair_differs_and_differs_in_one_place() -> None:
    for one in minimal_pairs():
        right, wrong = one.right.split(), one.wrong.split()
        assert len(right) == len(wrong) and sum(a != b for a, b in zip(right, wrong, strict=True)) == 1, one


def test_replay_trains_on_nothing_that_the_panel_asks() -> None:
    asked = {one.text for one in (*requests(), *instructions(), *documents())}
    said = {text for row in general() for text in row}
    assert len(general()) > 50 and all(question and answer for question, answer in general())
    assert not asked & said
    assert not [text for text in said for one in documents() if len(text) > 40 and text in one.text]


@pytest.mark.parametrize(
    ("name", "arguments", "good", "bad"),
    [
        ("contains", ("fog",), "The fog came.", "The foggy day."),
        ("lacks", ("fog",), "A foggy day.", "Fog!"),
        ("at-most-words", (3,), "It's three words", "now these are four"),
        ("at-least-words", (3,), "one two three", "one two"),
        ("one-sentence", (), "It rains, it snows.", "It rains. It snows."),
        ("two-sentences", (), "It rains. It snows!", "It rains."),
        ("one-line", (), "a title", "two\nlines"),
        ("lines", (3,), "a\n\nb\nc", "a\nb"),
        ("dashes", (), "- a\n- b", "- a\nb"),
        ("numbered", (), "1. a\n2. b", "1. a\n3. b"),
        ("begins", ("Yes",), "Yes, it is.", "Well, yes."),
        ("ends", ("!",), "Stop!", "Stop! Now."),
        ("no-commas", (), "a b", "a, b"),
        ("no-digits", (), "three", "3"),
        ("no-question", (), "It is.", "Is it?"),
        ("capitals", (), "THE END 2", "The End"),
        ("small", (), "the end.", "The end."),
        ("no-stop", (), "The end", "The end."),
    ],
)
def test_a_requirement_tells_obedience_from_its_lack(name: str, arguments: tuple, good: str, bad: str) -> None:
    requirement = REQUIREMENTS[name]
    assert requirement.holds(good, *arguments)
    assert not requirement.holds(bad, *arguments)
    assert not any(requirement.holds(silence, *arguments) for silence in ("", " \n", ".", "-", "!", "\u200b"))
    assert "{" not in requirement.words(*arguments)


def test_every_requirement_is_tested_and_asked() -> None:
    used = {name for one in instructions() for name, _ in one.requirements}
    assert used == set(REQUIREMENTS)


def test_each_instruction_can_be_obeyed_and_words_ask_for_all_that_is_checked() -> None:
    for one in instructions():
        assert len(one.requirements) >= 4
        assert all(REQUIREMENTS[name].words(*arguments) in one.text for name, arguments in one.requirements)
    by_id = {one.id: one for one in instructions()}
    assert obeyed("- spoon\n- fork\n- pan", by_id["list-1"].requirements) == 1
    assert obeyed("spoon, fork and pan", by_id["list-1"].requirements) == 3 / 5
    assert obeyed("", by_id["list-1"].requirements) == 0
