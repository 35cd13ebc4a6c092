"""Few repeats of every cell with other seeds: bounds wide enough not to flake, narrow enough to see a broken rule."""

from __future__ import annotations

import contextlib
import math
import sys

import numpy as np
import pytest

from calibration import __main__ as calibrate
from calibration.__main__ import PAGE, measured, page, stored
from calibration.cells import Cell, all_cells
from calibration.matrices import SYSTEMS, real

CELLS = all_cells()
# One test set's size, and of the groups whose every repeat is a whole study the first cell alone: minutes, not seconds.
QUICK = [cell for cell in CELLS if cell.group not in ("Nothing is better", "Shipping") and " n = 60" in f" {cell.name}"]
QUICK += [next(cell for cell in CELLS if cell.group == group) for group in dict.fromkeys(cell.group for cell in CELLS)]
FEW = {"Nothing is better": 40, "Shipping": 15, "Equivalence": 60}


def test_the_matrices_are_whole():
    for matrix in real().values():
        assert matrix.shape == (1_000, len(SYSTEMS)) and ((matrix >= 0) & (matrix <= 1)).all()


@pytest.mark.parametrize("cell", {cell.name: cell for cell in QUICK}.values(), ids=lambda cell: cell.name)
def test_a_cell_is_near_its_bounds(cell: Cell):
    repeats = FEW.get(cell.group, 150)
    share = measured(cell, repeats, salt="test")["share"]
    assert 0 <= share <= 1
    for bound, below in ((cell.low, True), (cell.high, False)):
        if bound is not None:
            slack = 5 * math.sqrt(max(bound * (1 - bound), 0.02) / repeats) + 0.01
            assert share > bound - slack if below else share < bound + slack


def test_cells_have_keys_of_their_own_and_the_page_holds_them_all():
    assert len({cell.key for cell in CELLS}) == len(CELLS)
    results = {cell.key: {"share": 0.95, "repeats": cell.repeats} for cell in CELLS}
    assert sum(line.startswith("| ") for line in page(CELLS, results).splitlines()) == len(CELLS) + len(
        {cell.group for cell in CELLS}
    )


def test_a_broken_bound_is_said():
    cell = Cell("Group", "too often", 100, lambda random, repeats: 0.5, None, 0.05)
    text = page([cell], {cell.key: measured(cell, 100)})
    assert "| too often | 100 | 0.5000 | 0.4038 to 0.5962 | at most 0.05 | **no** |" in text
    assert "0 of 1 bounds hold, 0 more within error." in text
    assert "not run" not in text and "1 of 1 cells have not been run" in page([cell], {})


@pytest.mark.parametrize(
    ("share", "repeats", "expected"),
    [
        (0.95, 100, "yes"),
        (0.94, 100, "yes"),
        (0.93, 100, "within error"),
        (0.97, 100, "within error"),
        (0.93, 20_000, "no"),
        (0.97, 20_000, "no"),
        (0.936, 20_000, "within error"),
        (0.934, 20_000, "no"),
    ],
)
def test_a_bound_is_judged_with_the_error_of_the_simulation(share, repeats, expected):
    """At 0.94 three standard errors of 20,000 repeats are 0.0050."""
    cell = Cell("Group", "covers", repeats, lambda random, repeats: share, 0.94, 0.965)
    assert cell.holds(share, repeats) == expected
    assert Cell("Group", "covers", repeats, cell.run).holds(share, repeats) is None


def test_a_stopped_run_goes_on_and_a_named_cell_runs_again(tmp_path, monkeypatch):
    ran: list[str] = []

    def cell(name: str, fails: bool = False) -> Cell:
        def run(random: np.random.Generator, repeats: int) -> float:
            ran.append(name)
            if fails:
                raise KeyboardInterrupt
            return 0.5

        return Cell("Group", name, 10, run)

    def calibrated(cells: list[Cell], *names: str) -> list[str]:
        ran.clear()
        monkeypatch.setattr(calibrate, "all_cells", lambda: cells)
        monkeypatch.setattr(sys, "argv", ["calibration", *names])
        with contextlib.suppress(KeyboardInterrupt):
            calibrate.main()
        return list(ran)

    monkeypatch.setattr(calibrate, "RESULTS", tmp_path / "statistics.json")
    monkeypatch.setattr(calibrate, "PAGE", tmp_path / "page.md")
    assert calibrated([cell("one"), cell("two", fails=True)]) == ["one", "two"]
    assert list(stored()) == ["Group: one"] and "1 of 2 cells have not been run" in calibrate.PAGE.read_text("utf-8")
    assert calibrated([cell("one"), cell("two")]) == ["two"]
    assert calibrated([cell("one"), cell("two")]) == []
    assert calibrated([cell("one"), cell("two")], "one") == ["one"]
    assert calibrated([cell("two")], "two") == ["two"] and list(stored()) == ["Group: two"], "no row of a gone cell"


def test_the_published_page_is_that_of_the_results():
    assert PAGE.read_text(encoding="utf-8") == page(CELLS, stored())
