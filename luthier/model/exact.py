"""A call computed in fp32, whatever the precision of the weights: what rounding in 16 bits is measured by.

Two ways to compute the same logits in bf16 differ by what both round, which in a deep model can be as large as a
mistake looks small. So where they are not `near` each other, both are held against the same call in fp32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

NARROW = (torch.bfloat16, torch.float16)
CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
# How much more a way may round than the usual one, each at the position where it rounds most. Two ways that are right
# differ by chance, on SmolLM2 by up to 2; where a token sees one key too many the error is many times as large.
MOST = 3.0
# Of the largest number: what two orders of the same sums may differ by in fp32, and two ways that round in 16 bits.
IN_FP32, IN_16_BITS = 1e-3, 3e-2
RELATED = 0.3  # of the logits' length, with layers of few bits


@contextlib.contextmanager
def in_fp32() -> Iterator[None]:
    """Inside, this thread's operations on 16-bit tensors compute in fp32, and what they make is fp32.

    Each weight is widened while it is read, so that no second copy of the model is held. What is written in place into
    a 16-bit tensor made before is lost: for calls without a cache.
    """
    with _InFp32(), _ConvolutionsInFp32():
        yield


class _InFp32(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map(_widened, (args, kwargs or {}))
        return func(*args, **kwargs)


class _ConvolutionsInFp32(TorchFunctionMode):
    """Convolutions hold their types against each other before a dispatch mode sees them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CONVOLUTIONS:
            args, kwargs = tree_map(_widened, (args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in NARROW:
        return value.float()
    return torch.float32 if value in NARROW and isinstance(value, torch.dtype) else value


def near(ours: Tensor, usual: Tensor) -> bool:
    """Whether two results of one call differ by no more than their precision may make them."""
    most = IN_16_BITS if usual.dtype in NARROW else IN_FP32
    return bool((ours.float() - usual.float()).abs().max() <= most * usual.float().abs().max())


def as_alone(module: Any, ours: Tensor, alone: Tensor, again: Callable[[], Tensor]) -> bool:
    """Whether logits (..., V) of rows in a batch are those of the rows `alone`, which `again()` computes once more."""
    if getattr(module, "is_quantized", False):
        return related(ours, alone)
    alone = as_weights(module, alone)
    return near(ours, alone) or as_exact(ours, alone, again)


def as_weights(module: Any, logits: Tensor) -> Tensor:
    """Logits in the precision of a model's weights, by which they are judged: Mamba gives them widened."""
    return logits.to(next(module.parameters()).dtype)


def related(ours: Tensor, usual: Tensor) -> bool:
    """`near` for layers of few bits: rounding of activations amplifies a difference in the last digit at every layer.

    A mistake gives unrelated logits, whose difference is as long as the logits themselves.
    """
    return bool((ours - usual).norm() <= RELATED * usual.norm())


def as_exact(ours: Tensor, usual: Tensor, again: Callable[[], Tensor]) -> bool:
    """Whether logits (..., V) are as near the exact ones as `usual` is, which `again()` computes once more."""
    if usual.dtype not in NARROW:
        return near(ours, usual)
    with in_fp32():
        exact = again().float()
    return _most(ours.float() - exact) <= MOST * _most(usual.float() - exact) + IN_FP32 * _most(exact)


def _most(x: Tensor) -> float:
    """The root mean square over the vocabulary, at the position where it is largest."""
    return float(x.square().mean(-1).max().sqrt())


def trial_tokens(size: int, wanted: Sequence[int]) -> list[int]:
    """Token ids for a trial: different `wanted` numbers give different ids, from the middle of a vocabulary of `size`.

    Its first and last tokens are control tokens, whose activations are so large that every rounding is.
    """
    step = max(1, size // (4 * max(wanted)))
    return [(size // 4 + step * number) % size for number in wanted]
