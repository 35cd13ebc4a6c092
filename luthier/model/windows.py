"""A model with windows of a few tokens, so that a trial of short rows goes beyond them.

A way to call a model is tried on rows of about ten tokens (attention.py). A window or chunk of 4,096 tokens that the
way passes over would not show there. So a model whose configuration names one is tried twice: as it is, and as a copy
whose windows are TOKENS long. The copy has the same weights, in the same memory.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from torch import Tensor, nn

TOKENS = 4  # of a window in the copy: rows of a trial are longer
# What configurations and layers call a window, a chunk, or what is derived from one.
_NAMES = re.compile(
    "(one_sided_)?(sliding_|attention_|attn_|local_)*window(_size|_len)?|(attention_|mamba_)?chunk_size|"
    "local_attention|local_radius|local_attn_chunk_length|block_len"
)
WHAT_A_LIBRARY_RAISES = (TypeError, ValueError, RuntimeError, LookupError, AttributeError, AssertionError)


def named(module: Any) -> dict[str, int]:
    """The windows and chunks of more than TOKENS tokens that a model's configurations name."""
    found = dict[str, int]()
    for config in _configs(module):
        for name, value in vars(config).items():
            for size in value if isinstance(value, list) else [value]:
                if _NAMES.fullmatch(name) and _is_number(size) and size > TOKENS:
                    found[name] = max(size, found.get(name, 0))
    return found


def narrowed(module: Any) -> Any:
    """A copy of `module` whose windows are TOKENS long; None where it names none or the copy cannot be called.

    An architecture that makes tables of its window when it is built cannot be copied so, and keeps its own window.
    """
    if not (found := named(module)):
        return None
    # (more, part): a window, one more or less, and as much to each side.
    derived = [(0, 1), (1, 1), (-1, 1), (0, 2), (1, 2)]
    sizes = {size // part + more: TOKENS // part + more for more, part in reversed(derived) for size in found.values()}
    try:
        narrow = _copy(module)
        for table in [*narrow.modules(), *_configs(narrow)]:
            for name, value in list(vars(table).items()):
                if _NAMES.fullmatch(name):
                    setattr(table, name, _smaller(value, sizes))
        _call(narrow)
    except WHAT_A_LIBRARY_RAISES:
        return None
    return narrow


def _configs(module: nn.Module) -> list[Any]:
    """The configurations that a model's layers hold, and those inside them, each once."""
    found, waiting = dict[int, Any](), [vars(layer).get("config") for layer in module.modules()]
    while waiting:
        config = waiting.pop()
        if hasattr(config, "model_type") and id(config) not in found:
            found[id(config)] = config
            waiting += vars(config).values()
    return list(found.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _smaller(value: Any, sizes: dict[int, int]) -> Any:
    if isinstance(value, list):
        return [_smaller(one, sizes) for one in value]
    return sizes.get(value, value) if _is_number(value) else value


def _copy(module: nn.Module) -> Any:
    """The module's layers and configurations anew, around the same tensors."""
    tensors = [*module.parameters(), *module.buffers()]
    for layer in module.modules():
        tensors += [value for value in vars(layer).values() if isinstance(value, Tensor)]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


@torch.no_grad()
def _call(module: Any) -> None:
    """One row as it is read without luthier's ways: raises what a copy raises whose parts no longer fit."""
    ids = torch.arange(3 * TOKENS, device=next(module.parameters()).device)[None]
    ids = ids % module.get_input_embeddings().weight.shape[0]
    more = {"decoder_input_ids": ids} if module.config.is_encoder_decoder else {}
    module(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
