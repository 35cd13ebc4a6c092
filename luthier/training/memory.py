"""How many tokens a micro-batch of training, and a batch of answers, may hold under a bound on memory.

Training holds the weights, the gradient and AdamW's two moments of each trainable weight, and the activations that the
forward pass keeps for the backward pass. The arithmetic is that of a plan (planning/budget.py). For a model whose shape
a plan knows, so are the bytes that a forward pass keeps. For any other model, forward passes over single examples
measure them.

Answering holds the keys and values of every token of a batch. Dev answers come on top of all that training holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from luthier.planning import budget
from luthier.planning.budget import PROGRAM_BYTES, TRAINED_BYTES, USUAL_TOKENS, Room
from luthier.records import Prompt
from luthier.training.batches import length_of

KeptBytes = Callable[[Prompt, bool], float]  # (example, whether layers are computed again) -> bytes kept


@dataclass(frozen=True)
class Bound:
    """The most bytes that the process may hold. `bytes` None means no bound."""

    bytes: float | None = None
    base: nn.Module | None = None  # the base model, which stays loaded beside an arm's own model
    training: bool = False  # whether the module is in training, which includes its dev answers

    def fixed(self, module: nn.Module) -> float:
        """Bytes that do not depend on the batch while `module` is trained or asked."""
        beside = 0 if self.base is None or self.base is module else weight_bytes(self.base)
        return PROGRAM_BYTES + beside + (held_bytes(module) if self.training else weight_bytes(module))

    def while_training(self) -> Bound:
        return replace(self, training=True)


NO_BOUND = Bound()


def micro_tokens(
    module: Any,
    loss: Callable[[list[Prompt]], Tensor],
    prompts: Sequence[Prompt],
    bound: Bound,
    planned: KeptBytes | None = None,
) -> int:
    """The most padded tokens of a micro-batch. Switches recomputation on where the bound needs it.

    `loss(prompts)` is one forward pass, which measures what `planned` does not say. Raises SettingsError, which names
    the needed bytes, when no size keeps the bound.
    """
    usual = USUAL_TOKENS[next(module.parameters()).device.type]
    if bound.bytes is None:
        return usual

    def example(prompt: Prompt) -> budget.Example:
        def kept(recomputing: bool) -> float:
            if planned is not None:
                return planned(prompt, recomputing)
            if recomputing:
                _recompute(module)
            return kept_bytes(module, lambda: loss([prompt]))

        return budget.Example(length_of(prompt), lambda: kept(False), lambda: kept(True))

    shortest, longest = min(prompts, key=length_of), max(prompts, key=length_of)
    layers = module.config.num_hidden_layers
    chosen = budget.micro_batch(bound.fixed(module), example(shortest), example(longest), layers, bound.bytes, usual)
    if chosen.recomputes:
        _recompute(module)
    return chosen.tokens


def answering_room(module: Any, longest: int, bound: Bound) -> Room:
    """What a batch of answers may take. `longest` is the largest number of tokens of a prompt and its answer.

    Raises SettingsError, which names the needed bytes, when a batch of one does not fit.
    """
    if bound.bytes is None:
        return Room()
    weights = weight_bytes(module)
    return budget.answering_room(bound.fixed(module), cache_bytes(module), weights, longest, bound.bytes)


def weight_bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def held_bytes(module: nn.Module) -> int:
    """Bytes that stay during training: all weights, and gradient, two moments and best value of the trainable ones."""
    return weight_bytes(module) + sum(TRAINED_BYTES * p.numel() for p in module.parameters() if p.requires_grad)


def cache_bytes(module: Any) -> int:
    """Bytes that one token's keys and values take in all layers."""
    config = module.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    of_decoder = (getattr(config, name, None) or 0 for name in ("decoder_layers", "num_decoder_layers"))
    layers = max(config.num_hidden_layers, *of_decoder)
    each: int = 2 * layers * heads * width * next(module.parameters()).element_size()
    return each


def kept_bytes(module: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes that one forward pass keeps for the backward pass. Each storage counts once; weights do not count."""
    seen = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            kept += storage.nbytes()
        return tensor.detach()  # a graph that holds its own outputs would never be freed

    module.train()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        alive = forward()  # held until counted, because a freed storage gives its address to the next
    del alive
    return kept


def _recompute(module: Any) -> None:
    """Switches on transformers' activation checkpointing, below any adapter that wraps the model."""
    inner = module.get_base_model() if hasattr(module, "get_base_model") else module
    inner.activation_checkpointing_enable({"use_reentrant": False})
