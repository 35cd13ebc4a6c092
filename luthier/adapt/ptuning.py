"""P-tuning (Liu et al. 2021, "GPT understands, too"): a learned prompt that a small network writes.

The network is there while training; what it says at the end is all that is saved, a prompt as soft's.

Trainable parameters, n tokens of width d and a network of width h: n d for what the network reads, and for an MLP
(d h + h) + (h h + h) + (h d + d).
"""

from __future__ import annotations

from typing import Any, Literal

import peft
from pydantic import Field
from torch import nn

from luthier.adapt import soft, wrapped
from luthier.adapt.method import Method
from luthier.loop import Training
from luthier.model import Model
from luthier.settings import Settings


class PTuning(Settings):
    """The learned prompt and the network that writes it."""

    tokens: int = Field(16, ge=1, le=1024, description="learned embeddings in front of the input")
    hidden: int | None = Field(None, ge=1, description="width of the network; None: the model's own")
    network: Literal["mlp", "lstm"] = Field("mlp", description="'mlp' (three layers) or 'lstm' (two, both ways)")


def apply(model: Model, settings: PTuning, seed: int) -> nn.Module:
    """The model wrapped by peft; only the network and what it reads require a gradient."""
    hidden: Any = settings.hidden  # peft takes None for the model's own width
    config = peft.PromptEncoderConfig(
        task_type=wrapped.task_type(model),
        num_virtual_tokens=settings.tokens,
        encoder_reparameterization_type=settings.network.upper(),
        encoder_hidden_size=hidden,
        num_transformer_submodules=1,
    )
    return wrapped.wrap(model, config, seed)


METHOD = Method(
    name="p-tuning",
    summary="a learned prompt, written by a small network",
    settings=PTuning,
    dial="tokens",
    training=Training(learning_rate=1e-3),
    apply=apply,
    answering=soft.answering,
    save=wrapped.save,
    load=soft.load,
)
