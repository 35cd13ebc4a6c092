"""Approach 3 of Hoffmann et al. 2022: the law that minimizes Huber's loss of the log loss, found from many starts.

    minimize over a, b, e, alpha, beta   sum_i w_i Huber_delta(logsumexp(a - alpha ln N_i, b - beta ln D_i, e) - ln L_i)

with A = e^a, B = e^b, E = e^e (their appendix D.3). The objective has several minima, and with a small delta narrow
valleys in which an optimizer with default tolerances stops early. So this file has its own: Newton's method in batches,
with the exact second derivatives, for all starts and all resamples at once, until no component of the gradient is
above GRADIENT.

    shapes: S starts (or resamples), n points, 5 parameters in the order a, b, e, alpha, beta
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from luthier.scratch.laws import AdditiveLaw, Floats

DELTA = 1e-3  # Hoffmann et al. 2022, appendix D.3
GRADIENT = 1e-9  # largest component of the gradient at a minimum
A, B, E, ALPHA, BETA = range(5)

_EXPONENTS = np.geomspace(0.04, 1.6, 12)  # of the grid of starts, for alpha and beta
_HOMOTOPY = (0.3, 0.1, 0.03)  # deltas, as multiples of the spread of ln L, from which half of the starts come down
_MOST_STEPS = 400


@dataclass(frozen=True)
class Minimum:
    """A law, the objective at it, and the largest component of the gradient there."""

    law: AdditiveLaw
    theta_5: Floats
    objective: float
    gradient: float
    starts: int  # from which it was looked for
    reached: int  # of these, how many ended at it (objective within a factor 1 + 1e-9)


def huber(residual: Floats, delta: ArrayLike) -> Floats:
    """Half the square up to `delta`, and beyond it a line of that slope (Huber 1964)."""
    size = np.abs(residual)
    quadratic = np.minimum(size, delta)
    return np.asarray(quadratic * (size - 0.5 * quadratic))


class Problem:
    """Points as the objective sees them. ln N and ln D are centred inside, which makes the problem well conditioned."""

    def __init__(self, parameters_n: Floats, tokens_n: Floats, losses_n: Floats) -> None:
        x, y = np.log(parameters_n), np.log(tokens_n)
        self.centre = np.array([x.mean(), y.mean()])
        self.x_n, self.y_n, self.z_n = x - self.centre[0], y - self.centre[1], np.log(losses_n)

    def inside(self, theta_S5: Floats) -> Floats:
        """Parameters of the law -> those of the centred problem."""
        return self._shifted(theta_S5, -1.0)

    def outside(self, theta_S5: Floats) -> Floats:
        return self._shifted(theta_S5, 1.0)

    def _shifted(self, theta_S5: Floats, sign: float) -> Floats:
        moved = np.array(theta_S5, float)
        moved[..., A] += sign * moved[..., ALPHA] * self.centre[0]
        moved[..., B] += sign * moved[..., BETA] * self.centre[1]
        return moved

    def predicted(self, theta_S5: Floats) -> tuple[Floats, Floats]:
        """(S, n) log losses, and (3, S, n) shares of the three terms in the loss."""
        a, b, e, alpha, beta = (theta_S5[:, k, None] for k in range(5))
        terms = np.stack(np.broadcast_arrays(a - alpha * self.x_n, b - beta * self.y_n, e))
        top = terms.max(0)
        parts = np.exp(terms - top)
        total = parts.sum(0)
        return top + np.log(total), parts / total

    def value(self, theta_S5: Floats, weights_Sn: Floats, delta: Floats) -> Floats:
        """(S,) objectives."""
        return np.asarray((weights_Sn * huber(self.predicted(theta_S5)[0] - self.z_n, delta)).sum(1))

    def derivatives(self, theta_S5: Floats, weights_Sn: Floats, delta: Floats) -> tuple[Floats, Floats]:
        """(S, 5) gradients and (S, 5, 5) second derivatives."""
        log_loss, (p_a, p_b, p_e) = self.predicted(theta_S5)
        residual = log_loss - self.z_n
        slope = weights_Sn * np.clip(residual, -delta, delta)
        bend = weights_Sn * (np.abs(residual) <= delta)
        jacobian = np.stack([p_a, p_b, p_e, -p_a * self.x_n, -p_b * self.y_n], 1)  # (S, 5, n)
        gradient = np.matmul(jacobian, slope[..., None])[..., 0]
        second = np.matmul(jacobian * (bend - slope)[:, None], jacobian.transpose(0, 2, 1))
        # Of logsumexp's own second derivative diag(p) - p p', the second part is above; here is the first.
        for share, regressor, log_factor, exponent in ((p_a, self.x_n, A, ALPHA), (p_b, self.y_n, B, BETA)):
            part = slope * share
            second[:, log_factor, log_factor] += part.sum(1)
            cross = -(part * regressor).sum(1)
            second[:, log_factor, exponent] += cross
            second[:, exponent, log_factor] += cross
            second[:, exponent, exponent] += (part * regressor**2).sum(1)
        second[:, E, E] += (slope * p_e).sum(1)
        return gradient, second

    def outer_gradient(self, theta_S5: Floats, weights_Sn: Floats, delta: float) -> Floats:
        """(S,) largest components of the gradient in the law's own parameters, at centred parameters."""
        gradient, _ = self.derivatives(theta_S5, weights_Sn, np.asarray(delta))
        gradient[:, ALPHA] -= self.centre[0] * gradient[:, A]
        gradient[:, BETA] -= self.centre[1] * gradient[:, B]
        return np.asarray(np.abs(gradient).max(1))


def fit(
    parameters_n: Floats, tokens_n: Floats, losses_n: Floats, *, delta: float = DELTA, rounds: int = 3, seed: int = 0
) -> Minimum:
    """The law of lowest objective.

    Starts: a grid of exponents, for each of which A, B and E follow by linear least squares; half directly, half by
    way of larger deltas; then `rounds` of starts around the best minimum. The sum over points is minimized, unweighted.
    """
    problem = Problem(parameters_n, tokens_n, losses_n)
    starts = problem.inside(grid_of_starts(parameters_n, tokens_n, losses_n))
    ends = [descend(problem, starts, delta)]
    eased = starts
    for share in _HOMOTOPY:
        eased = descend(problem, eased, max(delta, share * float(np.std(problem.z_n))), most_steps=25)
    ends.append(descend(problem, eased, delta))
    dice = np.random.default_rng(seed)
    for _ in range(rounds):
        found = np.concatenate(ends)
        best = found[np.argmin(problem.value(found, np.ones((1, 1)), np.asarray(delta)))]
        spread = np.array([1.0, 1.0, 0.5, 0.2, 0.2]) * dice.choice([0.03, 0.1, 0.4], size=(48, 1))
        ends.append(descend(problem, best + spread * dice.standard_normal((48, 5)), delta))
    found = np.concatenate(ends)
    values = problem.value(found, np.ones((1, 1)), np.asarray(delta))
    best = found[np.argmin(values)][None]
    return Minimum(
        law=law_of(problem.outside(best)[0]),
        theta_5=problem.outside(best)[0],
        objective=float(values.min()),
        gradient=float(problem.outer_gradient(best, np.ones((1, 1)), delta)[0]),
        starts=len(found),
        reached=int((values <= values.min() * (1 + 1e-9)).sum()),
    )


def refit(
    parameters_n: Floats,
    tokens_n: Floats,
    losses_n: Floats,
    weights_Rn: Floats,
    theta_K5: Floats,
    *,
    delta: float = DELTA,
) -> Floats:
    """(R, 5): for each row of weights (a resample) the best minimum that the K starts `theta_K5` lead to."""
    problem = Problem(parameters_n, tokens_n, losses_n)
    resamples, starts = len(weights_Rn), len(theta_K5)
    weights = np.repeat(weights_Rn, starts, 0)
    ends = descend(problem, np.tile(problem.inside(theta_K5), (resamples, 1)), delta, weights)
    values = problem.value(ends, weights, np.asarray(delta)).reshape(resamples, starts)
    best = ends.reshape(resamples, starts, 5)[np.arange(resamples), values.argmin(1)]
    return problem.outside(best)


def grid_of_starts(parameters_n: Floats, tokens_n: Floats, losses_n: Floats) -> Floats:
    """(S, 5): a grid of exponents; E, A and B by least squares of the relative error, at least a little above 0."""
    rows = []
    n0, d0 = np.exp(np.log(parameters_n).mean()), np.exp(np.log(tokens_n).mean())
    floor = 1e-3 * float(losses_n.min())
    for alpha in _EXPONENTS:
        for beta in _EXPONENTS:
            terms = np.stack([(parameters_n / n0) ** -alpha, (tokens_n / d0) ** -beta, np.ones_like(losses_n)], 1)
            factors, *_ = np.linalg.lstsq(terms / losses_n[:, None], np.ones_like(losses_n), rcond=None)
            a, b, e = np.log(np.maximum(factors, floor))
            rows.append((a + alpha * np.log(n0), b + beta * np.log(d0), e, alpha, beta))
    return np.array(rows)


def descend(
    problem: Problem, theta_S5: Floats, delta: float, weights_Sn: Floats | None = None, most_steps: int = _MOST_STEPS
) -> Floats:
    """(S, 5): each start moved downhill to a minimum, by damped Newton steps in the centred problem.

    A step uses the absolute eigenvalues of the second derivatives, so that it leads downhill at saddles too. The
    damping of each start falls when its objective fell and rises when it did not.
    """
    theta = np.array(theta_S5, float)
    weights = np.ones((len(theta), 1)) if weights_Sn is None else weights_Sn
    wall = np.asarray(delta)
    value = problem.value(theta, weights, wall)
    damping = np.full(len(theta), 1e-3)
    open_rows = np.arange(len(theta))
    for _ in range(most_steps):
        if not len(open_rows):
            break
        here, w = theta[open_rows], weights[open_rows]
        gradient, second = problem.derivatives(here, w, wall)
        done = np.abs(gradient).max(1) < GRADIENT * 1e-3
        eigen, vectors = np.linalg.eigh(second)
        eigen = np.abs(eigen)
        scale = np.maximum(eigen.max(1, keepdims=True), 1e-300)
        along = np.einsum("sji,sj->si", vectors, gradient)
        step = -np.einsum("sij,sj->si", vectors, along / (eigen + damping[open_rows, None] * scale + 1e-14 * scale))
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(1, keepdims=True), 1e-300))
        tried = problem.value(here + step, w, wall)
        better = tried < value[open_rows]
        moved = open_rows[better]
        theta[moved], value[moved] = (here + step)[better], tried[better]
        damping[open_rows] = np.where(better, damping[open_rows] * 0.2, np.maximum(damping[open_rows], 1e-12) * 6.0)
        stuck = damping[open_rows] > 1e8
        open_rows = open_rows[~(done | stuck)]
    return theta


def law_of(theta_5: Floats) -> AdditiveLaw:
    a, b, e, alpha, beta = map(float, theta_5)
    return AdditiveLaw(e=float(np.exp(e)), a=float(np.exp(a)), b=float(np.exp(b)), alpha=alpha, beta=beta)
