"""The law for repeated data (Muennighoff et al. 2023), fitted in two steps, as there.

The points that read every token once give E, A, B, alpha and beta. With these held, R_D and R_N minimize the same
Huber loss over the points that repeat tokens.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from luthier.scratch.law_fit import DELTA, huber
from luthier.scratch.laws import AdditiveLaw, Floats, RepeatedDataLaw
from luthier.scratch.points import Points

_STARTS = np.geomspace(0.3, 300, 7)


def apart(points: Points) -> tuple[Points, Points] | None:
    """The points that read every token once, and those that repeat some.

    None where the first are too few for a law, or the others fewer than the two half-lives.
    """
    once, again = points.where(~points.repeated_n), points.where(points.repeated_n)
    return (once, again) if once.can_fit and len(again) >= 2 else None


def half_lives(base: AdditiveLaw, again: Points, *, delta: float = DELTA) -> RepeatedDataLaw:
    """R_D and R_N over the points that repeat tokens, by Nelder and Mead's search in logs from a grid of starts.

    `base` is the law of the points that read every token once.
    """

    def objective(logs_2: Floats) -> float:
        r_d, r_n = (float(value) for value in np.exp(np.clip(logs_2, -10, 15)))
        law = RepeatedDataLaw(base, r_d, r_n)
        residual = np.log(law.loss(again.parameters_n, again.tokens_n, again.unique_n) / again.losses_n)
        return float(huber(residual, delta).sum())

    grid: list[Floats] = [np.log([r_d, r_n]) for r_d in _STARTS for r_n in _STARTS]
    best = sorted(grid, key=objective)[:5]
    ends = [minimize(objective, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}) for start in best]
    r_d, r_n = np.exp(np.clip(min(ends, key=lambda end: end.fun).x, -10, 15))
    return RepeatedDataLaw(base, float(r_d), float(r_n))
