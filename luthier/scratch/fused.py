"""Steps of the transformer for training, with fewer passes over memory: what they compute is in transformer.py.

Between two products a training step reads and writes whole activations many times. Here queries and keys are normed
and turned row by row, so that a row stays in the processor's cache from the first of these operations to the last; and
a squared ReLU keeps one tensor for its backward pass where torch keeps two. Measurements: docs/log.md.

    shapes: B rows, H heads, T tokens, K width of a head
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from luthier.training.fused import RmsNormed


class RMSNorm(nn.RMSNorm):
    """torch's, in fewer passes over memory where a backward pass follows."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != self.weight.dtype or not torch.is_grad_enabled():
            return super().forward(x)
        y: Tensor = RmsNormed.apply(x, self.weight, self.eps)
        return y


class HeadNorm(RMSNorm):
    """Of queries and keys, in its own precision: products may come in bf16 (rows.loss_of)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


def normed_and_turned(x_BHTK: Tensor, weight_K: Tensor, epsilon: float, cos: Tensor, sin: Tensor) -> Tensor:
    """RMS norm over each head's width, then the turn by `cos` and `sin` (B, 1, T, K / 2), in the precision of `x`.

    Between reading and writing numbers are fp32 at least.
    """
    y_BHTK: Tensor = _NormedAndTurned.apply(x_BHTK, weight_K, epsilon, cos, sin)
    return y_BHTK


def squared_relu(x: Tensor) -> Tensor:
    y: Tensor = _SquaredRelu.apply(x)
    return y


class _NormedAndTurned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, cos: Tensor, sin: Tensor):  # type: ignore[no-untyped-def, override]
        y, scales = x.new_empty(x.shape), []
        for row, out, *turn in zip(x, y, cos, sin, strict=True):
            normed = _wide(row)
            scale = torch.linalg.vector_norm(normed, dim=-1, keepdim=True)
            scales.append(scale.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_())
            out.copy_(_turned(normed.mul_(scale).mul_(weight), *turn))
        ctx.save_for_backward(x, weight, torch.stack(scales), cos, sin)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        x, weight, scales, cos, sin = ctx.saved_tensors
        dx, dweight = torch.empty_like(x), torch.zeros_like(weight)
        for row, given, scale, out, cosine, sine in zip(x, dy, scales, dx, cos, sin, strict=True):
            normed = _wide(row).mul_(scale)
            dnormed = _turned(_wide(given), cosine, -sine)  # turned back
            dweight += (dnormed * normed).sum((0, 1))
            dnormed.mul_(weight)
            along = torch.linalg.vecdot(dnormed, normed).unsqueeze_(-1).div_(-x.shape[-1])
            out.copy_(dnormed.addcmul_(normed, along).mul_(scale))
        return dx, dweight, None, None, None


class _SquaredRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor):  # type: ignore[no-untyped-def, override]
        y = x.relu()
        ctx.save_for_backward(y)
        return y.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        (y,) = ctx.saved_tensors
        return torch.addcmul(dy.new_zeros(()), dy, y, value=2)


def _wide(row: Tensor) -> Tensor:
    """A copy of one row (H, T, K) in fp32 at least."""
    kind = torch.promote_types(row.dtype, torch.float32)
    return row.to(kind, memory_format=torch.contiguous_format, copy=True)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair (k, k + K / 2) turned in its plane."""
    turned = torch.empty_like(x)
    (left, right), (turned_left, turned_right) = x.chunk(2, -1), turned.chunk(2, -1)
    torch.mul(left, cos, out=turned_left).addcmul_(right, sin, value=-1)
    torch.mul(right, cos, out=turned_right).addcmul_(left, sin)
    return turned
