"""Means of a trial over its seeds, where seeds and units are random, and the differences between arms. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from luthier.results.trial_record import TrialMean, TrialRecord, TrialResult, TrialScores
from luthier.stats.intervals import Floats, Interval, inside, mean_of
from luthier.stats.seeds import difference_over_seeds, mean_over_seeds

LEVEL = 0.95
SHARE_RIGHT, LOSS, BITS = "share right", "nats a token", "bits a byte"  # the measures of what was learned
SECONDS, TOKENS_A_SECOND = "processor seconds", "tokens a processor second"
Key = tuple[str, str, str]  # task, measure, band


def judged(results: Sequence[TrialResult]) -> dict[Key, dict[str, list[TrialScores]]]:
    """Task, measure and band -> arm -> its scores by seed, in the order in which they were measured."""
    found: dict[Key, dict[str, list[TrialScores]]] = {}
    for result in sorted((one for one in results if not one.tries), key=lambda one: one.seed):
        for scores in result.scores:
            found.setdefault((result.task, scores.measure, scores.at), {}).setdefault(result.arm, []).append(scores)
    return found


def table_of(scores: Sequence[TrialScores]) -> Floats:
    """(seeds, units) scores whose mean is the measure.

    Of a ratio R of sums, of x_u over w_u, unit u has R + (x_u - R w_u) / mean(w): the mean is R, and the variance over
    units is that of the ratio to first order (Cochran 1977, "Sampling Techniques", section 2.11).
    """
    rows = []
    for one in scores:
        x = np.asarray(one.values, dtype=float)
        if one.weights is not None:
            weights = np.asarray(one.weights, dtype=float)
            ratio = x.sum() / weights.sum()
            x = ratio + (x - ratio * weights) / weights.mean()
        rows.append(x)
    return np.stack(rows)


def interval_of(one: Floats, other: Floats | None = None) -> tuple[float, float, float]:
    """A mean over seeds and units, or a difference from another arm's, with its interval.

    A value of a whole training has no units: its interval is Student's t over the seeds.
    """
    if one.shape[1] == 1:
        over = mean_of((one if other is None else one - other)[:, 0])
        return over.value, *over.interval(LEVEL)
    both = mean_over_seeds(one) if other is None else difference_over_seeds(one, other)
    return both.value, *both.interval(LEVEL)


def means_of(results: Sequence[TrialResult], arms: Sequence[str]) -> list[TrialMean]:
    """Every arm at every measure, and its difference from the first of `arms`. No measure is below 0."""
    means = []
    for (task, measure, at), by_arm in judged(results).items():
        first = table_of(by_arm[arms[0]])
        for arm in (arm for arm in arms if arm in by_arm):
            table = table_of(by_arm[arm])
            value, *ends = interval_of(table)
            low, high = inside(Interval(*ends), (0.0, 1.0 if measure == SHARE_RIGHT else math.inf))
            apart = (None, None, None) if arm == arms[0] else interval_of(table, first)
            means.append(TrialMean(
                task=task, measure=measure, at=at, arm=arm, value=value, low=low, high=high, seeds=len(table),
                units=table.shape[1], difference=apart[0], difference_low=apart[1], difference_high=apart[2],
            ))  # fmt: skip
    return means


def between(record: TrialRecord, key: Key, one: str, other: str) -> tuple[float, float, float]:
    """The difference of two arms with its interval."""
    by_arm = judged(record.results)[key]
    return interval_of(table_of(by_arm[one]), table_of(by_arm[other]))
