"""Rounding to bf16 that keeps what small changes add up to.

bf16 has 8 bits of mantissa, and a model's weights often stand on its numbers exactly. A training that moves each of
them by less than half the gap to the next number changes nothing, if all are rounded to the nearest: SmolLM2-135M then
saw little of seven steps at a rate of 2e-5 (docs/decisions/0038-masters.md). Here a weight is rounded up as often as it
lies above the number below, so that sums over many weights stay right (Gupta et al. 2015, "Deep learning with limited
numerical precision", section 3, there with random thresholds).

The thresholds are fixed, so equal values give equal weights, in every process. They go through multiples of a golden
ratio: neighbours have thresholds far from each other, and each of 65,536 comes once.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

CUT = 65_536  # values between two bf16 numbers that fp32 tells apart, and thresholds
STEP = 40_503  # odd, and nearest to CUT over the golden ratio, so that its multiples visit every threshold
ROWS = 64  # of CUT values, that are rounded at once: 16 MB in fp32


def rounded(values: Tensor, dtype: torch.dtype) -> Tensor:
    """`values`, fp32, in `dtype`, of the same shape: dithered where it is bf16. A bf16 number stays what it is."""
    if dtype != torch.bfloat16 or values.dtype != torch.float32:
        return values.to(dtype)
    bits, thresholds = values.detach().contiguous().view(torch.int32).flatten(), _thresholds().to(values.device)
    out = torch.empty(len(bits), dtype=torch.int16, device=values.device)
    for start in range(0, len(bits), ROWS * CUT):
        part = bits[start : start + ROWS * CUT]
        # A bf16 number is the upper half of an fp32 one. What is added to the lower half carries into it.
        added = thresholds.repeat(-(-len(part) // CUT))[: len(part)].add_(part)
        out[start : start + len(part)] = added.bitwise_right_shift_(16)
    return out.view(torch.bfloat16).view(values.shape)


@functools.cache
def _thresholds() -> Tensor:
    return torch.arange(CUT, dtype=torch.int32) * STEP % CUT
