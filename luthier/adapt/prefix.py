"""Prefix tuning (Li and Liang 2021, section 4): n learned keys and values in front of every layer of the writing stack.

Trainable parameters: n * 2 * L * d, for L layers whose keys are d wide in all (fewer heads, narrower: grouped
queries). With `hidden`, a network of that width writes them while training and is not saved: n d + (d h + h) +
(h 2 L d + 2 L d). On an encoder-decoder the decoder's self-attention gets the prefix, as in peft; the paper's second
prefix, for the encoder, is not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import peft
import torch
from pydantic import Field
from torch import nn
from transformers.cache_utils import EncoderDecoderCache

from luthier.adapt import wrapped
from luthier.adapt.method import Method
from luthier.cache import GrowingLayer, growing_cache
from luthier.errors import ModelError
from luthier.loop import Training
from luthier.model import Model
from luthier.settings import Settings


class Prefix(Settings):
    """The learned keys and values."""

    tokens: int = Field(16, ge=1, le=1024, description="positions of learned keys and values")
    hidden: int | None = Field(None, ge=1, description="width of a network that writes them; None: learned directly")
    start: Literal["random", "zero"] = Field("random", description="'random' (standard normal) or 'zero'")


def apply(model: Model, settings: Prefix, seed: int) -> nn.Module:
    """The model wrapped by peft; only the prefix requires a gradient.

    Raises ModelError for a model some of whose layers keep no plain keys and values.
    """
    base: Any = model.module
    if not all(isinstance(layer, GrowingLayer) for layer in growing_cache(base.config).layers):
        raise ModelError(
            f"{model.name}: not all of its layers keep plain keys and values, which a prefix stands among; choose soft"
        )
    hidden: Any = settings.hidden  # peft takes None for no network
    config = peft.PrefixTuningConfig(
        task_type=wrapped.task_type(model),
        num_virtual_tokens=settings.tokens,
        prefix_projection=hidden is not None,
        encoder_hidden_size=hidden,
        init_weights="zero" if settings.start == "zero" else None,
        **_shape(base.config),
    )
    return wrapped.wrap(model, config, seed)


def _shape(config: Any) -> dict[str, Any]:
    """What peft would read from the encoder, or guess from the width, where the decoder differs."""
    if not config.is_encoder_decoder:
        return {}
    layers = getattr(config, "num_decoder_layers", None) or config.decoder_layers
    heads = getattr(config, "decoder_attention_heads", None) or config.num_attention_heads
    width = heads * config.d_kv if hasattr(config, "d_kv") else config.d_model
    return {"num_layers": layers, "num_attention_heads": heads, "token_dim": width}


def answering(model: Model, module: Any) -> Model:
    """The untouched base and the keys and values that its cache begins with, computed once and shared by all rows."""
    with torch.inference_mode():
        cache: Any = module.get_prompt(batch_size=1)
        own: Any = cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache
        states = [tuple(part[0].detach().to(model.dtype).clone() for part in (x.keys, x.values)) for x in own.layers]
    return model.adapted(module.get_base_model(), prefix_states=tuple((keys, values) for keys, values in states))


def load(model: Model, folder: Path) -> Model:
    """The saved prefix on a fresh base."""
    return answering(model, wrapped.read(model, folder))


METHOD = Method(
    name="prefix",
    summary="learned keys and values in front of every layer",
    settings=Prefix,
    dial="tokens",
    training=Training(learning_rate=1e-2),
    apply=apply,
    answering=answering,
    save=wrapped.save,
    load=load,
)
