"""How many tokens a micro-batch of training, and a batch of answers, may hold under a bound on memory.

Training holds the weights, the gradient and AdamW's two moments of each trainable weight, and the activations that the
forward pass keeps for the backward pass. Only the activations depend on the tokens in memory at once. Forward passes
over single examples measure them. Where even one example does not fit, every layer keeps its input alone and is
computed again (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").

Answering holds the keys and values of every token of a batch. Dev answers come on top of all that training holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import SettingsError
from luthier.records import Prompt
from luthier.training.batches import length_of

USUAL_TOKENS = {"cpu": 2048, "cuda": 16_384}  # padded tokens of a micro-batch, by device (docs/log.md)
PROGRAM_BYTES = 0.8e9  # bytes of the interpreter, its libraries, and what they hold ready
BACKWARD_FACTOR = 1.35  # kept bytes and the backward pass's own tensors, as a multiple of the kept bytes (docs/log.md)
TOKENS_MULTIPLE = 64  # a micro-batch holds a multiple of this many tokens
CACHE_FACTOR = 1.25  # keys and values, the cache's spare room and what reading takes, as a multiple of keys and values


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


@dataclass(frozen=True)
class Room:
    """What a batch of answers may take.

    `tokens`: padded tokens of prompts and answers; None: the usual number. `laid_out`: whether laid-out weights fit.
    """

    tokens: int | None = None
    laid_out: bool = True


def micro_tokens(module: Any, loss: Callable[[list[Prompt]], Tensor], prompts: Sequence[Prompt], bound: Bound) -> int:
    """The most padded tokens of a micro-batch. Switches recomputation on where the bound needs it.

    `loss(prompts)` is one forward pass. Raises SettingsError, which names the needed bytes, when no size keeps
    the bound.
    """
    usual = USUAL_TOKENS[next(module.parameters()).device.type]
    if bound.bytes is None:
        return usual
    shortest, longest = min(prompts, key=length_of), max(prompts, key=length_of)
    fixed = bound.fixed(module)

    def bytes_a_token(prompt: Prompt) -> float:
        return BACKWARD_FACTOR * kept_bytes(module, lambda: loss([prompt])) / length_of(prompt)

    each = bytes_a_token(shortest)
    if fixed + each * length_of(longest) <= bound.bytes:
        each = bytes_a_token(longest)  # attention keeps more for each token of a long row
    if fixed + each * length_of(longest) > bound.bytes:
        one_layer = each / module.config.num_hidden_layers
        _recompute(module)
        each = one_layer + 2 * bytes_a_token(shortest)  # most of it are logits, which backward holds twice
    fits = int((bound.bytes - fixed) / each)
    if fits < length_of(longest):
        raise _too_little("training", "example", fixed, length_of(longest), each, bound.bytes)
    return min(usual, max(length_of(longest), fits // TOKENS_MULTIPLE * TOKENS_MULTIPLE))


def answering_room(module: Any, longest: int, bound: Bound) -> Room:
    """What a batch of answers may take. `longest` is the largest number of tokens of a prompt and its answer.

    Raises SettingsError, which names the needed bytes, when a batch of one does not fit.
    """
    if bound.bytes is None:
        return Room()
    fixed, each = bound.fixed(module), CACHE_FACTOR * cache_bytes(module)
    fits = int((bound.bytes - fixed) / each)
    if fits < longest:
        raise _too_little("answering", "prompt with its answer", fixed, longest, each, bound.bytes)
    beside_weights = int((bound.bytes - fixed - weight_bytes(module)) / each)
    return Room(beside_weights, True) if beside_weights > fits / 2 else Room(fits, False)


def _too_little(what: str, unit: str, fixed: float, tokens: int, each: float, bound_bytes: float) -> SettingsError:
    return SettingsError(
        f"memory: {what} with {fixed / 1e9:.1f} GB of weights and program, and the longest {unit}, {tokens} tokens, "
        f"needs {(fixed + each * tokens) / 1e9:.1f} GB; the bound is {bound_bytes / 1e9:.1f} GB; allow more, or "
        "shorten the input"
    )


def weight_bytes(module: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in module.parameters())


def held_bytes(module: nn.Module) -> int:
    """Bytes that stay during training: all weights, and gradient, two moments and best value of the trainable ones."""
    return weight_bytes(module) + sum(4 * 4 * p.numel() for p in module.parameters() if p.requires_grad)


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
