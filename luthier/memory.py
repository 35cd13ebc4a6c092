"""How long a micro-batch may be under a bound on memory: asked of the model itself, before it is trained.

Training holds the weights, for each weight that moves its gradient and AdamW's two moments, and what the forward pass
keeps for the backward pass. The last part grows with the tokens in memory at once, and is what can be chosen: autograd
is asked for it by forward passes over single examples. Where even one example does not fit, every layer keeps its
input alone and is computed again (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from luthier.batches import length_of
from luthier.errors import SettingsError
from luthier.records import Prompt

USUAL = {"cpu": 2048, "cuda": 16_384}  # tokens; on a processor the speed is flat from 800 to 4,096 (docs/log.md)
PROGRAM = 1.0e9  # bytes of the interpreter, its libraries, and what they hold ready
BACKWARD = 1.35  # the backward pass's own tensors, on top of what was kept; measured 1.1 to 1.3
STEP = 64  # tokens: a micro-batch is a multiple of it


def micro_tokens(
    module: Any, loss: Callable[[list[Prompt]], Tensor], prompts: Sequence[Prompt], bound_bytes: float | None
) -> int:
    """The most padded tokens of a micro-batch; `loss` is one forward pass. Switches recomputation on where needed.

    Raises SettingsError when the bound cannot be kept, with what it would take.
    """
    usual = USUAL[next(module.parameters()).device.type]
    if bound_bytes is None:
        return usual
    shortest, longest = min(prompts, key=length_of), max(prompts, key=length_of)
    fixed = PROGRAM + held_bytes(module)

    def bytes_a_token(prompt: Prompt) -> float:
        return BACKWARD * kept_bytes(module, lambda: loss([prompt])) / length_of(prompt)

    each = bytes_a_token(shortest)
    if fixed + each * length_of(longest) <= bound_bytes:
        each = bytes_a_token(longest)  # attention keeps more for each token of a long row
    if fixed + each * length_of(longest) > bound_bytes:
        one_layer = each / module.config.num_hidden_layers
        _recompute(module)
        each = one_layer + 2 * bytes_a_token(shortest)  # most of it are logits, which backward holds twice
    fits = int((bound_bytes - fixed) / each)
    if fits < length_of(longest):
        raise SettingsError(
            f"memory: training with {fixed / 1e9:.1f} GB of weights and program, and an example of "
            f"{length_of(longest)} tokens, needs {(fixed + each * length_of(longest)) / 1e9:.1f} GB; the bound is "
            f"{bound_bytes / 1e9:.1f} GB; allow more, or shorten the input"
        )
    return min(usual, max(length_of(longest), fits // STEP * STEP))


def held_bytes(module: nn.Module) -> int:
    """Bytes that stay during training: weights; of those that move also gradient, two moments, and the best so far."""
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    return weights + sum(4 * 4 * p.numel() for p in module.parameters() if p.requires_grad)


def kept_bytes(module: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes that one forward pass keeps for the backward pass, each storage once, the weights left out."""
    seen = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            kept += storage.nbytes()
        return tensor.detach()  # a graph that keeps its own outputs as they are would keep itself alive

    module.train()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        alive = forward()  # held until counted: a storage that is freed gives its address to the next
    del alive
    return kept


def _recompute(module: Any) -> None:
    """Every layer keeps its input alone; transformers' own switch, below whatever adapter wraps the model."""
    inner = module.get_base_model() if hasattr(module, "get_base_model") else module
    inner.activation_checkpointing_enable({"use_reentrant": False})
