"""Linear layers with few bits a weight: int4 in plain torch, and bitsandbytes' int8 with a fast product.

bitsandbytes has int8 and NF4 but no int4. Other libraries' int4 is slow on a processor or needs a compiler
(docs/decisions/0007-widths.md). So this file has its own: numbers from -8 to 7 with one scale for 32 weights, 4.5 bits
a weight, in uint8 and fp16 tensors that safetensors stores directly.

    shapes: N tokens (all leading dimensions together), D width in, E width out, G groups of a row
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from luthier.errors import ModelError
from luthier.model.quiet import only_errors_of
from luthier.model.sizes import INT4_GROUP

BLOCK = 256  # rows of an int8 product at a time, so that intermediate results stay in the processor's cache
LEAST_SCALE = 1e-12  # scale of a row of zeros


class Int4Linear(nn.Linear):
    """A linear layer whose `weight` holds two int4 numbers a byte, (E, D/2), and whose `scale` is (E, G) in fp16.

    The low half of byte i of a row is number i, the high half is number D/2 + i. Each product unpacks the weights and
    drops them afterwards, in the backward pass too.
    """

    scale: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = False) -> None:
        nn.Module.__init__(self)
        if in_features % 2:
            raise ModelError(f"int4: a layer reads {in_features} features, an odd number; choose int8")
        self.in_features, self.out_features = in_features, out_features
        groups = in_features // math.gcd(INT4_GROUP, in_features)
        packed = torch.zeros(out_features, in_features // 2, dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.register_buffer("scale", torch.zeros(out_features, groups, dtype=torch.float16))
        self.bias = nn.Parameter(torch.zeros(out_features), requires_grad=False) if bias else None  # type: ignore[assignment]

    @torch.no_grad()
    def fill(self, weight_ED: Tensor) -> Int4Linear:
        """Stores plain weights. In each group the largest becomes -8, and the others are rounded to its steps."""
        weight_EGg = weight_ED.float().reshape(self.out_features, self.scale.shape[1], -1)
        largest_EG1 = weight_EGg.gather(-1, weight_EGg.abs().argmax(-1, keepdim=True))
        scale_EG1 = (largest_EG1 / -8).half()
        steps = weight_EGg / torch.where(scale_EG1 == 0, 1, scale_EG1.float())
        numbers_ED = (steps.round() + 8).clamp_(0, 15).to(torch.uint8).view(weight_ED.shape)
        low, high = numbers_ED.chunk(2, dim=1)
        self.weight.data, self.scale = low | high << 4, scale_EG1.squeeze(-1)
        return self

    def dequantized(self, dtype: torch.dtype) -> Tensor:
        """The weights that the numbers stand for, (E, D)."""
        numbers_ED = torch.cat([self.weight & 15, self.weight >> 4], dim=1).view(torch.int8).sub_(8)
        numbers_EGg = numbers_ED.view(*self.scale.shape, -1)
        return torch.mul(numbers_EGg, self.scale.unsqueeze(-1).to(dtype)).view(numbers_ED.shape)

    def forward(self, x: Tensor) -> Tensor:
        product = _Int4Product.apply(x, self) if torch.is_grad_enabled() and x.requires_grad else None
        if product is None:
            return F.linear(x, self.dequantized(x.dtype), self.bias)
        return product if self.bias is None else product + self.bias


class _Int4Product(torch.autograd.Function):
    """x W^T with frozen W. autograd's own product would keep every layer's unpacked W for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Int4Linear) -> Tensor:  # type: ignore[override]
        ctx.layer = layer
        return F.linear(x, layer.dequantized(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return dy @ ctx.layer.dequantized(dy.dtype), None


# --------------------------------------------------------------------------------------------------------- int8


def fix_for_cpu(layer: nn.Module) -> None:
    """Makes a layer of bitsandbytes compute correctly and fast on a CPU, in place. Other layers stay as they are.

    At its first answer an NF4 layer would re-pack its weights for a bf16 product without a gradient. An adapter that
    answers during its training would then silently stop learning. This function switches the re-packing off.
    """
    kind = type(layer).__name__
    if kind == "Linear4bit":
        layer.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
    elif kind == "Linear8bitLt":
        layer.__class__ = _cpu_int8_class(type(layer))  # type: ignore[assignment, arg-type]


@functools.cache
def _cpu_int8_class(kind: Any) -> type:
    """A subclass of bitsandbytes' int8 layer, under the same name, with a faster product on a CPU."""

    def forward(self: Any, x: Tensor) -> Tensor:
        if self.weight.CB is not None:
            self.init_8bit_state()
        if x.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512":
            with only_errors_of("bitsandbytes.autograd._functions"):  # it warns of a cast at every product
                return kind.forward(self, x)  # type: ignore[no-any-return]
        if torch.is_grad_enabled() and x.requires_grad:
            # A gradient needs the unrounded input, which bitsandbytes keeps in training mode.
            was_training, self.training = self.training, True
            try:
                return kind.forward(self, x)  # type: ignore[no-any-return]
            finally:
                self.training = was_training
        return int8_product(x, self.state.CB, self.state.SCB, self.bias)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def int8_product(x: Tensor, weight_ED: Tensor, largest_E: Tensor, bias_E: Tensor | None = None) -> Tensor:
    """x W^T in int8: each row of x and of W is scaled by its largest number (Dettmers et al. 2022, section 3.1).

    `weight_ED` is int8; `largest_E` is the value of 127 in each row. bitsandbytes casts x to fp16 and takes each step
    over all rows. Here x keeps its precision, and the steps go block by block.
    """
    x_ND = x.reshape(-1, x.shape[-1]).float()
    y_NE = torch.empty(len(x_ND), len(weight_ED), device=x.device)
    scale_N1 = x_ND.abs().amax(1, keepdim=True).div_(127).clamp_(min=LEAST_SCALE)
    numbers_ND = (x_ND * scale_N1.reciprocal()).round_().to(torch.int8)
    scale_E, weight_DE = largest_E / 127, weight_ED.t()
    for begin in range(0, len(x_ND), BLOCK):
        block = slice(begin, begin + BLOCK)
        # Copied first, because one mixed product of int32 and fp32 is slower (docs/log.md).
        y_NE[block].copy_(torch._int_mm(numbers_ND[block], weight_DE)).mul_(scale_N1[block]).mul_(scale_E)
    if bias_E is not None:
        y_NE += bias_E
    return y_NE.to(x.dtype).view(*x.shape[:-1], -1)
