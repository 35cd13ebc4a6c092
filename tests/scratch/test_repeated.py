"""The law for repeated data finds its half-lives again."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.scratch.law_fit import fit
from luthier.scratch.laws import RepeatedDataLaw
from luthier.scratch.points import Points
from luthier.scratch.repeated import apart, half_lives
from tests.scratch.test_law_fit import TRUE, synthetic


def with_repeats(noise: float = 0.0) -> Points:
    """Twenty points that read every token once, and twelve that do not."""
    law = RepeatedDataLaw(TRUE, r_d=12.0, r_n=4.0)
    once = synthetic(noise, count=20)
    n = np.repeat([2e7, 1e8, 1e9], 4)
    u = np.tile([2e7, 1e8], 6)
    d = u * np.tile([3.0, 10.0, 30.0], 4)
    losses = law.loss(n, d, u)
    return Points(
        *(np.concatenate(pair) for pair in zip(
            (once.parameters_n, once.tokens_n, once.losses_n, once.unique_n), (n, d, losses, u), strict=True
        )),
        runs=tuple(map(str, range(32))),
    )  # fmt: skip


def test_half_lives_are_found_again() -> None:
    points = with_repeats()
    assert points.repeated_n.sum() == 12
    parts = apart(points)
    assert parts is not None
    once, again = parts
    found = half_lives(fit(once.parameters_n, once.tokens_n, once.losses_n).law, again)
    assert found.r_d == pytest.approx(12.0, rel=0.02) and found.r_n == pytest.approx(4.0, rel=0.05)


def test_without_repeated_points_there_is_no_such_law() -> None:
    assert apart(synthetic(0.0)) is None


def test_too_few_points_of_one_pass_leave_all_in_one_law() -> None:
    points = with_repeats()
    assert apart(points.where(points.repeated_n)) is None
