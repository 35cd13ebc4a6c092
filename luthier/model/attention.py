"""The one place where a call chooses a model's attention, and attention by blocks of queries.

transformers looks up a model's attention by a name in its configuration. `make_ready` sets that name to ours, which
stands for transformers' own attention. Inside `attending`, the calls of this thread use another function. So a call
does not change the model, an error leaves nothing to undo, and other threads use the usual attention
(docs/decisions/0013-no-hidden-state.md).

On a CPU causal attention runs in blocks of queries, each against the keys that it may see. In training this is faster
than the fused kernel at every length that was measured; reading on behind many keys in fp32 is slower (docs/log.md).

    shapes: B rows, T tokens of a row, S >= T keys, H heads, K key heads, E width of a head
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from luthier.model import windows
from luthier.model.sizes import MOST_KEYS, query_blocks

NAME = "luthier"  # under which transformers finds `_attention` and `_mask`
TRANSFORMERS_NAME = "sdpa"  # the attention that NAME stands for outside of `attending`
Attend = Callable[..., tuple[Tensor, None]]  # transformers' interface: (layer, query, key, value, mask, **how)

_ATTEND: ContextVar[Attend | None] = ContextVar("attend", default=None)


# ------------------------------------------------------------------------------------------------------ the call


def make_ready(module: Any) -> None:
    """Lets calls of this model choose their attention. Does nothing to a model whose attention cannot be chosen."""
    if module.config._attn_implementation == TRANSFORMERS_NAME and _is_looked_up(type(module).__module__):
        module.config._attn_implementation = NAME


def is_ready(module: Any) -> bool:
    """Whether calls of this model, wrapped by an adapter or not, can choose their attention."""
    return getattr(module.config, "_attn_implementation", None) == NAME


def keeps_every_token(module: Any) -> bool:
    """Whether all layers attend to every token before, by the model's own cache: no window, chunk or state."""
    layers = DynamicCache(config=module.config).layers
    return all(type(layer) is DynamicLayer for layer in layers)


@contextlib.contextmanager
def attending(attend: Attend) -> Iterator[None]:
    """Inside, ready models that this thread calls use `attend`, which has to apply the mask itself."""
    token = _ATTEND.set(attend)
    try:
        yield
    finally:
        _ATTEND.reset(token)


def _attention(*tensors: Any, **how: Any) -> tuple[Tensor, None]:
    attend = _ATTEND.get() or ALL_ATTENTION_FUNCTIONS[TRANSFORMERS_NAME]
    result: tuple[Tensor, None] = attend(*tensors, **how)
    output, weights = result
    return output.contiguous(), weights  # as transformers' own: a model may look at it as another shape


def _mask(*sizes: Any, **how: Any) -> Any:
    return ALL_MASK_ATTENTION_FUNCTIONS[TRANSFORMERS_NAME](*sizes, **how) if _ATTEND.get() is None else None


@functools.cache
def _is_looked_up(file: str) -> bool:
    """Whether a modeling file looks its attention up by the configured name, and nowhere tests for the usual name."""
    try:
        code = inspect.getsource(sys.modules[file])
    except (KeyError, OSError, TypeError):
        return False
    return "ALL_ATTENTION_FUNCTIONS.get_interface(" in code and f'"{TRANSFORMERS_NAME}"' not in code


ALL_ATTENTION_FUNCTIONS.register(NAME, _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _mask)


def refuse_unlike(how: Mapping[str, Any]) -> None:
    """Raises ValueError for attention of another kind: a sliding window, soft-capped scores, attention sinks."""
    if other := [name for name in ("sliding_window", "softcap", "s_aux") if how.get(name) is not None]:
        raise ValueError(f"attention with {other[0]} is not meant here")


# ----------------------------------------------------------------------------------------------------- the trial


class Trials:
    """Trials of a way to call models: each model is tried once, by one thread, before the first use.

    A model with windows is tried with windows that the trial's rows go beyond, too (windows.py).
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._passed: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()

    def passed(self, module: nn.Module, is_usual: Callable[[Any], bool]) -> bool:
        """The first result of `is_usual` for `module`: whether a module gives the usual logits in this way.

        An error, which a model with another interface may raise, counts as False.
        """
        with self._lock:
            if module not in self._passed:
                try:
                    usual = is_usual(module)
                    if usual and (narrow := windows.narrowed(module)) is not None:
                        usual = is_usual(narrow)
                    self._passed[module] = usual
                except windows.WHAT_A_LIBRARY_RAISES:
                    self._passed[module] = False
            return self._passed[module]


# ------------------------------------------------------------------------------------------- attention by blocks


def causal_attention(
    q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, scale: float, added: Tensor | None = None
) -> Tensor:
    """Attention of the last T of S positions, each over all positions up to its own -> (B, H, T, E).

    Scores are fp32, as the fused kernel has them; in bf16 a score of 100 is off by up to .25. `added` (1 or B, 1 or H,
    T, S) is added to the scores and gets no gradient. Under autocast the products are made in its precision, as torch's
    own attention makes them.
    """
    kind = q_BHTE.device.type
    if torch.is_autocast_enabled(kind):
        q_BHTE, k_BKSE, v_BKSE = (x.to(torch.get_autocast_dtype(kind)) for x in (q_BHTE, k_BKSE, v_BKSE))
    q_BHTE, k_BKSE, v_BKSE = q_BHTE.contiguous(), k_BKSE.contiguous(), v_BKSE.contiguous()
    with torch.autocast(kind, enabled=False):
        return _BlockAttention.apply(q_BHTE, k_BKSE, v_BKSE, scale, added)


class _BlockAttention(torch.autograd.Function):
    """softmax(q k^T * scale + added) v by blocks of queries. Heads that share a key head share one product.

    The backward pass finds the probabilities of up to MOST_KEYS keys kept, and computes those of more keys again.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, added: Tensor | None):  # type: ignore[no-untyped-def, override]
        out, kept = torch.empty_like(q), []
        for block in _blocks(q, k):
            weights = _probabilities(block, q, k, scale, added)
            out[:, :, block.start : block.end] = block.as_queries(torch.bmm(weights, block.keys(v)), q)
            if k.shape[2] <= MOST_KEYS:
                kept.append(weights)
        ctx.save_for_backward(q, k, v, added, *kept)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor):  # type: ignore[no-untyped-def, override]
        q, k, v, added, *kept = ctx.saved_tensors
        summed_in = torch.promote_types(k.dtype, torch.float32)  # over blocks: in 16 bits each sum would be rounded
        dq, dk, dv = torch.empty_like(q), *(torch.zeros_like(x, dtype=summed_in) for x in (k, v))
        for number, block in enumerate(_blocks(q, k)):
            weights = kept[number] if kept else _probabilities(block, q, k, ctx.scale, added)
            given = block.queries(dout)
            block.keys_of(dv).add_(torch.bmm(weights.transpose(1, 2), given).view(block.keys_of(dv).shape))
            dweights = torch.bmm(given, block.keys(v).transpose(1, 2))
            dscores = torch._softmax_backward_data(dweights, weights, -1, weights.dtype).mul_(ctx.scale)
            dq[:, :, block.start : block.end] = block.as_queries(torch.bmm(dscores, block.keys(k)), q)
            block.keys_of(dk).add_(torch.bmm(dscores.transpose(1, 2), block.queries(q)).view(block.keys_of(dk).shape))
        return dq, dk.to(k.dtype), dv.to(v.dtype), None, None


def _probabilities(block: _Block, q: Tensor, k: Tensor, scale: float, added: Tensor | None) -> Tensor:
    """(B K, G size, seen): what the block's queries give each key, in the precision of the queries."""
    scored_in = torch.promote_types(q.dtype, torch.float32)
    scores = torch.bmm(block.queries(q).to(scored_in), block.keys(k).transpose(1, 2).to(scored_in)).mul_(scale)
    hidden = torch.full((block.size, block.size), float("-inf"), dtype=scored_in, device=q.device).triu(1)
    scores.view(-1, block.size, scores.shape[-1])[..., -block.size :].add_(hidden)
    if added is not None:
        block.as_queries(scores, q).add_(added[..., block.start : block.end, : block.seen])
    return scores.softmax(-1).to(q.dtype)


@dataclass(frozen=True)
class _Block:
    """Queries start..end of every row, which see the first `seen` keys."""

    start: int
    end: int
    seen: int
    groups: int  # query heads for each key head

    @property
    def size(self) -> int:
        return self.end - self.start

    def queries(self, x: Tensor) -> Tensor:
        """(B, H, T, E) -> (B K, G size, E)"""
        rows, heads, _, width = x.shape
        return x[:, :, self.start : self.end].reshape(rows * heads // self.groups, self.groups * self.size, width)

    def as_queries(self, x: Tensor, like: Tensor) -> Tensor:
        """(B K, G size, ...) -> (B, H, size, ...)"""
        return x.view(*like.shape[:2], self.size, x.shape[-1])

    def keys_of(self, x: Tensor) -> Tensor:
        return x[:, :, : self.seen]

    def keys(self, x: Tensor) -> Tensor:
        """(B, K, S, E) -> (B K, seen, E)"""
        return self.keys_of(x).flatten(0, 1)


def _blocks(q: Tensor, k: Tensor) -> list[_Block]:
    length, before = q.shape[2], k.shape[2] - q.shape[2]
    return [_Block(start, end, before + end, q.shape[1] // k.shape[1]) for start, end in query_blocks(length)]
