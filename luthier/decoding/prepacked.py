"""Products of few rows with weights that are laid out for them.

While a batch is answered every weight meets one row for each answer that is open: 64 at most, not the thousands of a
prompt. For so few rows MKL spends its time on bringing the weight into the order in which its kernel reads it, anew at
every step. It also takes weights that were laid out once (its manual: `cblas_?gemm_pack`, `cblas_?gemm_compute`): 16
rows then take three quarters of the time, 48 four fifths, and laying out 540 MB takes .2 s (docs/log.md). The sums are
the same but for the order of their terms.

torch's operator for this (`mkl._mkl_linear`, made for torch.compile) takes four times the memory, so MKL's own
functions are called, in the library that torch brings. Where they are not, nothing is done.

    shapes: N rows (all leading dimensions together), D width in, E width out
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FEWEST = 8  # answers at once; for fewer it does not pay, and for a single one the memory's bandwidth is what limits
MOST = 64  # rows; above it, laying out a weight is a small part of its product
SHARE = 1 / 8  # of the machine's memory, which a model's weights may take once more
LINE = 64  # bytes at which a laid-out weight begins

_ROW_MAJOR, _AS_IS, _TRANSPOSED, _PACKED, _RIGHT = 101, 111, 112, 151, 162  # MKL's mkl_cblas.h


class PrepackedLinear(nn.Linear):
    """A linear layer that also holds its weight as `packed`, bytes in MKL's own order."""

    packed: Tensor

    def forward(self, x: Tensor) -> Tensor:
        rows = x.numel() // self.in_features
        fits = x.shape[-1] == self.in_features and x.dtype == torch.float32  # MKL takes addresses, and asks nothing
        if not fits or not 0 < rows <= MOST or torch.is_grad_enabled():
            return super().forward(x)
        x_ND, out = x.reshape(rows, -1).contiguous(), self.out_features
        y_NE = x.new_empty(rows, out) if self.bias is None else self.bias.repeat(rows, 1)
        _multiply(x_ND, self.packed, y_NE, add=self.bias is not None)
        return y_NE.view(*x.shape[:-1], -1)


@contextlib.contextmanager
def prepacked(module: nn.Module, rows: int) -> Iterator[None]:
    """Inside, the plain fp32 layers of `module` multiply up to MOST rows with laid-out weights, which must not change.

    Nothing is laid out for fewer than FEWEST `rows`, where there is no MKL, or where the weights would take more than
    SHARE of the memory. A module that is inside already is left as it is.
    """
    layers = _fitting(module) if rows >= FEWEST and _works() else []
    try:
        for layer, packed in zip(layers, _lay_out([layer.weight for layer in layers]), strict=True):
            layer.packed = packed
            layer.__class__ = PrepackedLinear
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear
            layer.__dict__.pop("packed", None)


def _fitting(module: nn.Module) -> list[Any]:
    """The plain fp32 layers on the processor, if there is memory for their weights once more."""
    layers = [layer for layer in module.modules() if type(layer) is nn.Linear and all(map(_plain, layer.parameters()))]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return layers if sum(layer.weight.nbytes for layer in layers) <= SHARE * memory else []


def _plain(parameter: Tensor) -> bool:
    """Numbers that lie in memory as they are; a tensor of another kind may only look like them."""
    usual = type(parameter) is nn.Parameter and parameter.device.type == "cpu"
    return usual and parameter.dtype == torch.float32 and parameter.is_contiguous()


@functools.cache
def _mkl() -> Any:
    """MKL's functions on laid-out matrices. Raises OSError or AttributeError where this torch has none."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    number, real, address = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
    shape = [number] * 3
    library.cblas_sgemm_pack_get_size.argtypes = [number, *shape]
    library.cblas_sgemm_pack_get_size.restype = ctypes.c_size_t
    library.cblas_sgemm_pack.argtypes = [number, number, number, *shape, real, address, number, address]
    library.cblas_sgemm_pack.restype = None
    library.cblas_sgemm_compute.argtypes = [
        *(number, number, number), *shape, address, number, address, number, real, address, number
    ]  # fmt: skip
    library.cblas_sgemm_compute.restype = None
    return library


def _lay_out(weights: list[Tensor]) -> list[Tensor]:
    """The weights (E, D) as MKL reads them, one behind the other in one piece of memory."""
    if not weights:
        return []
    mkl = _mkl()
    sizes = [-(-mkl.cblas_sgemm_pack_get_size(_RIGHT, MOST, *weight.shape) // LINE) * LINE for weight in weights]
    # MKL asks for up to twenty times a weight, and writes only as much as the weight: pages that nobody writes to are
    # never there. So not torch's memory, which is made of huge pages.
    places = torch.frombuffer(mmap.mmap(-1, sum(sizes)), dtype=torch.uint8)
    laid_out = []
    for weight, size in zip(weights, sizes, strict=True):
        packed, places = places[:size], places[size:]
        out, into = weight.shape
        mkl.cblas_sgemm_pack(
            _ROW_MAJOR, _RIGHT, _TRANSPOSED, MOST, out, into, 1.0, weight.data_ptr(), into, packed.data_ptr()
        )
        laid_out.append(packed)
    return laid_out


def _multiply(x_ND: Tensor, packed: Tensor, y_NE: Tensor, add: bool) -> None:
    """Writes x W^T into y, or with `add` adds it there; x and y are contiguous."""
    (rows, into), out = x_ND.shape, y_NE.shape[1]
    _mkl().cblas_sgemm_compute(
        _ROW_MAJOR, _AS_IS, _PACKED, rows, out, into,
        x_ND.data_ptr(), into, packed.data_ptr(), into, float(add), y_NE.data_ptr(), out,
    )  # fmt: skip


@functools.cache
def _works() -> bool:
    """Whether there is an MKL here whose products with laid-out weights are the usual ones; tried once."""
    if not torch.backends.mkl.is_available():
        return False
    x, weight = torch.linspace(-2, 3, MOST * 70).view(MOST, 70).sin(), torch.linspace(-1, 2, 50 * 70).view(50, 70).cos()
    try:
        (packed,) = _lay_out([weight])
    except (OSError, AttributeError):
        return False
    for rows in (1, FEWEST, MOST):
        y = torch.ones(rows, 50)
        _multiply(x[:rows], packed, y, add=rows == 1)
        if not torch.allclose(y, x[:rows] @ weight.t() + (rows == 1), rtol=1e-4, atol=1e-4):
            return False
    return True
