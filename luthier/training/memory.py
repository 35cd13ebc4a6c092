"""How many tokens a micro-batch of training, and a batch of answers, may hold under a bound on memory.

Training holds the weights, the gradient and AdamW's two moments of each trainable weight, and the activations that the
forward pass keeps for the backward pass. The arithmetic is that of a plan (planning/budget.py). For a model whose shape
a plan knows, so are the bytes that a forward pass keeps. For any other model, forward passes over single examples
measure them.

Answering holds the keys and values of every token of a batch. Dev answers come on top of all that training holds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from luthier.defaults import BATCH
from luthier.errors import ModelError
from luthier.model.exact import NARROW
from luthier.model.prepacked import bytes_to_lay_out
from luthier.model.widths import is_narrow, tensors
from luthier.planning import budget, terms
from luthier.planning.budget import ANCHORED_BYTES, TRAINED_BYTES, USUAL_TOKENS, Asked, Kept, Room
from luthier.planning.cache import cache_layers, source_bytes, token_bytes
from luthier.planning.config import Config
from luthier.planning.read import shape_from
from luthier.records import Prompt
from luthier.training.batches import length_of


@dataclass(frozen=True)
class Bound:
    """The most bytes that the process may hold. `bytes` None means no bound.

    `beside` are models that stay loaded beside the one that is trained or asked: the study's base, and the base that
    kl asks.
    """

    bytes: float | None = None
    base: nn.Module | None = None
    training: bool = False  # whether the module is in training, which includes its dev answers
    beside: tuple[nn.Module, ...] = ()
    anchored: bool = False  # whether training keeps the start of what trains

    def fixed(self, module: nn.Module) -> float:
        """Bytes that do not depend on the batch while `module` is trained or asked. What modules share counts once."""
        modules = [module, *([] if self.base is None else [self.base]), *self.beside]
        states = trained_bytes(module, self.anchored) if self.training else 0
        first = next((module if self.base is None else self.base).parameters())
        program = budget.program_bytes(first.dtype in NARROW, first.device.type, answers=not self.training)
        return program + weight_bytes(*modules) + states

    def while_training(self, *beside: nn.Module, anchored: bool = False) -> Bound:
        return replace(self, training=True, beside=beside, anchored=anchored)


NO_BOUND = Bound()


def micro_tokens(
    module: Any,
    loss: Callable[[list[Prompt]], Tensor],
    prompts: Sequence[Prompt],
    bound: Bound,
    planned: Kept | None = None,
    batch_size: int = BATCH,
) -> int:
    """The most padded tokens of a micro-batch. Switches recomputation on where the bound needs it.

    `loss(prompts)` is one forward pass, which measures what `planned` does not say. Raises SettingsError, which names
    the needed bytes, when no size keeps the bound.
    """
    usual = USUAL_TOKENS[next(module.parameters()).device.type]
    if bound.bytes is None:
        return usual
    rows, fixed = [(len(one.prompt_ids), len(one.target_ids or ())) for one in prompts], bound.fixed(module)
    kept = planned or _measured(module, loss, prompts, bound.bytes - fixed)
    chosen = budget.micro_batch(fixed, rows, batch_size, kept, bound.bytes, usual)
    if chosen.recomputes:
        _recompute(module)
    return chosen.tokens


def _measured(module: Any, loss: Callable[[list[Prompt]], Tensor], prompts: Sequence[Prompt], room: float) -> Kept:
    """Bytes of a micro-batch by those of a token, which forward passes over the shortest and longest example measure.

    The longest is read only where `room`, in bytes, seems to hold it. Attention keeps more for each token of it.
    """
    shortest, longest = min(prompts, key=length_of), max(prompts, key=length_of)

    def of_token(prompt: Prompt) -> float:
        return kept_bytes(module, lambda: loss([prompt])) / length_of(prompt)

    @functools.cache
    def each() -> float:
        short = of_token(shortest)
        fits = budget.BACKWARD_FACTOR * short * length_of(longest) <= room
        return max(short, of_token(longest)) if fits else short

    @functools.cache
    def again() -> float:
        one_layer = each() / _layers(module)
        _recompute(module)
        return one_layer + 2 * of_token(shortest)  # most of it are logits, which backward holds twice

    def kept(rows: Sequence[tuple[int, int]], recomputes: bool) -> float:
        return len(rows) * max(map(sum, rows)) * (again() if recomputes else each())

    return kept


def answering_room(module: Any, asked: Asked, bound: Bound) -> Room:
    """What a batch of answers may take. Raises SettingsError, which names the needed bytes, when one does not fit."""
    if bound.bytes is None:
        return Room()
    return budget.answering_room(bound.fixed(module), answering_costs(module, asked), asked, bound.bytes)


def answering_costs(module: Any, asked: Asked) -> budget.Answering:
    """Bytes of a batch of answers; of a model whose shape a plan does not know, keys and values and logits alone."""
    number = next(module.parameters()).element_size()
    laid_out = bytes_to_lay_out(module)
    try:
        shape = shape_from(Config(type(module).__name__, module.config.to_dict()))
    except ModelError:
        vocabulary = getattr(module.config.get_text_config(decoder=True), "vocab_size", 0)
        return budget.Answering(budget.CACHE_FACTOR * cache_bytes(module), vocabulary * (4 + number), 0.0, laid_out)
    return terms.answering_costs(shape, number, asked, laid_out)


def weight_bytes(*modules: nn.Module) -> int:
    """Bytes of all weights, with the scales of narrow ones. A weight that several modules share counts once."""
    layers = [layer for module in modules for layer in module.modules()]
    owned: list[Tensor] = [parameter for module in modules for parameter in module.parameters()]
    owned += [tensor for layer in layers if is_narrow(layer) for tensor in tensors(layer)]
    storages = (tensor.untyped_storage() for tensor in owned)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages if storage.nbytes()}.values())


def trained_bytes(module: nn.Module, anchored: bool = False) -> int:
    """Bytes of gradient, two moments, best value and master of what trains, and of its start if `anchored`."""
    each = TRAINED_BYTES + (ANCHORED_BYTES if anchored else 0)
    moving = [p for p in module.parameters() if p.requires_grad]
    return sum((each + (budget.MASTER_BYTES if p.element_size() < 4 else 0)) * p.numel() for p in moving)


def cache_bytes(module: Any) -> int:
    """Bytes that one token's keys and values take in all layers of the writing stack."""
    number = next(module.parameters()).element_size()
    try:
        shape = shape_from(Config(type(module).__name__, module.config.to_dict()))
        layers = cache_layers(shape)
        return max(token_bytes(layers, number), source_bytes(layers, number))
    except ModelError:
        config = module.config.get_text_config(decoder=True)
        heads = getattr(config, "num_attention_heads", None)
        width = config.hidden_size  # where there are no heads there is a state, which does not grow with the tokens
        if isinstance(heads, int):
            keys = getattr(config, "num_key_value_heads", None) or heads
            named = config.to_dict()  # layers may differ in it: then the widest counts
            widths = [named[key] for key in named if key.endswith("head_dim") and isinstance(named[key], int)]
            width = keys * (max(widths, default=0) or config.hidden_size // heads)
        each: int = 2 * _layers(module) * width * number
        return each


def _layers(module: Any) -> int:
    config = module.config.get_text_config(decoder=True)
    return int(getattr(config, "num_hidden_layers", None) or getattr(config, "n_layers", None) or 1)


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
