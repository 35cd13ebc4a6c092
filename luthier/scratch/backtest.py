"""Predictions with an interval that was tested: how wrong laws of the smaller points were about the larger ones.

A bootstrap alone says how much a law moves when other runs are drawn. It does not say how wrong the law's form is, and
beyond the points that error is the larger one. So the points are asked themselves. For each CUT the law is fitted to
the points below that quantile of compute, and predicts those above it. Errors grow with the distance, so each error is
divided by 1 + its distance (the decades of compute beyond the fitted points, as a share of the decades they span). The
LEVEL quantile of these errors over all cuts, times 1 + the distance of a new point, is the width there; it is added in
quadrature to the bootstrap's. docs/decisions/0021-scaling-intervals.md compares this with other rules.

    shapes: n points, R resamples, M points to predict
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.scratch.law_fit import DELTA, Minimum, fit, law_of, refit
from luthier.scratch.laws import AdditiveLaw, Floats, flops_of
from luthier.scratch.points import Points

CUTS = (0.4, 0.5, 0.6, 0.7, 0.8)
LEVEL = 0.9
RESAMPLES = 200
_NEIGHBOURS = np.array([[0, 0, 0, 0, 0], [0.5, 0.5, -0.1, 0.03, 0.03], [-0.5, -0.5, 0.05, -0.03, -0.03]], float)


@dataclass(frozen=True)
class Backtest:
    """One cut: how many points were fitted, and the errors (log predicted - log loss) of those beyond."""

    quantile: float
    flops: float  # the cut
    fitted: int
    law: AdditiveLaw
    flops_m: Floats
    errors_m: Floats
    distances_m: Floats

    @property
    def error(self) -> float:
        """The LEVEL quantile of the absolute errors, without regard to distance."""
        return float(np.quantile(np.abs(self.errors_m), LEVEL))


@dataclass(frozen=True)
class Tested:
    """A law whose predictions have intervals at `level`.

    `thetas_R5` are the laws of the resamples. `width` is the relative error at distance 0 that `level` of the backtests
    stay below, None where there was none. `flops` are the least and the most of the points that were fitted.
    """

    law: AdditiveLaw
    thetas_R5: Floats
    width: float | None
    flops: tuple[float, float]
    level: float = LEVEL

    def interval(self, parameters_m: Floats, tokens_m: Floats) -> tuple[Floats, Floats, Floats]:
        """(loss, low, high) at each point, nats a token."""
        loss = self.law.loss(parameters_m, tokens_m)
        half = np.hypot(self.resampled_half(parameters_m, tokens_m), self.tested_half(parameters_m, tokens_m))
        return loss, loss * np.exp(-half), loss * np.exp(half)

    def resampled_half(self, parameters_m: Floats, tokens_m: Floats) -> Floats:
        """Half the width of the bootstrap's interval of the log loss."""
        log_losses = np.log([law_of(theta).loss(parameters_m, tokens_m) for theta in self.thetas_R5])
        low, high = self.ends(log_losses)
        return np.asarray((high - low) / 2)

    def tested_half(self, parameters_m: Floats, tokens_m: Floats) -> Floats:
        """Half the width, on the log loss, that backtests ask for; 0 where there was none."""
        return (self.width or 0.0) * (1 + distances(flops_of(parameters_m, tokens_m), np.array(self.flops)))

    def optimum_interval(self, flops: float) -> dict[str, tuple[float, float, float]]:
        """Parameters, tokens and tokens a parameter of lowest loss at `flops`: (value, low, high) over resamples."""
        every = [self.law, *map(law_of, self.thetas_R5)]
        n, d = (np.array([law.optimum(flops)[k] for law in every], float) for k in (0, 1))
        quantities = {"parameters": n, "tokens": d, "tokens_a_parameter": d / n}
        intervals = {}
        for name, values in quantities.items():
            low, high = self.ends(values[1:])
            intervals[name] = float(values[0]), float(low), float(high)
        return intervals

    def ends(self, resampled_R: Floats) -> Floats:
        """(2, ...): the ends of the interval of what the resamples gave."""
        return np.asarray(np.quantile(resampled_R, ((1 - self.level) / 2, (1 + self.level) / 2), axis=0))


@dataclass(frozen=True)
class Predictor:
    """Points, the minimum that their law is, its backtests, and with them its predictions."""

    points: Points
    minimum: Minimum
    backtests: tuple[Backtest, ...]
    tested: Tested


def predictor(points: Points, *, delta: float = DELTA, resamples: int = RESAMPLES, seed: int = 0) -> Predictor:
    """The law of the points, its resamples by run, and its backtests."""
    n, d, losses = points.parameters_n, points.tokens_n, points.losses_n
    minimum = fit(n, d, losses, delta=delta, seed=seed)
    thetas = refit(n, d, losses, run_weights(points, resamples, seed), minimum.theta_5 + _NEIGHBOURS, delta=delta)
    tests, flops = backtests(points, delta=delta, seed=seed), points.flops_n
    tested = Tested(minimum.law, thetas, _width(tests), (float(flops.min()), float(flops.max())))
    return Predictor(points, minimum, tests, tested)


def _width(tests: tuple[Backtest, ...]) -> float | None:
    if not tests:
        return None
    return float(np.quantile(np.concatenate([np.abs(one.errors_m) / (1 + one.distances_m) for one in tests]), LEVEL))


def run_weights(points: Points, resamples: int, seed: int) -> Floats:
    """(R, n): how often each point is drawn when whole runs are drawn with replacement."""
    names = sorted(set(points.runs))
    of_point = np.array([names.index(run) for run in points.runs])
    dice = np.random.default_rng(seed)
    drawn = dice.integers(0, len(names), (resamples, len(names)))
    counts = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    return np.asarray(counts[:, of_point], float)


def backtests(points: Points, *, delta: float = DELTA, seed: int = 0) -> tuple[Backtest, ...]:
    """A backtest for each cut that leaves points for a law below it and one above."""
    flops, done = points.flops_n, []
    for quantile in CUTS:
        cut = float(np.quantile(flops, quantile))
        small, large = points.where(flops < cut), points.where(flops >= cut)
        if not (small.can_fit and len(large)):
            continue
        law = fit(small.parameters_n, small.tokens_n, small.losses_n, delta=delta, rounds=1, seed=seed).law
        errors = np.log(law.loss(large.parameters_n, large.tokens_n) / large.losses_n)
        done.append(
            Backtest(quantile, cut, len(small), law, large.flops_n, errors, distances(large.flops_n, small.flops_n))
        )
    return tuple(done)


def distances(flops_m: Floats, fitted_n: Floats) -> Floats:
    """Log compute beyond the fitted points, as a share of the log compute that they span; 0 inside."""
    top, bottom = np.log(fitted_n.max()), np.log(fitted_n.min())
    return np.asarray(np.maximum(np.log(flops_m) - top, 0) / max(top - bottom, 1e-9))
