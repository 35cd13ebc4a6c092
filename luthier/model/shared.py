"""Reading once, while training, what all rows of a micro-batch begin with.

Every prompt of a task begins alike: the chat template, a system message, the instruction. In a causal model these
tokens have the same keys and values in every row, and their gradient is the sum over the rows. So a micro-batch is
laid out as one sequence, the shared beginning first and then the rows without it:

    input_ids  (1, P + B * T) = [shared P][row 1, T][row 2, T]...      each row padded on its right to T

All layers but attention treat tokens one by one and see nothing of this. Attention is the one place that knows: a row
sees the shared beginning and itself. Nothing is approximated; `supported` runs a model both ways before it is used.

    shapes: B rows, T tokens of a row, P shared tokens, S = P + T keys, H heads, K key heads, E width of a head
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from luthier.model.attention import Trials, alike, attending, causal_attention, is_ready, refuse_unlike


@dataclass(frozen=True)
class Layout:
    """How a flat sequence of `shared + rows * width` tokens is to be read."""

    shared: int
    rows: int
    width: int


_TRIALS = Trials()


def laid_out(layout: Layout | None) -> contextlib.AbstractContextManager[None]:
    """Inside, a model's attention reads its input as `layout` says; None: as always."""
    return contextlib.nullcontext() if layout is None else attending(partial(attention, layout))


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
    return _may(module) and _TRIALS.passed(module, lambda: _same_logits(module))


def _may(module: Any) -> bool:
    learned = getattr(getattr(module, "active_peft_config", None), "is_prompt_learning", False)
    on_processor = next(module.parameters()).device.type == "cpu"
    # A layer that is computed again backward would find the usual attention, outside of `laid_out`.
    unlike = (
        getattr(layer, "attention_dropout", 0.0) or getattr(layer, "gradient_checkpointing", False)
        for layer in module.modules()
    )
    return on_processor and is_ready(module) and not learned and not any(unlike)


@torch.no_grad()
def _same_logits(module: Any) -> bool:
    rows, layout = [[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 8, 9, 10, 11]], Layout(3, 2, 4)
    places = torch.arange(7)
    position_ids = torch.cat([places, places[3:]])[None]
    with _without_dropout(module):
        usual = module(input_ids=torch.tensor(rows), use_cache=False).logits
        with laid_out(layout):
            ids = torch.tensor([flat(rows, layout, 0)])
            ours = module(input_ids=ids, position_ids=position_ids, use_cache=False).logits
    again = torch.cat([ours[0, :3].expand(2, 3, -1), ours[0, 3:].view(2, 4, -1)], 1)
    return alike(again, usual)


@contextlib.contextmanager
def _without_dropout(module: nn.Module) -> Iterator[None]:
    """Inside, a module that is being trained answers; one that answers is not touched, others may be asking it."""
    training = [layer for layer in module.modules() if layer.training]
    try:
        for layer in training:
            layer.training = False
        yield
    finally:
        for layer in training:
            layer.training = True


# ---------------------------------------------------------------------------------------------------- attention


def attention(
    layout: Layout,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any = None,
    **how: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query (1, H, P + B T, E), key and value with K heads -> (1, P + B T, H, E)."""
    refuse_unlike(how)
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
