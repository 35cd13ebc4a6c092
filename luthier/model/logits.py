"""Logits at chosen positions: a call chooses which positions its output layer sees.

So logits over the whole vocabulary are computed only where they are needed. One hook stands before the output layer
from the model's loading on. It acts only in a thread that is inside `positions_only`. So an error leaves nothing to
undo, and threads that ask one model do not affect each other.

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

_SELECTION: ContextVar[tuple[nn.Module, Select] | None] = ContextVar("selection", default=None)
_LOCK = Lock()


@contextlib.contextmanager
def positions_only(module: nn.Module, select: Select) -> Iterator[None]:
    """Inside, the output layer sees `select(hidden)` instead of every position: (B, T, D) -> (..., D).

    Does nothing for a module that cannot choose (`chooses`), whose logits are of every position.
    """
    if not chooses(module):
        yield
        return
    make_ready(module)  # an adapter may have replaced the output layer
    token = _SELECTION.set((output_layer(module), select))
    try:
        yield
    finally:
        _SELECTION.reset(token)


def last_position_only(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Inside, logits are computed for the last position alone, as a decoding step needs."""
    return positions_only(module, lambda hidden_BTD: hidden_BTD[:, -1:])


def output_layer(module: Any) -> nn.Module:
    """The layer that turns hidden states into logits, below any adapter that wraps the model."""
    inner = module.get_base_model() if hasattr(module, "get_base_model") else module
    return inner.get_output_embeddings()


def chooses(module: nn.Module) -> bool:
    """Whether calls of this model can choose positions: not where one table of tokens is looked up and multiplied."""
    return not isinstance(output_layer(module), nn.Embedding | None)


def make_ready(module: nn.Module) -> None:
    """Lets calls of this model choose positions. A second call of this function changes nothing."""
    if not chooses(module):
        return
    layer = output_layer(module)
    with _LOCK:
        if _select_positions not in layer._forward_pre_hooks.values():
            layer.register_forward_pre_hook(_select_positions)


def _select_positions(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    selection = _SELECTION.get()
    # An adapter of the output layer contains another one, whose input is selected already. So the layer must match.
    if selection is None or selection[0] is not layer:
        return None
    # Of a part of a tensor torch's matmul makes a product for each row, and a copy of the weight for each of them.
    return (selection[1](inputs[0]).contiguous(), *inputs[1:])
