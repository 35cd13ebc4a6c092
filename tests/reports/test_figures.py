"""Every figure can be taken away as the numbers it was drawn from."""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from itertools import pairwise

import pytest

from luthier.reports import plots
from luthier.reports.figures import csv_link, figures, pair_rows
from luthier.reports.read import read_study
from tests.reports.made import make_study


def rows_of(link: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b64decode(link.partition("base64,")[2]).decode())))


def test_a_link_holds_the_rows_with_unknown_empty():
    rows = rows_of(csv_link([{"a": 'x, "y"\nz', "b": None}, {"a": "日本", "c": 0.25}]))
    assert rows == [{"a": 'x, "y"\nz', "b": "", "c": ""}, {"a": "日本", "b": "", "c": "0.25"}]


def test_a_name_never_becomes_a_formula():
    assert rows_of(csv_link([{"arm": "=1+1", "mean": -0.5}])) == [{"arm": "'=1+1", "mean": "-0.5"}]


def test_the_forest_can_be_taken_away(tmp_path):
    page = read_study(make_study(tmp_path))
    drawn = figures(page)
    rows = rows_of(drawn["forest"].csv)
    assert [row["arm"] for row in rows] == [arm.name for arm in page.compared]
    assert float(rows[0]["mean"]) == pytest.approx(page.result(page.compared[0]).mean)
    assert {"forest", "by_tokens", "by_minutes", "curves", "length_figure"} == set(drawn)
    assert all(name + ".csv" == figure.file for name, figure in drawn.items())


def test_pairs_are_taken_away_with_their_one_sided_bounds(tmp_path):
    rows = pair_rows(read_study(make_study(tmp_path)))
    assert len(rows) == 21 and all(row["simultaneous_low"] <= row["one_sided_low"] for row in rows)


def test_labels_keep_their_distance_and_their_order():
    placed = plots.spread([0.3, 0.1, 0.1, 0.11], 0.05)
    order = sorted(placed)
    assert all(b - a >= 0.05 - 1e-9 for a, b in pairwise(order))
    assert max(placed) == placed[0] and sum(placed) == pytest.approx(0.61)
