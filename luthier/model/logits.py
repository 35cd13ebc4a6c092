"""Logits where they are asked for: the output layer of one call sees chosen positions alone.

The softmax over a 49,152-word vocabulary is only formed where it is needed. The choice belongs to a call: one hook
stands before the output layer from the model's loading on, and does nothing but for the thread that is inside
`positions_only`. So nothing has to be taken away after an error, and threads that ask one model do not meet.

    shapes: B rows, T tokens, D width
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from threading import Lock
from typing import Any

from torch import Tensor, nn

Select = Callable[[Tensor], Tensor]

_ASKED: ContextVar[tuple[nn.Module, Select] | None] = ContextVar("asked", default=None)
_LOCK = Lock()


@contextlib.contextmanager
def positions_only(module: nn.Module, select: Select) -> Iterator[None]:
    """Inside, the output layer sees `select(hidden)` instead of every position: (B, T, D) -> (..., D)."""
    make_ready(module)  # an adapter may have put another layer into its place
    token = _ASKED.set((output_layer(module), select))
    try:
        yield
    finally:
        _ASKED.reset(token)


def last_position_only(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Inside, logits are formed for the last position alone: what a decoding step needs."""
    return positions_only(module, lambda hidden_BTD: hidden_BTD[:, -1:])


def output_layer(module: Any) -> nn.Module:
    """The layer that turns hidden states into logits, below whatever adapter wraps the model."""
    inner = module.get_base_model() if hasattr(module, "get_base_model") else module
    return inner.get_output_embeddings()


def make_ready(module: nn.Module) -> None:
    """Lets a call of this model choose its positions; a second time it does nothing."""
    layer = output_layer(module)
    with _LOCK:
        if _selected not in layer._forward_pre_hooks.values():
            layer.register_forward_pre_hook(_selected)


def _selected(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    asked = _ASKED.get()
    # By the layer, because an adapter of the output layer holds another one, which sees what was selected already.
    if asked is None or asked[0] is not layer:
        return None
    return (asked[1](inputs[0]), *inputs[1:])
