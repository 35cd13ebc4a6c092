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
from luthier.scratch.points import FEWEST, Points

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
class Predictor:
    """A law with its resamples and backtests: losses with intervals at LEVEL."""

    minimum: Minimum
    points: Points
    thetas_R5: Floats
    backtests: tuple[Backtest, ...]

    @property
    def width(self) -> float | None:
        """Relative error at distance 0 that LEVEL of the backtests stay below; None where there was none."""
        if not self.backtests:
            return None
        scaled = np.concatenate([np.abs(one.errors_m) / (1 + one.distances_m) for one in self.backtests])
        return float(np.quantile(scaled, LEVEL))

    def interval(self, parameters_m: Floats, tokens_m: Floats) -> tuple[Floats, Floats, Floats]:
        """(loss, low, high) at each point, nats a token."""
        loss = self.minimum.law.loss(parameters_m, tokens_m)
        half = np.hypot(self.resampled_half(parameters_m, tokens_m), self.tested_half(parameters_m, tokens_m))
        return loss, loss * np.exp(-half), loss * np.exp(half)

    def resampled_half(self, parameters_m: Floats, tokens_m: Floats) -> Floats:
        """Half the width of the bootstrap's interval of the log loss."""
        log_losses = np.log([law_of(theta).loss(parameters_m, tokens_m) for theta in self.thetas_R5])
        low, high = np.quantile(log_losses, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
        return np.asarray((high - low) / 2)

    def tested_half(self, parameters_m: Floats, tokens_m: Floats) -> Floats:
        """Half the width, on the log loss, that backtests ask for; 0 where there was none."""
        return (self.width or 0.0) * (1 + distances(flops_of(parameters_m, tokens_m), self.points.flops_n))

    def optimum_interval(self, flops: float) -> dict[str, tuple[float, float, float]]:
        """Parameters, tokens and tokens a parameter of lowest loss at `flops`: (value, low, high) over resamples."""
        every = [self.minimum.law, *map(law_of, self.thetas_R5)]
        n, d = (np.array([law.optimum(flops)[k] for law in every], float) for k in (0, 1))
        quantities = {"parameters": n, "tokens": d, "tokens_a_parameter": d / n}
        return {name: (float(values[0]), *_ends(values[1:])) for name, values in quantities.items()}


def predictor(points: Points, *, delta: float = DELTA, resamples: int = RESAMPLES, seed: int = 0) -> Predictor:
    """The law of the points, its resamples by run, and its backtests."""
    n, d, losses = points.parameters_n, points.tokens_n, points.losses_n
    minimum = fit(n, d, losses, delta=delta, seed=seed)
    thetas = refit(n, d, losses, run_weights(points, resamples, seed), minimum.theta_5 + _NEIGHBOURS, delta=delta)
    return Predictor(minimum, points, thetas, backtests(points, delta=delta, seed=seed))


def run_weights(points: Points, resamples: int, seed: int) -> Floats:
    """(R, n): how often each point is drawn when whole runs are drawn with replacement."""
    names = sorted(set(points.runs))
    of_point = np.array([names.index(run) for run in points.runs])
    dice = np.random.default_rng(seed)
    drawn = dice.integers(0, len(names), (resamples, len(names)))
    counts = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    return np.asarray(counts[:, of_point], float)


def backtests(points: Points, *, delta: float = DELTA, seed: int = 0) -> tuple[Backtest, ...]:
    """A backtest for each cut that leaves at least FEWEST points below it and one above."""
    flops, done = points.flops_n, []
    for quantile in CUTS:
        cut = float(np.quantile(flops, quantile))
        small, large = points.where(flops < cut), points.where(flops >= cut)
        if len(small) < FEWEST or not len(large) or len(set(small.parameters_n)) < 2 or len(set(small.tokens_n)) < 2:
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


def _ends(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
