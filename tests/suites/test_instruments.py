"""Instruments: margins as a user gives them, and what can be detected, said before the run."""

from __future__ import annotations

import re

import pytest

from luthier.errors import SettingsError
from luthier.suites.instruments import DECIDING, INSTRUMENTS, margins_from


def test_margins_are_the_usual_ones_but_for_those_given() -> None:
    usual = {name: INSTRUMENTS[name].margin for name in DECIDING}
    assert margins_from(None) == usual
    assert margins_from("text=0.02, pairs=0.03") == {**usual, "text": 0.02, "pairs": 0.03}


@pytest.mark.parametrize("text", ["drift=1", "text=0", "text=-1", "text=wide", "pairs=true", "other=1", "text"])
def test_a_margin_that_is_none_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match="margin") as refused:
        margins_from(text)
    assert "\n" not in str(refused.value)


def test_what_can_be_detected_is_said_and_gets_coarser_with_more_arms() -> None:
    for one in INSTRUMENTS.values():
        least, more = (float(re.search(r"a change of ([\d.]+)", one.before(n))[1]) for n in (3, 60))
        assert 0 < least < more
        assert one.margin is None or least < one.margin, "one arm's loss of a margin can be found"


def test_each_has_five_hundred_yes_or_no_items_or_a_score_between() -> None:
    assert len(INSTRUMENTS["pairs"].items()) >= 500
    assert sum(len(one.requirements) for one in INSTRUMENTS["following"].items()) >= 500
