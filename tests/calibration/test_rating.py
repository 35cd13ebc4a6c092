"""A quick part of calibration/rating.py, and what its stored results promise."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import rating
from luthier.files import read_json


def test_a_few_rounds_hold_about_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr(rating, "TRUTH_VOTES", 100_000)
    monkeypatch.setattr(rating, "RESAMPLES", 300)
    found = rating.run(rating.Cell("quick", dialogues=40, log_strengths=(0.4, 0.0, -0.4)), repeats=60)
    for kind in ("strengths", "win rates", "first side", "alpha"):
        assert found["coverage"][kind]["mean"] > 0.85, kind
    assert found == rating.run(rating.Cell(**found["cell"]), repeats=60)


def test_the_simulated_world_is_what_it_says(monkeypatch):
    monkeypatch.setattr(rating, "TRUTH_VOTES", 200_000)
    cell = rating.Cell("usual")
    votes, left = rating._many_votes(cell, np.random.default_rng(0))
    assert 0.25 < (votes == 1).mean() < 0.38  # ties
    chosen, decisive = rating._first_side(votes, left)
    by_rater = chosen.sum(axis=(0, 1)) / decisive.sum(axis=(0, 1))
    assert by_rater[0] > by_rater[1] > by_rater[2] == pytest.approx(0.5, abs=0.01)
    truth = rating._truth(cell, np.random.default_rng(0))["strengths"]
    assert list(truth) == sorted(truth, reverse=True)


@pytest.mark.parametrize("cell", [cell.name for cell in rating.cells()])
def test_the_stored_results_cover_93_to_97_percent(cell):
    row = read_json(rating.RESULTS)["cells"][cell]
    assert row["repeats"] == 2_000
    assert 0.93 <= row["coverage"]["strengths"]["mean"] <= 0.97
