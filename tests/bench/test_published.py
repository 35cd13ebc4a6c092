"""Peaks that other tools published, predicted from what their rows say: the bounds that the documentation states."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.published import is_for_training, mean_error, model_name, predict, read_points, worst
from luthier.errors import DataError
from luthier.planning.words import WHY

POINTS = Path(__file__).parents[3] / "shared" / "data" / "planning" / "memory_points.csv"
DOCS = Path(__file__).parents[2] / "docs" / "planning.md"
needs_points = pytest.mark.skipif(not POINTS.exists(), reason=f"{POINTS} is not on this machine")


@needs_points
def test_published_peaks_within_the_stated_bounds() -> None:
    rows = read_points(POINTS)
    predictions = [predict(row) for row in rows if is_for_training(row)]
    assert len(predictions) > 140
    assert mean_error(predictions) < 0.08 and abs(worst(predictions).error) < 0.20
    assert {term.name for one in predictions for term in one.terms} <= set(WHY)


@needs_points
def test_no_rule_looks_at_what_was_measured() -> None:
    for row in read_points(POINTS):
        other = {**row, "measured_GB_1e9": "1", "measured_GiB": "1"}
        assert predict(other).predicted == predict(row).predicted


@needs_points
def test_the_documentation_has_every_row() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for row in read_points(POINTS):
        one = predict(row)
        line = f"| {one.id} | {one.measured / 1e9:.2f} | {one.predicted / 1e9:.2f} | {one.error:+.1%} |"
        assert line in text, line


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("id,model\na,b\n")
    with pytest.raises(DataError, match="this is no table of measured peaks"):
        read_points(tmp_path / "points.csv")


def test_names_of_models_as_tables_write_them() -> None:
    assert model_name("meta-llama/Llama-3.2-3B") == "llama-3.2-3b"
    assert model_name("Llama 3.1 8B") == "llama-3.1-8b"
    assert model_name("Llama shape of SmolLM2-135M, random weights") == "smollm2-135m"
