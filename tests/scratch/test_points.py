"""Files of points: columns under their names, rows that are left out, and one sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import DataError, SettingsError
from luthier.scratch.points import read_points

ROWS = [(1e6 * 2**i, 1e8 * 3 ** (i % 4), 4 - 0.1 * i) for i in range(8)]


def write(path: Path, header: str = "parameters,tokens,loss", rows: list[tuple] = ROWS) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_columns_have_usual_names_or_are_named(tmp_path: Path) -> None:
    points, left_out = read_points(write(tmp_path / "a.csv", "N,D,Final_Loss"))
    assert len(points) == 8 and left_out == () and points.runs[0] == "row 1" and not points.repeated_n.any()
    points, _ = read_points(write(tmp_path / "b.csv", "size,tokens,loss"), {"parameters": "size"})
    assert points.parameters_n[0] == 1e6


def test_runs_without_a_loss_and_named_runs_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [(*row, f"r{i}") for i, row in enumerate(ROWS)] + [(1e6, 1e8, "nan", "r8"), (1e6, 1e8, "", "r9")]
    points, left_out = read_points(write(tmp_path / "a.csv", "parameters,tokens,loss,run", rows), without=["r0"])
    assert len(points) == 7
    assert [(one.row, one.run, one.reason) for one in left_out] == [
        (1, "r0", "it was named with --without"), (9, "r8", "it has no loss"), (10, "r9", "it has no loss"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "header, rows, sentence",
    [
        ("parameters,tokens,score", ROWS, "no column is called loss or final_loss or validation_loss or val_loss"),
        ("parameters,tokens,loss", [*ROWS, ("many", 1, 2)], "row 9, line 10, field 'parameters': 'many' is no number"),
        ("parameters,tokens,loss", [*ROWS, (-1, 1, 2)], "'-1' is no number above 0"),
        ("parameters,tokens,loss", ROWS[:3], "the file has 3 points with a loss, and a law needs 6 or more"),
        ("parameters,tokens,loss", [(1, *row[1:]) for row in ROWS], "all points have the same parameters"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, header: str, rows: list[tuple], sentence: str) -> None:
    path = write(tmp_path / "a.csv", header, rows)
    with pytest.raises(DataError) as refused:
        read_points(path)
    assert str(refused.value).startswith(str(path)) and sentence in str(refused.value)


def test_a_run_that_is_not_there_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--without 'x'"):
        read_points(write(tmp_path / "a.csv"), without=["x"])
