"""The law for repeated data finds its half-lives again."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.scratch.laws import RepeatedDataLaw
from luthier.scratch.points import Points
from luthier.scratch.repeated import fit_repeated
from tests.scratch.test_law_fit import TRUE, synthetic


def test_half_lives_are_found_again() -> None:
    law = RepeatedDataLaw(TRUE, r_d=12.0, r_n=4.0)
    once = synthetic(0.0, count=20)
    n = np.repeat([2e7, 1e8, 1e9], 4)
    u = np.tile([2e7, 1e8], 6)
    d = u * np.tile([3.0, 10.0, 30.0], 4)
    losses = law.loss(n, d, u)
    points = Points(
        *(np.concatenate(pair) for pair in zip(
            (once.parameters_n, once.tokens_n, once.losses_n, once.unique_n), (n, d, losses, u), strict=True
        )),
        runs=tuple(map(str, range(32))),
    )  # fmt: skip
    assert points.repeated_n.sum() == 12
    found = fit_repeated(points)
    assert found is not None
    assert found.r_d == pytest.approx(12.0, rel=0.02) and found.r_n == pytest.approx(4.0, rel=0.05)


def test_without_repeated_points_there_is_no_such_law() -> None:
    assert fit_repeated(synthetic(0.0)) is None
