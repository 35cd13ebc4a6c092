"""Groups that are not separated, their letters, and the examples that a difference needs."""

from __future__ import annotations

from itertools import pairwise

from luthier.files import read_json, write_json
from luthier.reports.pairs import examples_for, groups_of, letters_of
from luthier.reports.read import read_study
from luthier.reports.write import report
from tests.reports.test_write import make_study


def test_arms_share_a_letter_just_when_they_are_not_separated(tmp_path):
    page = read_study(make_study(tmp_path))
    letters = letters_of(page)
    assert groups_of(page) and "lora" in letters
    for row in page.compare["pairs"]:
        if row["metric"] == page.deciding:
            separated = row["verdict"] in ("better", "worse")
            assert bool(set(letters[row["a"]]) & set(letters[row["b"]])) is not separated


def test_groups_are_captioned_not_separated_and_never_equal(tmp_path):
    text = report(make_study(tmp_path)).read_text()
    assert "<strong>not separated</strong>" in text and "Not separated: " in text


def test_a_study_of_before_groups_still_gives_a_report(tmp_path):
    path = make_study(tmp_path)
    write_json(path / "compare.json", {k: v for k, v in read_json(path / "compare.json").items() if k != "groups"})
    assert letters_of(read_study(path))["lora"] == "" and "not separated" not in report(path).read_text()


def test_a_smaller_difference_needs_more_examples(tmp_path):
    rows = examples_for(read_study(make_study(tmp_path)))
    assert [row["difference"] for row in rows] == sorted(row["difference"] for row in rows)
    assert all(a["most"] >= b["most"] for a, b in pairwise(rows))
    assert all(row["least"] <= row["most"] for row in rows) and 0.02 in [row["difference"] for row in rows]
