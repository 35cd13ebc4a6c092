"""Points of a scaling law, read from a csv, tsv or jsonl file: parameters, tokens and loss of one training each.

Several points may come from one run (its loss after more and more tokens); they are then resampled together. A row
without a loss (an empty cell, nan) is a run that diverged: it is left out and named.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.errors import DataError, SettingsError
from luthier.scratch.laws import Floats, flops_of
from luthier.task.rows import Row, read_rows

FEWEST = 6  # points for a law of five parameters
NAMES = {  # what a column may be called
    "parameters": ("parameters", "params", "n", "params_active_precise"),
    "tokens": ("tokens", "d", "training_tokens"),
    "loss": ("loss", "final_loss", "validation_loss", "val_loss"),
    "run": ("run", "run_name", "name"),
    "unique": ("unique_tokens", "unique", "u"),
}
OPTIONAL = ("run", "unique")


@dataclass(frozen=True)
class Points:
    """n points. `unique_n` are the tokens that differ; all of them where the file does not say."""

    parameters_n: Floats
    tokens_n: Floats
    losses_n: Floats  # nats a token
    unique_n: Floats
    runs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.losses_n)

    @property
    def flops_n(self) -> Floats:
        return flops_of(self.parameters_n, self.tokens_n)

    @property
    def repeated_n(self) -> NDArray[np.bool_]:
        """Which points read some tokens more than once."""
        return np.asarray(self.tokens_n > self.unique_n * (1 + 1e-9))

    @property
    def can_fit(self) -> bool:
        """Whether there are enough points for a law, of more than one size and more than one number of tokens."""
        return len(self) >= FEWEST and len(set(self.parameters_n)) > 1 and len(set(self.tokens_n)) > 1

    def where(self, kept_n: NDArray[np.bool_]) -> Points:
        """The points that are kept."""
        runs = tuple(run for run, kept in zip(self.runs, kept_n, strict=True) if kept)
        arrays = {name: getattr(self, name)[kept_n] for name in ("parameters_n", "tokens_n", "losses_n", "unique_n")}
        return replace(self, runs=runs, **arrays)


@dataclass(frozen=True)
class LeftOut:
    """A point that does not count, and why."""

    row: int
    run: str
    reason: str


def read_points(
    path: Path, columns: Mapping[str, str] | None = None, without: Collection[str] = ()
) -> tuple[Points, tuple[LeftOut, ...]]:
    """The points of a file and those left out: rows without a loss, and the runs named in `without`.

    `columns` maps a key of NAMES to a column where it has another name. Raises DataError for a column that is missing,
    a cell that is no number above 0, or fewer than FEWEST points; SettingsError for a run in `without` that no row has.
    """
    rows, left_out = [], []
    found: dict[str, str | None] = {}
    for row in read_rows(path):
        found = found or _columns(path, row, columns or {})
        name = found["run"]
        run = str(row.values.get(name, "")) if name else f"row {row.number}"
        loss = _number(path, row, found["loss"], may_lack=True)
        if loss is None or run in without:
            left_out.append(
                LeftOut(row.number, run, "it has no loss" if loss is None else "it was named with --without")
            )
            continue
        n, d = (_number(path, row, found[key]) for key in ("parameters", "tokens"))
        u = _number(path, row, found["unique"]) if found["unique"] else d
        rows.append((n, d, loss, min(u or math.inf, d or math.inf), run))
    if missing := sorted(set(without) - {one.run for one in left_out}):
        raise SettingsError(f"--without '{missing[0]}': no point of {path} is of this run; name one that is there")
    if len(rows) < FEWEST:
        raise DataError(
            f"the file has {len(rows)} points with a loss, and a law needs {FEWEST} or more; add points", file=path
        )
    n_n, d_n, l_n, u_n = (np.array([row[k] for row in rows], float) for k in range(4))
    for name, values in (("parameters", n_n), ("tokens", d_n)):
        if len(set(values.tolist())) < 2:
            raise DataError(f"all points have the same {name}; a law needs at least two", file=path, field=found[name])
    return Points(n_n, d_n, l_n, u_n, tuple(str(row[4]) for row in rows)), tuple(left_out)


def _columns(path: Path, first: Row, given: Mapping[str, str]) -> dict[str, str | None]:
    """Key -> the column that holds it; None for an optional one that is not there."""
    lower = {name.lower(): name for name in first.values}
    found: dict[str, str | None] = {}
    for key, names in NAMES.items():
        if key in given:
            if given[key] not in first.values:
                raise DataError(
                    f"there is no such column; the columns are {', '.join(first.values)}", file=path, field=given[key]
                )
            found[key] = given[key]
            continue
        found[key] = next((lower[name] for name in names if name in lower), None)
        if found[key] is None and key not in OPTIONAL:
            raise DataError(
                f"no column is called {' or '.join(names)}; name it with --{key}, the columns are "
                f"{', '.join(first.values)}",
                file=path,
            )
    return found


def _number(path: Path, row: Row, column: str | None, *, may_lack: bool = False) -> float | None:
    value: Any = row.values.get(column or "")
    if may_lack and (value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "inf"))):
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise DataError(
            f"'{str(value)[:40]}' is no number above 0; mend the cell or take the row out",
            file=path, row=row.number, line=row.line, field=column,
        )  # fmt: skip
    return number
