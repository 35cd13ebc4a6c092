"""Steps of the transformer for training, with fewer passes over memory: what they compute is in transformer.py.

Between two products a training step reads and writes whole activations many times. Here queries and keys are normed
and turned in pieces of a few rows, so that a piece stays in the processor's cache from the first of these operations to
the last; the loss and its gradient are made together, in pieces as well; and a squared ReLU keeps one tensor for its
backward pass where torch keeps two. Measurements: docs/log.md.

    shapes: B rows, H heads, T tokens, K width of a head, V vocabulary
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from luthier.training.fused import RmsNormed

# Numbers of a piece: 1 MiB in fp32. Smaller ones leave two threads waiting for each other, larger ones leave the cache.
PIECE = 2**18


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


def summed_nats(logits_nV: Tensor, targets_n: Tensor) -> Tensor:
    """The summed cross-entropy of logits, in fp32 at least. What is rounded to their precision is the gradient."""
    trains = torch.is_grad_enabled() and logits_nV.requires_grad
    nats: Tensor = _SummedNats.apply(logits_nV, targets_n, trains)
    return nats


class _NormedAndTurned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, cos: Tensor, sin: Tensor):  # type: ignore[no-untyped-def, override]
        y, scales = x.new_empty(x.shape), []
        for rows, out, *turn in _pieces(x, y, cos, sin):
            normed = _wide(rows)
            scale = torch.linalg.vector_norm(normed, dim=-1, keepdim=True)
            scales.append(scale.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_())
            out.copy_(_turned(normed.mul_(scale).mul_(weight), *turn))
        ctx.save_for_backward(x, weight, torch.cat(scales), cos, sin)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor):  # type: ignore[no-untyped-def, override]
        x, weight, scales, cos, sin = ctx.saved_tensors
        dx, dweight = torch.empty_like(x), torch.zeros_like(weight)
        for rows, given, scale, out, cosine, sine in _pieces(x, dy, scales, dx, cos, sin):
            normed = _wide(rows).mul_(scale)
            dnormed = _turned(_wide(given), cosine, -sine)  # turned back
            dweight += (dnormed * normed).sum((0, 1, 2))
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


class _SummedNats(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, trains: bool):  # type: ignore[no-untyped-def, override]
        dlogits = torch.empty_like(logits) if trains else logits
        nats = torch.zeros((), dtype=torch.promote_types(logits.dtype, torch.float32), device=logits.device)
        for some, wanted, out in _pieces(logits, targets[:, None], dlogits):
            logs = some.to(nats.dtype).log_softmax(-1)
            nats -= logs.gather(1, wanted).sum()
            if trains:
                out.copy_(logs.exp_().scatter_add_(1, wanted, -torch.ones_like(logs[:, :1])))
        if trains:
            ctx.save_for_backward(dlogits)
        return nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dnats: Tensor):  # type: ignore[no-untyped-def, override]
        (dlogits,) = ctx.saved_tensors
        return dlogits if dnats == 1 else dlogits * dnats.to(dlogits.dtype), None, None


def _pieces(first: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors in pieces along their first dimension, of about PIECE numbers of the first."""
    size = max(1, PIECE * len(first) // max(1, first.numel()))
    return zip(*(one.split(size) for one in (first, *others)), strict=True)


def _wide(rows: Tensor) -> Tensor:
    """A copy of some rows (B, H, T, K) in fp32 at least."""
    kind = torch.promote_types(rows.dtype, torch.float32)
    return rows.to(kind, memory_format=torch.contiguous_format, copy=True)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair (k, k + K / 2) turned in its plane."""
    turned = torch.empty_like(x)
    (left, right), (turned_left, turned_right) = x.chunk(2, -1), turned.chunk(2, -1)
    torch.mul(left, cos, out=turned_left).addcmul_(right, sin, value=-1)
    torch.mul(right, cos, out=turned_right).addcmul_(left, sin)
    return turned
