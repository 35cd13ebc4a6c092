"""Groups that are not separated, their letters, and the examples that a difference needs."""

from __future__ import annotations

from itertools import pairwise

import pytest

from luthier.reports.pairs import against_the_best, examples_for, letters_of, ranked_pairs, strip_of, unbeaten
from luthier.reports.read import StudyPage, read_study
from luthier.reports.write import report
from tests.reports.made import make_study


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> StudyPage:
    return read_study(make_study(tmp_path_factory.mktemp("study")))


def test_pairs_are_turned_so_that_the_better_mean_stands_first(page):
    pairs = ranked_pairs(page)
    assert len(pairs) == 21 and all(pair.difference >= 0 for pair in pairs)
    assert all(pair.simultaneous_low <= pair.difference <= pair.simultaneous_high for pair in pairs)
    assert pairs[0].a == "lora" and "worse" not in {pair.verdict for pair in pairs}


def test_an_arm_is_set_against_the_best_of_the_others(page):
    against = against_the_best(page)
    assert against["lora"].difference > 0 and against["lora"].verdict == "better"
    assert all(pair.a == name and pair.b == "lora" for name, pair in against.items() if name != "lora")
    assert against["bare"].difference < 0 and against["bare"].verdict == "worse"


def test_the_strip_holds_every_interval_zero_and_both_margins(page):
    pairs = ranked_pairs(page)
    place = strip_of(pairs, page.compare.margin)
    shown = [end for pair in pairs for end in (pair.simultaneous_low, pair.simultaneous_high)]
    assert all(0 <= place(value) <= 100 for value in [*shown, 0, page.compare.margin, -page.compare.margin])
    assert place(0.1) > place(0)


def test_baselines_name_the_arms_that_are_not_shown_to_beat_them(page):
    found = {one.baseline: one for one in unbeaten(page)}
    assert found["zero-shot"].beaten and "bare" in found["zero-shot"].arms and "lora" not in found["zero-shot"].arms


def test_arms_share_a_letter_just_when_they_are_not_separated(page):
    letters = letters_of(page)
    assert page.compare.groups_not_separated() and "lora" in letters
    for pair in page.compare.deciding_pairs:
        assert bool(set(letters[pair.a]) & set(letters[pair.b])) is not pair.separated


def test_groups_are_captioned_not_separated_and_never_equal(tmp_path):
    text = report(make_study(tmp_path)).read_text()
    assert "<strong>not separated</strong>" in text and "Not separated: " in text


def test_a_smaller_difference_needs_more_examples(page):
    rows = examples_for(page)
    assert [row.difference for row in rows] == sorted(row.difference for row in rows)
    assert all(a.most >= b.most for a, b in pairwise(rows))
    assert all(row.least <= row.most for row in rows) and 0.02 in [row.difference for row in rows]
