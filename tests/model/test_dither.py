"""Rounding to bf16: what is a bf16 number stays, sums stay right, and equal values give equal weights."""

from __future__ import annotations

import pytest
import torch

from luthier.model.dither import CUT, ROWS, _thresholds, rounded


def test_a_bf16_number_stays_what_it_is() -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    every = every[torch.isfinite(every)]
    assert torch.equal(rounded(every.float(), torch.bfloat16).view(torch.int16), every.view(torch.int16))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("moved", [1e-5, 1e-3, 3e-3])  # the gap above 1 is 2 ** -7
def test_a_small_move_of_all_weights_is_there_in_the_mean(moved: float, sign: int) -> None:
    weights = torch.full((CUT,), sign * (1.0 + moved))
    near = rounded(weights, torch.bfloat16).float()
    assert set(near.abs().tolist()) == {1.0, 1.0 + 2**-7}
    assert float(near.double().mean()) == pytest.approx(float(weights[0]), abs=1e-12)
    assert torch.equal(weights.bfloat16().float(), torch.full((CUT,), float(sign)))  # the nearest are as before


def test_a_row_s_product_keeps_a_move_too() -> None:
    """100 rows of 576 weights between 1 and 2, each moved by a tenth of the gap in the direction of the input."""
    dice = torch.Generator().manual_seed(0)
    weights = (1 + torch.rand(100, 576, generator=dice)).bfloat16().float().clamp(1.01, 1.98)
    weights, x = weights.bfloat16().float(), torch.randn(576, generator=dice)
    moved = weights + 2**-7 / 10 * x.sign()
    right = float(((moved - weights) @ x)[0])
    by_dither = (rounded(moved, torch.bfloat16).float() - weights) @ x
    noise = 2**-7 * 0.3 * float(x.norm())  # of 576 draws of a tenth
    assert float(by_dither.mean()) == pytest.approx(right, rel=0.1)
    assert float((by_dither - right).abs().max()) < 4 * noise < right
    assert float(((moved.bfloat16().float() - weights) @ x).abs().max()) == 0


def test_every_threshold_comes_once() -> None:
    assert torch.equal(_thresholds().sort().values, torch.arange(CUT, dtype=torch.int32))


@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (CUT + 7,), (ROWS * CUT + CUT // 2,)])
def test_any_shape_and_part_is_the_same_rounding(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    once, again = rounded(values, torch.bfloat16), rounded(values.clone(), torch.bfloat16)
    assert once.shape == values.shape and torch.equal(once, again)
    assert bool(((once.float() - values).abs() <= 2**-8 * (1 + 1e-6)).all())


def test_what_is_not_rounded_to_bf16_is_only_cast() -> None:
    values = torch.rand(9)
    assert torch.equal(rounded(values, torch.float32), values)
    assert torch.equal(rounded(values, torch.float16), values.half())
    assert torch.equal(rounded(values.bfloat16(), torch.bfloat16), values.bfloat16())
    turned = torch.rand(4, 6).t()
    assert torch.equal(rounded(turned, torch.bfloat16), rounded(turned.contiguous(), torch.bfloat16))
