"""Products of few rows with weights that are laid out for them.

While a batch is answered every weight meets one row for each answer that is open: 64 at most, not the thousands of a
prompt. For so few rows MKL spends its time on bringing the weight into the order in which its kernel reads it, anew at
every step. It also takes weights that were laid out once (`cblas_sgemm_pack`), as torch.compile does it: 16 rows then
take three fifths of the time, 48 four fifths, and laying out 540 MB takes .1 s (docs/log.md). The sums are the same
but for the order of their terms.

    shapes: N rows (all leading dimensions together), D width in, E width out
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEWEST = 8  # answers at once; for fewer it does not pay, and for a single one the memory's bandwidth is what limits
MOST = 64  # rows; above it, laying out a weight is a small part of its product
SHARE = 1 / 8  # of the machine's memory, which a model's weights may take once more


class PrepackedLinear(nn.Linear):
    """A linear layer that also holds its weight as `packed`, laid out for few rows."""

    packed: Tensor

    def forward(self, x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        if rows > MOST:
            return super().forward(x)
        return _product(x.reshape(rows, -1), self.packed, self.weight, self.bias).view(*x.shape[:-1], -1)


@contextlib.contextmanager
def prepacked(module: nn.Module, rows: int) -> Iterator[None]:
    """Inside, the plain fp32 layers of `module` multiply up to MOST rows with laid-out weights, which must not change.

    Nothing is laid out for fewer than FEWEST `rows`, where there is no MKL, or where the weights would take more than
    SHARE of the memory. A module that is inside already is left as it is.
    """
    layers = [layer for layer in module.modules() if type(layer) is nn.Linear and _plain(layer.weight)]
    if rows < FEWEST or not torch.backends.mkl.is_available() or not _fit(layers):
        layers = []
    try:
        for layer in layers:
            layer.packed = _laid_out(layer.weight)
            layer.__class__ = PrepackedLinear
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear
            layer.__dict__.pop("packed", None)


def _plain(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and _known(*weight.shape)


def _fit(layers: list[Any]) -> bool:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 4 * sum(layer.weight.numel() for layer in layers) <= SHARE * memory


def _laid_out(weight_ED: Tensor) -> Tensor:
    return torch.ops.mkl._mkl_reorder_linear_weight(weight_ED.detach(), MOST)


def _product(x_ND: Tensor, packed: Tensor, weight_ED: Tensor, bias_E: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkl._mkl_linear(x_ND, packed, weight_ED, bias_E, len(x_ND))
    return product


@functools.cache
def _known(out: int, into: int) -> bool:
    """Whether a weight of this shape, laid out for MOST rows, gives the usual products of fewer; tried once."""
    x = torch.linspace(-2, 3, MOST * into).view(MOST, into).sin()
    weight = torch.linspace(-1, 2, out * into).view(out, into).cos()
    try:
        packed = _laid_out(weight)
        return all(
            torch.allclose(_product(x[:n], packed, weight, None), F.linear(x[:n], weight), rtol=1e-3, atol=1e-3)
            for n in (1, FEWEST, 23, MOST)
        )
    except (AttributeError, RuntimeError):
        return False  # another torch
