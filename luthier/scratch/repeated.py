"""The law for repeated data (Muennighoff et al. 2023), fitted in two steps, as there.

The points that read every token once give E, A, B, alpha and beta. With these held, R_D and R_N minimize the same
Huber loss over the points that repeat tokens.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from luthier.scratch.law_fit import DELTA, fit
from luthier.scratch.laws import AdditiveLaw, Floats, RepeatedDataLaw
from luthier.scratch.points import FEWEST, Points

_STARTS = np.geomspace(0.3, 300, 7)


def fit_repeated(points: Points, *, delta: float = DELTA, seed: int = 0) -> RepeatedDataLaw | None:
    """The law; None where fewer than FEWEST points read every token once, or fewer than two repeat some."""
    once, again = points.where(~points.repeated_n), points.where(points.repeated_n)
    if len(once) < FEWEST or len(again) < 2 or len(set(once.parameters_n)) < 2 or len(set(once.tokens_n)) < 2:
        return None
    base = fit(once.parameters_n, once.tokens_n, once.losses_n, delta=delta, seed=seed).law
    return half_lives(base, again, delta=delta)


def half_lives(base: AdditiveLaw, again: Points, *, delta: float = DELTA) -> RepeatedDataLaw:
    """R_D and R_N over the points that repeat tokens, by Nelder and Mead's search in logs from a grid of starts."""

    def objective(logs_2: Floats) -> float:
        r_d, r_n = (float(value) for value in np.exp(np.clip(logs_2, -10, 15)))
        law = RepeatedDataLaw(base, r_d, r_n)
        residual = np.abs(np.log(law.loss(again.parameters_n, again.tokens_n, again.unique_n) / again.losses_n))
        inner = np.minimum(residual, delta)
        return float((inner * (residual - 0.5 * inner)).sum())

    grid: list[Floats] = [np.log([r_d, r_n]) for r_d in _STARTS for r_n in _STARTS]
    best = sorted(grid, key=objective)[:5]
    ends = [minimize(objective, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}) for start in best]
    r_d, r_n = np.exp(np.clip(min(ends, key=lambda end: end.fun).x, -10, 15))
    return RepeatedDataLaw(base, float(r_d), float(r_n))
