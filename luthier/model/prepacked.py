"""Products with weights that are packed for them.

A decoding step multiplies every weight with one row for each open answer, so with 64 rows at most. For so few rows a
library spends much of its time on packing the weight into its kernel's order, anew at every step. Both libraries that
torch contains also accept weights that were packed once, which is faster (docs/log.md):

    fp32    MKL (its manual: `cblas_?gemm_pack`, `cblas_?gemm_compute`), for up to 64 rows. The sums are the same up to
            the order of their terms. torch's operator for this (`mkl._mkl_linear`, made for torch.compile) takes much
            more memory, so this file calls MKL's own functions in the library that torch contains.
    bf16    oneDNN, through torch's operators for torch.compile (`mkldnn._reorder_linear_weight`, `_linear_pointwise`),
            for any rows. The packed weight is what oneDNN makes of it anyway; on the processor where it was measured
            all products have the same bits.

Without these functions, or where a trial of them fails, weights stay unpacked.

    shapes: N rows (all leading dimensions together), D width in, E width out
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from luthier.machine import memory_bytes
from luthier.model.exact import near
from luthier.model.sizes import FEWEST_ROWS, MOST_MEMORY_SHARE, fewest_rows, laid_out_bytes

MOST_ROWS = 64  # with more rows, packing takes a small part of a product's time in fp32
KINDS = (torch.float32, torch.bfloat16)  # of weights that can be laid out
ALIGNMENT_BYTES = 64  # each packed weight starts at a multiple of this
SAMPLED_WEIGHTS = 32  # numbers of a weight that are compared, to detect changes that torch does not count

_ROW_MAJOR, _AS_IS, _TRANSPOSED, _PACKED, _RIGHT = 101, 111, 112, 151, 162  # MKL's mkl_cblas.h

# layer -> its packed weight, for the current call of this thread.
_IN_USE: ContextVar[Mapping[nn.Module, Tensor]] = ContextVar("in_use", default=MappingProxyType({}))
_LIVE: weakref.WeakKeyDictionary[nn.Module, weakref.ref[LaidOut]] = weakref.WeakKeyDictionary()
_LOCK = Lock()


class PrepackedLinear(nn.Linear):
    """A linear layer that multiplies with a laid-out weight if the call brought one, and else as usual."""

    def forward(self, x: Tensor) -> Tensor:
        packed, rows = _IN_USE.get().get(self), x.numel() // self.in_features
        if packed is None or x.shape[-1] != self.in_features or not rows or torch.is_grad_enabled():
            return super().forward(x)
        if x.dtype == packed.dtype:  # bf16
            return _multiply_in_bf16(x, packed, self.bias)
        if x.dtype != torch.float32 or packed.dtype != torch.uint8 or rows > MOST_ROWS:  # MKL checks no types
            return super().forward(x)
        x_ND, out = x.reshape(rows, -1).contiguous(), self.out_features
        y_NE = x.new_empty(rows, out) if self.bias is None else self.bias.repeat(rows, 1)
        _multiply(x_ND, packed, y_NE, add=self.bias is not None)
        return y_NE.view(*x.shape[:-1], -1)


PLAIN_LINEAR = (nn.Linear, PrepackedLinear)  # the layers that compute only x W^T + bias


def make_ready(module: nn.Module) -> None:
    """Lets calls bring laid-out weights for the plain layers on the CPU. A second call changes nothing."""
    for layer in module.modules():
        if type(layer) is nn.Linear and all(map(_plain, layer.parameters())):
            layer.__class__ = PrepackedLinear


class LaidOut:
    """The weights of layers as their libraries multiply them. The weights must not change while this is in use."""

    def __init__(self, layers: Sequence[PrepackedLinear]) -> None:
        self._fingerprint = _fingerprint(layers)
        self._packed: dict[nn.Module, Tensor] = {}
        for kind in KINDS:
            of = [layer for layer in layers if layer.weight.dtype == kind]
            self._packed |= zip(of, _lay_out([layer.weight for layer in of]), strict=True)

    def is_of(self, layers: Sequence[PrepackedLinear]) -> bool:
        """Whether it holds these layers' weights as they are now."""
        return self._packed.keys() == set(layers) and self._fingerprint == _fingerprint(layers)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, the layers that are called in this thread multiply with these weights."""
        token = _IN_USE.set(self._packed)
        try:
            yield
        finally:
            _IN_USE.reset(token)


def laid_out_weights(module: nn.Module, rows: int) -> LaidOut:
    """The weights of `module`, a ready one, laid out for a batch of `rows` answers.

    Batches that are answered at the same time share them. Nothing is laid out for fewer rows than `fewest_rows`,
    without the library, or if the weights that could be packed take more than MOST_MEMORY_SHARE of the memory.
    """
    layers = [layer for layer in _packable(module) if rows >= fewest_rows(layer.weight.element_size())]
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


def bytes_to_lay_out(module: nn.Module) -> int:
    """Bytes that `laid_out_weights` takes for a batch that is large enough."""
    weights = [layer.weight for layer in _packable(module)]
    return sum(laid_out_bytes([(w.shape[1], w.shape[0])], w.element_size()) for w in weights)


def _packable(module: nn.Module) -> list[PrepackedLinear]:
    """The layers whose weights can be packed, or none if memory does not suffice for the packed copy."""
    beside = _adapters(module)
    ready = (layer for layer in module.modules() if type(layer) is PrepackedLinear and layer not in beside)
    plain = (layer for layer in ready if all(map(_plain, layer.parameters())))
    layers = [layer for layer in plain if _works(layer.weight.dtype)]
    return layers if sum(layer.weight.nbytes for layer in layers) <= MOST_MEMORY_SHARE * memory_bytes() else []


def _adapters(module: nn.Module) -> set[nn.Module]:
    """What a method put beside layers: peft's next to `base_layer`, others inside of a layer with a weight of its own.

    Their products are too small to gain, and MKL fills their few outputs up to a whole block: 1.5 MB for a matrix of
    16 x 576 numbers (docs/log.md).
    """
    found: set[nn.Module] = set()
    for layer in module.modules():
        if hasattr(layer, "base_layer") or layer._parameters.get("weight") is not None:
            found.update(
                part for name, child in layer.named_children() if name != "base_layer" for part in child.modules()
            )
    return found


def _plain(parameter: Tensor) -> bool:
    """Whether a parameter is a plain contiguous tensor in fp32 or bf16 on the CPU. Subclasses may store other data."""
    usual = type(parameter) is nn.Parameter and parameter.device.type == "cpu"
    return usual and parameter.dtype in KINDS and parameter.is_contiguous()


@torch.no_grad()
def _fingerprint(layers: Sequence[nn.Linear]) -> list[Any]:
    """Values that reveal a changed weight: its address, torch's version counter, and a few of its numbers."""
    weights = [layer.weight for layer in layers]
    counts = [(w.data_ptr(), None if w.is_inference() else w._version) for w in weights]
    sampled = [w.view(-1)[:: max(1, w.numel() // SAMPLED_WEIGHTS)] for w in weights]
    return [counts, torch.cat(sampled).tolist() if sampled else []]


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
    """The weights (E, D), all in fp32 or all in bf16, as their library multiplies them."""
    if not weights:
        return []
    if weights[0].dtype == torch.bfloat16:
        return [torch.ops.mkldnn._reorder_linear_weight(weight.detach(), MOST_ROWS) for weight in weights]
    return _lay_out_in_fp32(weights)


def _lay_out_in_fp32(weights: list[Tensor]) -> list[Tensor]:
    """The weights in MKL's order, one behind the other in one piece of memory."""
    mkl = _mkl()
    sizes = [
        -(-mkl.cblas_sgemm_pack_get_size(_RIGHT, MOST_ROWS, *weight.shape) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        for weight in weights
    ]
    # MKL asks for many times the bytes that it writes (docs/log.md). Pages that are never written take no memory, but
    # only outside of torch's memory, which has huge pages.
    memory_left = torch.frombuffer(mmap.mmap(-1, sum(sizes)), dtype=torch.uint8)
    laid_out = []
    for weight, size in zip(weights, sizes, strict=True):
        packed, memory_left = memory_left[:size], memory_left[size:]
        out, into = weight.shape
        mkl.cblas_sgemm_pack(
            _ROW_MAJOR, _RIGHT, _TRANSPOSED, MOST_ROWS, out, into, 1.0, weight.data_ptr(), into, packed.data_ptr()
        )
        laid_out.append(packed)
    return laid_out


def _multiply(x_ND: Tensor, packed: Tensor, y_NE: Tensor, add: bool) -> None:
    """Writes x W^T into y, or adds it to y with `add`. x and y are contiguous."""
    (rows, into), out = x_ND.shape, y_NE.shape[1]
    _mkl().cblas_sgemm_compute(
        _ROW_MAJOR, _AS_IS, _PACKED, rows, out, into,
        x_ND.data_ptr(), into, packed.data_ptr(), into, float(add), y_NE.data_ptr(), out,
    )  # fmt: skip


def _multiply_in_bf16(x: Tensor, packed: Tensor, bias_E: Tensor | None) -> Tensor:
    """x W^T + bias in bf16."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias_E, "none", [], "")
    return product


def _works(kind: torch.dtype) -> bool:
    """Whether weights of this kind, one of KINDS, can be laid out here."""
    return _mkl_works() if kind == torch.float32 else _onednn_works()


@functools.cache
def _mkl_works() -> bool:
    """Whether this torch has an MKL whose products with packed weights are right. The first call tries it."""
    if not torch.backends.mkl.is_available():
        return False
    x, weight = (
        torch.linspace(-2, 3, MOST_ROWS * 70).view(MOST_ROWS, 70).sin(),
        torch.linspace(-1, 2, 50 * 70).view(50, 70).cos(),
    )
    try:
        (packed,) = _lay_out([weight])
    except (OSError, AttributeError):
        return False
    for rows in (1, FEWEST_ROWS, MOST_ROWS):
        y = torch.ones(rows, 50)
        _multiply(x[:rows], packed, y, add=rows == 1)
        if not torch.allclose(y, x[:rows] @ weight.t() + (rows == 1), rtol=1e-4, atol=1e-4):
            return False
    return True


@functools.cache
@torch.no_grad()
def _onednn_works() -> bool:
    """Whether this torch multiplies bf16 on this processor with packed weights, and right. The first call tries it."""
    x = torch.linspace(-2, 3, FEWEST_ROWS * 70).view(FEWEST_ROWS, 70).sin().bfloat16()
    weight = torch.linspace(-1, 2, 50 * 70).view(50, 70).cos().bfloat16()
    try:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        (packed,) = _lay_out([weight])
        return all(
            near(_multiply_in_bf16(x[:rows], packed, bias), torch.nn.functional.linear(x[:rows], weight, bias))
            for rows in (1, FEWEST_ROWS)
            for bias in (None, weight[:, 0].contiguous())
        )
    except (RuntimeError, AttributeError):
        return False
