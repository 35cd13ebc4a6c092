"""Reading the shared beginning of a micro-batch's rows once in training.

All prompts of a task begin alike: chat template, system message, instruction. In a causal model these tokens have the
same keys and values in every row, and their gradient is the sum over the rows. So a micro-batch is laid out as one
sequence, first the shared beginning and then the rows without it:

    input_ids  (1, P + B * T) = [shared P][row 1, T][row 2, T]...      each row padded on its right to T

All layers but attention treat each token by itself. In attention a row sees the shared beginning and itself. The method
is exact; `supported` compares its logits with the usual ones before the first use.

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

from luthier.model.attention import Trials, attending, causal_attention, is_ready, keeps_every_token, refuse_unlike
from luthier.model.exact import as_exact, as_weights, trial_tokens
from luthier.model.model import Model


@dataclass(frozen=True)
class Layout:
    """The structure of a flat sequence of `shared + rows * width` tokens."""

    shared: int
    rows: int
    width: int


_TRIALS = Trials()


def laid_out(layout: Layout | None) -> contextlib.AbstractContextManager[None]:
    """Inside, a model's attention follows `layout`; None means usual rows."""
    return contextlib.nullcontext() if layout is None else attending(partial(attention, layout))


def flat(rows: Sequence[Sequence[int]], layout: Layout, fill: int) -> list[int]:
    """The rows (each with its shared beginning) as one sequence."""
    padded = [[*row[layout.shared :], *[fill] * (layout.shared + layout.width - len(row))] for row in rows]
    return [*rows[0][: layout.shared], *(token for row in padded for token in row)]


def supported(module: Any) -> bool:
    """Whether this model gives the same logits for rows in one sequence. The first call tries two short rows.

    False on a GPU, whose own attention is faster. False for a learned prompt, which its module puts in front of every
    row, and with attention dropout, which needs another function.
    """
    return _is_eligible(module) and _TRIALS.passed(module, _same_logits)


def slow_road(model: Model) -> str | None:
    """A sentence where a decoder on a CPU is trained more slowly than most; None where there is nothing to say.

    It is about the model itself. A learned prompt or prefix is always trained on padded rows.
    """
    if model.family != "decoder" or model.device.type != "cpu" or supported(model.module):
        return None
    why = (
        "behind what they share its rows have other logits" if _is_eligible(model.module)
        else "its layers choose their attention themselves, or leave out parts of it by chance"
    )  # fmt: skip
    return f"{model.name}: training pads rows to one length, which is slower, because {why}"


def _is_eligible(module: Any) -> bool:
    learned = getattr(getattr(module, "active_peft_config", None), "is_prompt_learning", False)
    on_processor = next(module.parameters()).device.type == "cpu"
    # A layer that the backward pass computes again runs outside of `laid_out`, so with the usual attention.
    unlike = (
        getattr(layer, "attention_dropout", 0.0) or getattr(layer, "gradient_checkpointing", False)
        for layer in module.modules()
    )
    return on_processor and is_ready(module) and keeps_every_token(module) and not learned and not any(unlike)


@torch.no_grad()
def _same_logits(module: Any) -> bool:
    one, two, three, *others = trial_tokens(module.config.get_text_config().vocab_size, range(1, 12))
    rows, layout = [[one, two, three, *others[:4]], [one, two, three, *others[4:]]], Layout(3, 2, 4)
    positions = torch.arange(7)
    position_ids = torch.cat([positions, positions[3:]])[None]

    def usual() -> Tensor:
        logits: Tensor = module(input_ids=torch.tensor(rows), use_cache=False).logits
        return logits

    with without_dropout(module):
        with laid_out(layout):
            ids = torch.tensor([flat(rows, layout, 0)])
            ours = module(input_ids=ids, position_ids=position_ids, use_cache=False).logits
        again = torch.cat([ours[0, :3].expand(2, 3, -1), ours[0, 3:].view(2, 4, -1)], 1)
        return as_exact(again, as_weights(module, usual()), usual)


@contextlib.contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Inside, layers in training mode are in evaluation mode. The others stay untouched: threads may be asking them."""
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
        # `split`, because the gradient of each slice would be a full tensor of zeros.
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
