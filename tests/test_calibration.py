"""Few repeats of every cell with other seeds: bounds wide enough not to flake, narrow enough to see a broken rule."""

from __future__ import annotations

import math

import pytest

from calibration.__main__ import PAGE, measured, page, place, stored
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


def test_cells_have_files_of_their_own_and_the_page_holds_them_all():
    assert len({place(cell) for cell in CELLS}) == len(CELLS)
    results = [{"share": 0.95, "repeats": cell.repeats} for cell in CELLS]
    assert sum(line.startswith("| ") for line in page(CELLS, results).splitlines()) == len(CELLS) + len(
        {cell.group for cell in CELLS}
    )


def test_a_broken_bound_is_said():
    cell = Cell("Group", "too often", 10, lambda random, repeats: 0.5, None, 0.05)
    text = page([cell], [measured(cell, 10)])
    assert "| too often | 10 | 0.5000 | at most 0.05 | **no** |" in text and "0 of 1 bounds hold." in text
    assert "not run" not in text and "1 of 1 cells have not been run" in page([cell], [None])


def test_the_published_page_is_that_of_the_results():
    assert PAGE.read_text(encoding="utf-8") == page(CELLS, stored(CELLS))
