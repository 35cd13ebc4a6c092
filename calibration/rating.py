"""Do the intervals of `luthier rate` hold what they say? Simulated raters, of whom the true numbers are known.

    python -m calibration.rating                 cells without a result, into calibration/results/rating.json
    python -m calibration.rating usual           this cell again

Raters judge as Davidson's model says, but on the quality that an answer happens to have *in this dialogue*, so that
votes on one dialogue hang together. All of them lean to a side, one of them clicks at random, about 30 % of the votes
are ties and some answers are identical. What is estimated is the marginal preference, and its truth is what a million
such votes say. A dialogue of the shared 20 % is judged by everybody, another by one rater.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.files import read_json, write_json
from luthier.rating import strengths as preference
from luthier.stats.intervals import wilson

Floats = NDArray[np.float64]
Votes = NDArray[np.intp]  # 0 the first arm of the pair, 1 a tie, 2 the second

REPEATS, RESAMPLES, LEVEL, TRUTH_VOTES = 2_000, 1_000, 0.95, 1_000_000
RESULTS = Path(__file__).parent / "results" / "rating.json"


@dataclass(frozen=True)
class Cell:
    """One world of raters and dialogues."""

    name: str
    dialogues: int = 60
    log_strengths: tuple[float, ...] = (0.5, 0.2, -0.2, -0.5)
    leanings: tuple[float, ...] = (0.6, 0.2, 0.0)  # of each rater to the first side, on the log scale; the last clicks
    by_dialogue: float = 0.8  # standard deviation of an answer's quality over dialogues
    log_tie: float = 0.1
    identical: float = 0.05  # share of items whose answers are the same text
    shared: float = 0.2

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return list(combinations(range(len(self.log_strengths)), 2))


def cells() -> list[Cell]:
    """The worlds that are tried."""
    return [
        Cell("usual"),
        Cell("two arms", log_strengths=(0.3, -0.3)),
        Cell("equal arms", log_strengths=(0.0, 0.0, 0.0)),
        Cell("far apart", log_strengths=(1.5, 0.5, -0.5, -1.5)),
        Cell("30 dialogues", dialogues=30, log_strengths=(0.4, 0.0, -0.4)),
        Cell("200 dialogues", dialogues=200),
        Cell("six raters", leanings=(0.8, 0.4, 0.2, 0.0, -0.3, 0.0)),
    ]


def run(cell: Cell, repeats: int = REPEATS, seed: int = 0) -> dict[str, Any]:
    """Coverage of each kind of interval over `repeats` rating rounds, with its own 95 % interval."""
    random = np.random.default_rng([seed, *cell.name.encode()])
    truth = _truth(cell, random)
    rounds = [_round(cell, random, resample) for resample in range(repeats)]
    held = {kind: np.array([_holds(one[kind], truth[kind]) for one in rounds]) for kind in truth}
    widths = {kind: np.mean([high - low for one in rounds for low, high in one[kind]]) for kind in truth}
    return {
        "cell": asdict(cell),
        "repeats": repeats,
        "level": LEVEL,
        "truth": {kind: np.round(values, 4).tolist() for kind, values in truth.items()},
        "coverage": {kind: _coverage(rows) for kind, rows in held.items()},
        "mean_width": {kind: round(float(width), 4) for kind, width in widths.items()},
    }


def _coverage(held: NDArray[np.bool_]) -> dict[str, Any]:
    """Mean over the arms (or pairs), the worst of them, and the simulation's own uncertainty about one of them."""
    by_column = held.mean(axis=0)
    low, high = wilson(float(held.mean() * len(held)), len(held))
    rounded = {"mean": held.mean(), "low": low, "high": high, "least": by_column.min(), "most": by_column.max()}
    return {key: round(float(value), 4) for key, value in rounded.items()}


def _holds(intervals: list[tuple[float, float]], truth: Floats) -> list[bool]:
    return [bool(low <= value <= high) for (low, high), value in zip(intervals, truth, strict=True)]


# ------------------------------------------------------------------------------------------------------- the world


def _vote(cell: Cell, random: np.random.Generator, quality: Floats, rater: Votes, first_left: NDArray[Any]) -> Votes:
    """(...,) votes on (..., 2) qualities; `first_left` says whether the pair's first arm stands on the first side."""
    lean = np.array(cell.leanings)[rater] * np.where(first_left, 0.5, -0.5)
    first, second = quality[..., 0] + lean, quality[..., 1] - lean
    utilities = np.stack([first, cell.log_tie + (first + second) / 2, second], axis=-1)
    utilities[rater == len(cell.leanings) - 1] = 0.0  # the one who clicks at random
    chances = np.exp(utilities)
    steps = np.cumsum(chances, axis=-1) / chances.sum(axis=-1, keepdims=True)
    return (random.random(steps.shape[:-1])[..., None] > steps).sum(axis=-1)


def _qualities(cell: Cell, random: np.random.Generator, dialogues: int) -> Floats:
    """(dialogues, pairs, 2)"""
    arms = np.array(cell.log_strengths)
    quality = arms + cell.by_dialogue * random.standard_normal((dialogues, len(arms)))
    return quality[:, np.array(cell.pairs)]


def _many_votes(cell: Cell, random: np.random.Generator) -> tuple[Votes, NDArray[np.bool_]]:
    """(dialogues, pairs, raters): a million votes, every rater on every item, and which had the first arm first."""
    raters = len(cell.leanings)
    dialogues = TRUTH_VOTES // (len(cell.pairs) * raters)
    quality = np.repeat(_qualities(cell, random, dialogues)[:, :, None], raters, axis=2)
    left = random.random(quality.shape[:-1]) < 0.5
    return _vote(cell, random, quality, np.broadcast_to(np.arange(raters), left.shape), left), left


def _truth(cell: Cell, random: np.random.Generator) -> dict[str, Floats]:
    """What a million votes say: strengths, win rates of pairs, the share of the first side, and alpha."""
    votes, left = _many_votes(cell, random)
    same = cell.identical
    counts = (1 - same) * _one_hot(votes).mean(axis=(0, 2)) + same * np.array([0.0, 1.0, 0.0])
    fit = preference.davidson(counts * 1e9, cell.pairs, len(cell.log_strengths))
    chosen, decisive = _first_side(votes, left)
    items = _one_hot(votes).sum(axis=2).reshape(-1, 3)
    agreement = preference.agreement(items, [str(i) for i in range(len(items))], mirrored=True)
    assert agreement is not None and agreement.alpha is not None
    return {
        "strengths": fit.log_strengths,
        "win rates": (1 + counts[:, 0] - counts[:, 2]) / 2,
        "first side": np.array([chosen.sum() / decisive.sum()]),
        "alpha": np.array([agreement.alpha]),
    }


def _one_hot(votes: Votes) -> Floats:
    return np.eye(3)[votes]


def _first_side(votes: Votes, left: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which votes chose the first side, and which were decisive."""
    decisive = votes != 1
    return decisive & ((votes == 0) == left), decisive


def _round(cell: Cell, random: np.random.Generator, seed: int) -> dict[str, list[tuple[float, float]]]:
    """One rating round, and the intervals that come out of it."""
    n, pairs, raters = cell.dialogues, cell.pairs, len(cell.leanings)
    quality = np.repeat(_qualities(cell, random, n)[:, :, None], raters, axis=2)
    left = _balanced_sides(random, n, len(pairs), raters)
    votes = _vote(cell, random, quality, np.broadcast_to(np.arange(raters), left.shape), left)
    given = _who_votes(cell, random)
    counts = _one_hot(votes) * given[..., None]
    outcomes = counts.sum(axis=2) / np.maximum(given.sum(axis=2), 1)[..., None]
    outcomes[given.sum(axis=2) == 0] = [0.0, 1.0, 0.0]  # identical answers are a tie that nobody is asked about
    chosen, decisive = (marks * given for marks in _first_side(votes, left))
    return _intervals(cell, outcomes, chosen.sum(axis=(1, 2)), decisive.sum(axis=(1, 2)), counts.sum(axis=2), seed)


def _balanced_sides(random: np.random.Generator, dialogues: int, pairs: int, raters: int) -> NDArray[np.bool_]:
    """(dialogues, pairs, raters): each rater sees each pair's first arm first in half of the dialogues."""
    halves = np.arange(dialogues)[:, None, None] % 2 == 0
    return random.permuted(np.broadcast_to(halves, (dialogues, pairs, raters)), axis=0)


def _who_votes(cell: Cell, random: np.random.Generator) -> NDArray[np.bool_]:
    """(dialogues, pairs, raters): everybody on shared dialogues, one rater on others, nobody on identical answers."""
    n, raters = cell.dialogues, len(cell.leanings)
    one = np.eye(raters, dtype=bool)[random.permutation(np.arange(n) % raters)]
    one[: round(cell.shared * n)] = True
    different = random.random((n, len(cell.pairs))) >= cell.identical
    return one[:, None] & different[:, :, None]


def _intervals(
    cell: Cell, outcomes: Floats, chosen: Floats, decisive: Floats, counts: Floats, seed: int
) -> dict[str, list[tuple[float, float]]]:
    """Each kind of interval as `luthier rate` makes it; (low, high) for each arm, for each pair, and for the raters."""
    arms = len(cell.log_strengths)
    strengths = preference.strengths(outcomes, cell.pairs, arms, level=LEVEL, resamples=RESAMPLES, seed=seed)
    wins = [preference.preference(rows).interval(LEVEL) for rows in (outcomes[:, :, 0] - outcomes[:, :, 2]).T]
    side = preference.share(chosen.astype(float), decisive.astype(float), LEVEL)
    dialogues = [str(i) for i in range(len(counts)) for _ in cell.pairs]
    agreement = preference.agreement(counts.reshape(-1, 3), dialogues, LEVEL, mirrored=True)
    assert side is not None and agreement is not None and agreement.low is not None and agreement.high is not None
    return {
        "strengths": [tuple(ends) for ends in strengths.intervals],
        "win rates": [((1 + low) / 2, (1 + high) / 2) for low, high in wins],
        "first side": [(side.low, side.high)],
        "alpha": [(agreement.low, agreement.high)],
    }


def main() -> None:
    """Runs the cells that are named, or those that have no row yet; each row is written when it is there."""
    by_name = {cell.name: cell for cell in cells()}
    done = read_json(RESULTS)["cells"] if RESULTS.exists() else {}
    for name in sys.argv[1:] or [name for name in by_name if name not in done]:
        done[name] = run(by_name[name])
        print(name, json.dumps(done[name]["coverage"]), json.dumps(done[name]["mean_width"]), flush=True)
        rows = {name: done[name] for name in by_name if name in done}
        write_json(RESULTS, {"resamples": RESAMPLES, "truth_votes": TRUTH_VOTES, "cells": rows})


if __name__ == "__main__":
    main()
