"""How long a micro-batch of training, and a batch of answers, may be under a bound on memory.

Training holds the weights, for each weight that moves its gradient and AdamW's two moments, and what the forward pass
keeps for the backward pass. The last part grows with the tokens in memory at once, and is what can be chosen: autograd
is asked for it by forward passes over single examples. Where even one example does not fit, every layer keeps its
input alone and is computed again (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").

Answering holds the keys and values of every token of a batch, dev answers beside all that training holds.
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

USUAL = {"cpu": 2048, "cuda": 16_384}  # tokens; on a processor the speed is flat from 800 to 4,096 (docs/log.md)
PROGRAM = 0.8e9  # bytes of the interpreter, its libraries, and what they hold ready
BACKWARD = 1.35  # the backward pass's own tensors, on top of what was kept; measured 1.1 to 1.3
STEP = 64  # tokens: a micro-batch is a multiple of it
CACHE = 1.25  # the cache's room for further tokens, and what reading takes, on top of the keys and values


@dataclass(frozen=True)
class Bound:
    """The most bytes that the process may hold, None for no bound."""

    bytes: float | None = None
    base: nn.Module | None = None  # stays beside an arm's own model, for the arms that prompt it
    training: bool = False  # whether the module at hand is being trained, dev answers on the way included

    def fixed(self, module: nn.Module) -> float:
        """Bytes that nobody can choose while `module` is trained or asked."""
        beside = 0 if self.base is None or self.base is module else weight_bytes(self.base)
        return PROGRAM + beside + (held_bytes(module) if self.training else weight_bytes(module))

    def while_training(self) -> Bound:
        return replace(self, training=True)


NO_BOUND = Bound()


@dataclass(frozen=True)
class Room:
    """What a batch of answers may take: padded tokens, read and written (None: as is usual), and laid-out weights."""

    tokens: int | None = None
    laid_out: bool = True


def micro_tokens(module: Any, loss: Callable[[list[Prompt]], Tensor], prompts: Sequence[Prompt], bound: Bound) -> int:
    """The most padded tokens of a micro-batch; `loss` is one forward pass. Switches recomputation on where needed.

    Raises SettingsError when the bound cannot be kept, with what it would take.
    """
    usual = USUAL[next(module.parameters()).device.type]
    if bound.bytes is None:
        return usual
    shortest, longest = min(prompts, key=length_of), max(prompts, key=length_of)
    fixed = bound.fixed(module)

    def bytes_a_token(prompt: Prompt) -> float:
        return BACKWARD * kept_bytes(module, lambda: loss([prompt])) / length_of(prompt)

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
    return min(usual, max(length_of(longest), fits // STEP * STEP))


def answering_room(module: Any, longest: int, bound: Bound) -> Room:
    """What a batch of answers may take where the longest prompt and its answer are `longest` tokens.

    Raises SettingsError when the bound cannot be kept, with what it would take.
    """
    if bound.bytes is None:
        return Room()
    fixed, each = bound.fixed(module), CACHE * cache_bytes(module)
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
    """Bytes that stay during training: weights; of those that move also gradient, two moments, and the best so far."""
    return weight_bytes(module) + sum(4 * 4 * p.numel() for p in module.parameters() if p.requires_grad)


def cache_bytes(module: Any) -> int:
    """Bytes of a token's keys and values in all layers."""
    config = module.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    of_decoder = (getattr(config, name, None) or 0 for name in ("decoder_layers", "num_decoder_layers"))
    layers = max(config.num_hidden_layers, *of_decoder)
    each: int = 2 * layers * heads * width * next(module.parameters()).element_size()
    return each


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
