"""One metric of aligned arms -> an estimate for each arm and each pair on the same units: by t, Wilson or bootstrap.

    scores (rows) --by unit--> values (units) --> Estimate of each arm and pair; (seeds, units) tables

An unknown value leaves its example out of that metric, for both arms of a pair; it never counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from luthier.errors import DataError, SettingsError
from luthier.metrics import DECIDING, DECIDING_LABELS, ENDS, SHARES, SUMMED
from luthier.records import Score
from luthier.scoring.score import corpus_value
from luthier.stats import intervals
from luthier.stats.intervals import Estimate, Floats
from luthier.verdicts.align import Table, has_value

PairOfArms = tuple[str, str]  # a, b: differences are a - b
Seeds = Mapping[str, Sequence[Sequence[Score]]]

RESAMPLES = 1_000
RESAMPLES_DECIDING = 10_000  # simultaneous levels read the outermost percentiles, for which 1,000 draws are too few


@dataclass(frozen=True)
class Column:
    """One metric: an estimate for each arm and each pair; absent where no example has a value."""

    metric: str
    arms: dict[str, Estimate]
    pairs: dict[PairOfArms, Estimate]


def measure(table: Table, metric: str, deciding: str, seed: int) -> Column:
    """The column of one metric; `seed` is of the bootstrap, which draws more for the deciding metric."""
    if metric in SUMMED:
        return _corpus_column(table, metric, RESAMPLES_DECIDING if metric == deciding else RESAMPLES, seed)
    return _mean_column(table, metric)


def _mean_column(table: Table, metric: str) -> Column:
    """An arm over the examples where it has a value, a pair over those where both have one; units count equally."""
    one, two = (
        (intervals.share_of, intervals.paired_shares) if metric in SHARES else (intervals.mean_of, intervals.paired)
    )
    values = {
        name: np.array([score.values.get(metric) for score in scores], dtype=float)  # None becomes nan
        for name, scores in table.scores.items()
    }

    def unit_means(*names: str) -> list[Floats]:
        rows = np.flatnonzero(np.logical_and.reduce([np.isfinite(values[name]) for name in names]))
        units = [table.units[row] for row in rows]
        return [intervals.by_unit(values[name][rows], units)[0] for name in names] if units else []

    low, high = ENDS[metric]
    arms = {name: one(*columns).within((low, high)) for name in values if (columns := unit_means(name))}
    pairs = {
        pair: two(*columns).within((low - high, high - low))
        for pair in combinations(values, 2)
        if (columns := unit_means(*pair))
    }
    return Column(metric, arms, pairs)


def _corpus_column(table: Table, metric: str, resamples: int, seed: int) -> Column:
    """Sums the counts, then forms the metric, for the data and for every resample of units.

    A unit of several rows is drawn whole. It weighs by the length of its text, as in every corpus metric.
    """
    names = list(table.scores)
    rows = [i for i in range(len(table.ids)) if all(has_value(table.scores[name][i], metric) for name in names)]
    if not rows:
        return Column(metric, {}, {})
    sums = _unit_sums(table, metric, rows)
    n, resampled = len(sums), intervals.resampled_sums(sums.reshape(len(sums), -1), resamples, seed)
    resampled = np.vstack([sums.sum(axis=0).reshape(1, -1), resampled]).reshape(
        -1, *sums.shape[1:]
    )  # first row: the data
    formed = {a: np.array([corpus_value(metric, row) for row in resampled[:, i].tolist()]) for i, a in enumerate(names)}

    def estimate(values: Floats, changed: NDArray[np.bool_]) -> Estimate:
        return intervals.resampled_estimate(float(values[0]), values[1:], n, int(changed.any(axis=1).sum()))

    arms = {name: estimate(formed[name], sums[:, i] > 0) for i, name in enumerate(names)}
    pairs = {
        (a, b): estimate(formed[a] - formed[b], sums[:, i] != sums[:, j])
        for (i, a), (j, b) in combinations(enumerate(names), 2)
    }
    return Column(metric, arms, pairs)


def _unit_sums(table: Table, metric: str, rows: Sequence[int]) -> NDArray[np.int64]:
    """(units, arms, counts): the statistics of each unit's rows, added up."""
    units, index = intervals.unit_index([table.units[i] for i in rows])
    counts = np.array([[scores[i].statistics[metric] for scores in table.scores.values()] for i in rows])
    sums = np.zeros((len(units), *counts.shape[1:]), dtype=np.int64)
    np.add.at(sums, index, counts)
    return sums


# ---------------------------------------------------------------------------------------------------------- seeds


def seed_tables(table: Table, metric: str, seeds: Seeds) -> dict[str, Floats]:
    """arm -> (seeds, units) unit means of a metric: the compared scores first, then those of each further seed.

    Raises SettingsError for an arm that is not compared or a corpus metric, which has no value of one unit; DataError
    when a further seed lacks a value for a compared example.
    """
    if metric in SUMMED:
        other = DECIDING_LABELS if metric == "macro_f1" else DECIDING
        raise SettingsError(f"'{metric}' has no value of a single example, so no seed can be judged by it; use {other}")
    if strangers := [name for name in seeds if name not in table.scores]:
        raise SettingsError(f"further seeds are given for '{strangers[0]}', which is none of the arms; name an arm")
    return {
        name: np.array([_unit_values(table, metric, scores, name) for scores in (first, *seeds.get(name, ()))])
        for name, first in table.scores.items()
    }


def _unit_values(table: Table, metric: str, scores: Sequence[Score], arm: str) -> Floats:
    values = {score.id: value for score in scores if (value := score.values.get(metric)) is not None}
    if lacking := [id for id in table.ids if id not in values]:
        raise DataError(
            f"a further seed of arm '{arm}' has no {metric} for {len(lacking)} of {len(table.ids)} examples "
            f"('{lacking[0]}'); let every seed answer the same examples"
        )
    return intervals.by_unit([values[id] for id in table.ids], table.units)[0]
