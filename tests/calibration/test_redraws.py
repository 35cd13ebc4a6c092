"""Redraws of a study's scores: what is predicted happens, and the published page is that of the results."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import redraws
from luthier.files import read_json


def test_a_stated_difference_is_found_as_often_as_said():
    random = np.random.default_rng(0)
    matrix = 0.4 + 0.1 * random.normal(size=(400, 3)) + 0.1 * random.normal(size=(400, 1)) + [0.0, 0.03, 0.3]
    rows = redraws.redrawn(list("abc"), matrix, 100, 0.02, 150)
    assert [(row["a"], row["b"]) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    for row in rows:
        assert row["detected"] == pytest.approx(redraws.POWER, abs=0.12)
        assert row["found"] == pytest.approx(row["power"], abs=0.15)
        assert row["found"] + row["equivalent"] + row["cannot tell"] <= 1
    assert rows[1]["found"] == 1.0, "a difference of three sd"


def test_what_is_predicted_falls_with_fewer_dialogues():
    matrix = np.random.default_rng(1).normal(size=(300, 2)) * 0.1 + [0.0, 0.03]
    few, many = (redraws.predicted(["a", "b"], matrix, n)["a", "b"] for n in (20, 200))
    assert few["power"] < many["power"] and few["detectable"] > 2 * many["detectable"]
    assert few["difference"] == many["difference"] == pytest.approx(float(-np.diff(matrix.mean(axis=0))[0]))


def test_the_published_page_is_that_of_the_results():
    result = read_json(redraws.RESULTS)
    assert redraws.PAGE.read_text(encoding="utf-8") == redraws.page(result)
    for n in redraws.SIZES:
        assert all(abs(row["detected"] - redraws.POWER) < 0.06 for row in result["sizes"][str(n)])
