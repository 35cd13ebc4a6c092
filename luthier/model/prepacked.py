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
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

FEWEST = 8  # answers at once; for fewer it does not pay, and for a single one the memory's bandwidth is what limits
MOST = 64  # rows; above it, laying out a weight is a small part of its product
SHARE = 1 / 8  # of the machine's memory, which a model's weights may take once more
LINE = 64  # bytes at which a laid-out weight begins
SAMPLE = 32  # numbers of a weight by which a change is seen that torch does not count

_ROW_MAJOR, _AS_IS, _TRANSPOSED, _PACKED, _RIGHT = 101, 111, 112, 151, 162  # MKL's mkl_cblas.h

# Bytes in MKL's own order for each layer, as far as this thread's call multiplies with them.
_IN_USE: ContextVar[Mapping[nn.Module, Tensor]] = ContextVar("in_use", default=MappingProxyType({}))
_LIVE: weakref.WeakKeyDictionary[nn.Module, weakref.ref[LaidOut]] = weakref.WeakKeyDictionary()
_LOCK = Lock()


class PrepackedLinear(nn.Linear):
    """A linear layer that multiplies with laid-out weights in a call that brought some, and as ever in all others."""

    def forward(self, x: Tensor) -> Tensor:
        packed, rows = _IN_USE.get().get(self), x.numel() // self.in_features
        fits = x.shape[-1] == self.in_features and x.dtype == torch.float32  # MKL takes addresses, and asks nothing
        if packed is None or not fits or not 0 < rows <= MOST or torch.is_grad_enabled():
            return super().forward(x)
        x_ND, out = x.reshape(rows, -1).contiguous(), self.out_features
        y_NE = x.new_empty(rows, out) if self.bias is None else self.bias.repeat(rows, 1)
        _multiply(x_ND, packed, y_NE, add=self.bias is not None)
        return y_NE.view(*x.shape[:-1], -1)


PLAIN_LINEAR = (nn.Linear, PrepackedLinear)  # the layers that multiply with their weight and do nothing else


def make_ready(module: nn.Module) -> None:
    """Lets the plain fp32 layers on the processor be brought laid-out weights; a second time it does nothing."""
    for layer in module.modules():
        if type(layer) is nn.Linear and all(map(_plain, layer.parameters())):
            layer.__class__ = PrepackedLinear


class LaidOut:
    """The weights of layers as MKL reads them, for as long as somebody holds this; they must not change meanwhile."""

    def __init__(self, layers: Sequence[PrepackedLinear]) -> None:
        self._state = _state(layers)
        self._packed: dict[nn.Module, Tensor] = dict(
            zip(layers, _lay_out([layer.weight for layer in layers]), strict=True)
        )

    def is_of(self, layers: Sequence[PrepackedLinear]) -> bool:
        """Whether it holds these layers' weights as they are now."""
        return list(self._packed) == list(layers) and self._state == _state(layers)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, the layers that are called in this thread multiply up to MOST rows with these weights."""
        token = _IN_USE.set(self._packed)
        try:
            yield
        finally:
            _IN_USE.reset(token)


def laid_out_weights(module: nn.Module, rows: int) -> LaidOut:
    """The weights of `module`, which was made ready, laid out for a batch of `rows` answers.

    Batches that are answered at the same time share them. Nothing is laid out for fewer than FEWEST rows, where there
    is no MKL, or where the weights would take more than SHARE of the memory.
    """
    layers = _fitting(module) if rows >= FEWEST and _works() else []
    if not layers:
        return LaidOut([])
    with _LOCK:
        live = _LIVE[module]() if module in _LIVE else None
        if live is None or not live.is_of(layers):
            live = LaidOut(layers)
            _LIVE[module] = weakref.ref(live)
    return live


def has_laid_out_weight(layer: nn.Module) -> bool:
    """Whether the call that runs in this thread brought `layer` a laid-out weight."""
    return layer in _IN_USE.get()


def _fitting(module: nn.Module) -> list[PrepackedLinear]:
    """The layers that can be brought laid-out weights, if there is memory for their weights once more."""
    ready = (layer for layer in module.modules() if type(layer) is PrepackedLinear)
    layers = [layer for layer in ready if all(map(_plain, layer.parameters()))]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return layers if sum(layer.weight.nbytes for layer in layers) <= SHARE * memory else []


def _plain(parameter: Tensor) -> bool:
    """Numbers that lie in memory as they are; a tensor of another kind may only look like them."""
    usual = type(parameter) is nn.Parameter and parameter.device.type == "cpu"
    return usual and parameter.dtype == torch.float32 and parameter.is_contiguous()


@torch.no_grad()
def _state(layers: Sequence[nn.Linear]) -> list[Any]:
    """By what is seen that a weight was changed: its place, torch's count of changes, and a few of its numbers."""
    weights = [layer.weight for layer in layers]
    counts = [(w.data_ptr(), None if w.is_inference() else w._version) for w in weights]
    few = [w.view(-1)[:: max(1, w.numel() // SAMPLE)] for w in weights]
    return [counts, torch.cat(few).tolist() if few else []]


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
