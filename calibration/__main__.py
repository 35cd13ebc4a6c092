"""`make calibrate`: runs the cells that have no result yet and writes docs/calibration.md.

    python -m calibration                  what has no row in calibration/results/statistics.json
    python -m calibration Seeds 'n = 60'   again every cell whose key, "{group}: {name}", holds one of these texts

The file is replaced after each cell, so a stopped run goes on where it was. The seed of a cell follows from its name: a
cell gives the same number alone and among others.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration.cells import Cell, all_cells
from luthier.files import read_json, write_json, write_text
from luthier.progress import bar, check_stop, stoppable
from luthier.stats.intervals import wilson

Result = dict[str, Any]

RESULTS = Path(__file__).parent / "results" / "statistics.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "calibration.md"

INTRODUCTION = """# Calibration

Do the statistics keep what they promise? Each row is one promise, simulated with known truth through the functions that
`compare` calls. Real data are ROUGE-1 of eight systems that need no model, on 1,000 dialogues of DialogSum and of
MTS-Dialog (`calibration/scores.json`); a repeat draws n of them with replacement. A share of finitely many repeats is
itself uncertain: its 95 % interval (Wilson) stands beside it, and a share beyond its bound by no more than three
standard errors at the bound is *within error*. Rows without bounds are reported as they are.

`make calibrate` runs what has no row in `calibration/results/statistics.json` and writes this page; nothing here is
typed by hand.
"""

# What a reader of a group's table has to know; said once here, since the page is made.
NOTES = {
    "Detection": """A two-sided 5 % test finds 3 standard errors with probability .851 when n is large (normal theory),
so .85 is where the arithmetic itself stands. At a first look half the error rate is spent, and power is predicted from
the differences' standard deviation and skewness (MTS-Dialog: -1), which makes their interval longer.""",
    "Equivalence": """With the truth at the margin an exact test says *equivalent* in 5 % of studies, so half of all
such simulations lie a little above.""",
    "Seeds": """Bounds are asked for up to 1 point; with 2 points three seeds stand at the lower bound itself.""",
}


def main() -> None:
    """Runs the cells that are named, or else those that wait, and writes the page; also when it is stopped between."""
    cells, rows, names = all_cells(), stored(), sys.argv[1:]
    waiting = [cell for cell in cells if (_named(cell, names) if names else cell.key not in rows)]
    try:
        with stoppable(), bar("calibrate", len(cells), "cells", done=len(cells) - len(waiting)) as progress:
            for cell in waiting:
                rows[cell.key] = measured(cell, cell.repeats)
                write_json(RESULTS, {cell.key: rows[cell.key] for cell in cells if cell.key in rows})
                progress.advance(1, cell.name)
                check_stop()
    finally:
        write_text(PAGE, page(cells, stored()))


def _named(cell: Cell, texts: Sequence[str]) -> bool:
    """Whether a cell's key holds one of the texts."""
    return any(text in cell.key for text in texts)


def stored() -> dict[str, Result]:
    """The results that are there, by the key of their cell."""
    return read_json(RESULTS) if RESULTS.exists() else {}


def measured(cell: Cell, repeats: int, salt: str = "") -> Result:
    """One result: the share, over how many repeats, in how many seconds. `salt` draws other data."""
    seed = int.from_bytes(hashlib.sha256(f"{cell.group}/{cell.name}{salt}".encode()).digest()[:8], "big")
    began = time.monotonic()
    share = float(cell.run(np.random.default_rng(seed), repeats))
    return {"share": share, "repeats": repeats, "seconds": round(time.monotonic() - began, 1)}


def page(cells: Sequence[Cell], results: Mapping[str, Result]) -> str:
    """The table, one part a group, and how many bounds hold; a cell without a result says so."""
    rows = [(cell, results.get(cell.key)) for cell in cells]
    judged = [holds for cell, row in rows if row and (holds := cell.holds(row["share"], row["repeats"]))]
    absent = sum(row is None for _, row in rows)
    text = f"{INTRODUCTION}\n{judged.count('yes')} of {len(judged)} bounds hold"
    text += f", {judged.count('within error')} more within error"
    text += f"; {absent} of {len(cells)} cells have not been run.\n" if absent else ".\n"
    for group in dict.fromkeys(cell.group for cell in cells):
        text += f"\n## {group}\n\n{NOTES[group]}\n\n" if group in NOTES else f"\n## {group}\n\n"
        text += "| what | repeats | share | its interval | bounds | holds |\n|---|---:|---:|---|---|---|\n"
        text += "".join(_line(cell, row) for cell, row in rows if cell.group == group)
    return text


def _line(cell: Cell, row: Result | None) -> str:
    if row is None:
        return f"| {cell.name} | {cell.repeats:,} | not run | | {_bounds(cell)} | |\n"
    holds = (cell.holds(row["share"], row["repeats"]) or "").replace("no", "**no**")
    share, repeats = row["share"], row["repeats"]
    low, high = wilson(share * repeats, repeats)
    interval = f"{low:.4f} to {high:.4f}" if cell.counted else ""
    return f"| {cell.name} | {repeats:,} | {share:.4f} | {interval} | {_bounds(cell)} | {holds} |\n"


def _bounds(cell: Cell) -> str:
    if cell.low is None:
        return "" if cell.high is None else f"at most {cell.high:.4g}"
    return f"at least {cell.low:.4g}" if cell.high is None else f"{cell.low:.4g} to {cell.high:.4g}"


if __name__ == "__main__":
    main()
