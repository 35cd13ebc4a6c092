"""Reading once, while training, what all rows of a micro-batch begin with; and attention that skips what it hides.

Every prompt of a task begins alike: the chat template, a system message, the instruction. In a causal model these
tokens have the same keys and values in every row, and their gradient is the sum over the rows. So a micro-batch is
laid out as one sequence, the shared beginning first and then the rows without it:

    input_ids  (1, P + B * T) = [shared P][row 1, T][row 2, T]...      each row padded on its right to T

All layers but attention treat tokens one by one and see nothing of this. Attention is the one place that knows: a row
sees the shared beginning and itself. Nothing is approximated; `supported` runs a model both ways before it is used.

On a processor attention is taken in blocks of queries, each against the keys it may see and no others, which for rows
of 250 tokens takes a third less time than the fused kernel. Both together: 9 % of a lora step (docs/log.md).

    shapes: B rows, T tokens of a row, P shared tokens, S = P + T keys, H heads, K key heads, E width of a head
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "luthier-shared-beginning"  # under which transformers finds `attention`
BLOCK = 64  # queries at once: of 32, 64, 128 and all the fastest for rows of 120 to 480 tokens
LONGEST = 512  # above it the probabilities kept for the backward pass weigh more than the time they save


@dataclass(frozen=True)
class Layout:
    """How a flat sequence of `shared + rows * width` tokens is to be read."""

    shared: int
    rows: int
    width: int


_LAYOUT: ContextVar[Layout] = ContextVar("layout")
_SUPPORTED: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@contextlib.contextmanager
def attending(module: Any, name: str, told: ContextVar[Any], meaning: Any) -> Iterator[None]:
    """Inside, the model's attention is the one registered as `name`, and `told` tells it what its tokens mean."""
    config, token = module.config, told.set(meaning)
    usual, config._attn_implementation = config._attn_implementation, name
    try:
        yield
    finally:
        config._attn_implementation = usual
        told.reset(token)


def laid_out(module: Any, layout: Layout | None) -> contextlib.AbstractContextManager[None]:
    """Inside, the model's attention reads its input as `layout` says; None: as always."""
    return contextlib.nullcontext() if layout is None else attending(module, NAME, _LAYOUT, layout)


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, at least one short of the shortest; 0 for a single one."""
    if len(prompts) < 2:
        return 0
    ordered = sorted(map(tuple, prompts))
    first, last = ordered[0], ordered[-1]  # in lexical order, so all others lie between them
    most = min(map(len, prompts)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


def flat(rows: Sequence[Sequence[int]], layout: Layout, fill: int) -> list[int]:
    """The rows (each with its shared beginning) as one sequence."""
    padded = [[*row[layout.shared :], *[fill] * (layout.shared + layout.width - len(row))] for row in rows]
    return [*rows[0][: layout.shared], *(token for row in padded for token in row)]


def supported(module: Any) -> bool:
    """Whether this model gives the same logits for rows laid out in one sequence; tried once with two short rows.

    Only on a processor: a GPU has faster attention than what this buys. A learned prompt is put in front of every row
    by its own module, and attention dropout needs another function, so both read padded rows.
    """
    if module not in _SUPPORTED:
        _SUPPORTED[module] = _may(module) and _same_logits(module)
    # A layer that is computed again backward would find the usual attention, outside of `laid_out`.
    return _SUPPORTED[module] and not any(getattr(layer, "gradient_checkpointing", False) for layer in module.modules())


def _may(module: Any) -> bool:
    learned = getattr(getattr(module, "active_peft_config", None), "is_prompt_learning", False)
    dropped = any(getattr(layer, "attention_dropout", 0.0) for layer in module.modules())
    known = getattr(module.config, "_attn_implementation", None) == "sdpa"
    return next(module.parameters()).device.type == "cpu" and known and not learned and not dropped


@torch.no_grad()
def _same_logits(module: Any) -> bool:
    rows, layout = [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 8, 9, 10, 11]], Layout(3, 2, 4)
    places = torch.arange(7)
    position_ids = torch.cat([places, places[3:]])[None]
    training = module.training
    module.eval()
    try:
        usual = module(input_ids=torch.tensor(rows), use_cache=False).logits
        with laid_out(module, layout):
            ids = torch.tensor([flat(rows, layout, 0)])
            ours = module(input_ids=ids, position_ids=position_ids, use_cache=False).logits
    except (TypeError, ValueError, RuntimeError, KeyError):
        return False  # another interface than the one that is meant
    finally:
        module.train(training)
    again = torch.cat([ours[0, :3].expand(2, 3, -1), ours[0, 3:].view(2, 4, -1)], 1)
    tolerance = 3e-2 if usual.dtype.itemsize == 2 else 1e-3
    return bool((again - usual).abs().max() <= tolerance * usual.abs().max())


# ---------------------------------------------------------------------------------------------------- attention


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, **how: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: query (1, H, P + B T, E), key and value with K heads -> (1, P + B T, H, E)."""
    refuse_unlike(how)
    layout = _LAYOUT.get()
    scale = how.get("scaling") or query.shape[-1] ** -0.5

    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        # Split and not sliced: the gradient of a slice is a tensor of zeros for each part, and a sum.
        beginning, rest = x.split([layout.shared, layout.rows * layout.width], 2)
        return beginning, rest[0].unflatten(1, (layout.rows, layout.width)).transpose(0, 1)

    def behind(both: tuple[Tensor, Tensor]) -> Tensor:
        return torch.cat([both[0].expand(layout.rows, -1, -1, -1), both[1]], 2) if layout.shared else both[1]

    queries, keys, values = parts(query), parts(key), parts(value)
    rows = causal_attention(queries[1], behind(keys), behind(values), scale)
    outputs = rows.transpose(1, 2).flatten(0, 1)
    if layout.shared:
        beginning = causal_attention(queries[0], keys[0], values[0], scale)
        outputs = torch.cat([beginning[0].transpose(0, 1), outputs])
    return outputs[None], None


def refuse_unlike(how: Mapping[str, Any]) -> None:
    """Raises ValueError for attention of another kind: a sliding window, soft-capped scores, attention sinks."""
    if other := [name for name in ("sliding_window", "softcap", "s_aux") if how.get(name) is not None]:
        raise ValueError(f"attention with {other[0]} is not meant here")


def causal_attention(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, scale: float) -> Tensor:
    """Attention of the last T of S positions, each over all positions up to its own -> (B, H, T, E)."""
    if k_BKSE.shape[2] <= LONGEST:
        return _BlockAttention.apply(q_BHTE.contiguous(), k_BKSE.contiguous(), v_BKSE.contiguous(), scale)
    length, seen = q_BHTE.shape[2], k_BKSE.shape[2]
    mask = torch.ones(length, seen, dtype=torch.bool).tril(seen - length)
    return F.scaled_dot_product_attention(q_BHTE, k_BKSE, v_BKSE, attn_mask=mask, scale=scale, enable_gqa=True)


class _BlockAttention(torch.autograd.Function):
    """softmax(q k^T * scale) v by blocks of queries; the heads that share a key head stand in one product."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float):  # type: ignore[no-untyped-def, override]
        out, kept = torch.empty_like(q), []
        hidden = torch.full((BLOCK, BLOCK), float("-inf"), dtype=q.dtype).triu(1)
        for block in _blocks(q, k):
            scores = torch.bmm(block.queries(q), block.keys(k).transpose(1, 2)).mul_(scale)
            square = scores.view(-1, block.size, scores.shape[-1])[..., -block.size :]
            square.add_(hidden[: block.size, : block.size])
            weights = scores.softmax(-1)
            out[:, :, block.start : block.end] = block.as_queries(torch.bmm(weights, block.keys(v)), q)
            kept.append(weights)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor):  # type: ignore[no-untyped-def, override]
        q, k, v, *kept = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for block, weights in zip(_blocks(q, k), kept, strict=True):
            given = block.queries(dout)
            block.keys_of(dv).add_(torch.bmm(weights.transpose(1, 2), given).view(block.keys_of(dv).shape))
            dweights = torch.bmm(given, block.keys(v).transpose(1, 2))
            dscores = torch._softmax_backward_data(dweights, weights, -1, weights.dtype).mul_(ctx.scale)
            dq[:, :, block.start : block.end] = block.as_queries(torch.bmm(dscores, block.keys(k)), q)
            block.keys_of(dk).add_(torch.bmm(dscores.transpose(1, 2), block.queries(q)).view(block.keys_of(dk).shape))
        return dq, dk, dv, None


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
        return x.view(*like.shape[:2], self.size, like.shape[3])

    def keys_of(self, x: Tensor) -> Tensor:
        return x[:, :, : self.seen]

    def keys(self, x: Tensor) -> Tensor:
        """(B, K, S, E) -> (B K, seen, E)"""
        return self.keys_of(x).flatten(0, 1)


def _blocks(q: Tensor, k: Tensor) -> list[_Block]:
    length, before = q.shape[2], k.shape[2] - q.shape[2]
    ends = [*range(BLOCK, length, BLOCK), length]
    starts = [0, *ends[:-1]]
    return [_Block(start, end, before + end, q.shape[1] // k.shape[1]) for start, end in zip(starts, ends, strict=True)]


ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
