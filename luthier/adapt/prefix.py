"""Prefix tuning (Li and Liang 2021, section 4): n learned keys and values in front of every layer of the decoder.

Trainable parameters: n * 2 * L * d, for L layers whose keys are d wide in all (fewer heads, narrower: grouped
queries). With `hidden`, a network of that width writes them while training and is not saved: n d + (d h + h) +
(h 2 L d + 2 L d). On an encoder-decoder the decoder's self-attention gets the prefix, as in peft; the paper's second
prefix, for the encoder, is not there.

The keys and values start as those of random words that the model has read (section 7.4: real words are a better
start than random numbers). Standard normal ones harm a small model so much that a few hundred rows hardly repair it
(docs/log.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor, nn
from transformers.cache_utils import EncoderDecoderCache

from luthier.adapt import peft_format
from luthier.adapt.method import Tuning
from luthier.adapt.settings import Prefix
from luthier.errors import ModelError
from luthier.model.kv_cache import GrowingLayer, behind, cache_of, growing_cache
from luthier.model.model import Model
from luthier.training.settings import Training


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
        task_type=peft_format.task_type(model),
        num_virtual_tokens=settings.tokens,
        prefix_projection=hidden is not None,
        encoder_hidden_size=hidden,
        init_weights="zero" if settings.start == "zero" else None,
        **_shape(base.config),
    )
    if _by_its_name not in base._forward_pre_hooks.values():
        base.register_forward_pre_hook(_by_its_name, with_kwargs=True)
    module = peft_format.wrap(model, config, seed)
    if settings.hidden is None and settings.start in (None, "vocabulary"):
        states = _of_random_words(model, settings.tokens, seed)
        peft.initialize_kv_prefix_from_past_key_values(module, past_key_values=states)
    return module


def _by_its_name(base: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Gives the model its cache by the name it knows. peft says `past_key_values`, which transformers retires."""
    if (cache := given.pop("past_key_values", None)) is not None:
        given = behind(base, cache) | given
    return args, given


@torch.no_grad()
def _of_random_words(model: Model, count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Each layer's keys and values (1, K, count, E) after the model has read this many random words."""
    base: Any = model.module
    ids = torch.tensor([peft_format.random_words(model.tokenizer, count, seed)], device=base.device)
    also = {"decoder_input_ids": ids} if base.config.is_encoder_decoder else {}
    training = base.training
    base.eval()
    cache = cache_of(model, rows=1)
    base(input_ids=ids, **also, **behind(base, cache))
    base.train(training)
    return [(layer.keys.float(), layer.values.float()) for layer in _own(cache).layers]


def _own(cache: Any) -> Any:
    """The part of a cache that holds the decoder's own tokens."""
    return cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache


def _shape(config: Any) -> dict[str, Any]:
    """The decoder's sizes, which peft would take from the encoder or guess from the width."""
    if not config.is_encoder_decoder:
        return {}
    layers = getattr(config, "num_decoder_layers", None) or config.decoder_layers
    heads = getattr(config, "decoder_attention_heads", None) or config.num_attention_heads
    width = heads * config.d_kv if hasattr(config, "d_kv") else config.d_model
    return {"num_layers": layers, "num_attention_heads": heads, "token_dim": width}


def answering(model: Model, module: Any) -> Model:
    """The untouched base, with the keys and values for the start of its cache. They are computed once for all rows."""
    with torch.inference_mode():
        own = _own(module.get_prompt(batch_size=1))
        states = [tuple(part[0].detach().to(model.dtype).clone() for part in (x.keys, x.values)) for x in own.layers]
    return model.adapted(module.get_base_model(), prefix_states=tuple((keys, values) for keys, values in states))


def load(model: Model, folder: Path) -> Model:
    """The saved prefix on a fresh base."""
    return answering(model, peft_format.read(model, folder))


METHOD = Tuning(
    name="prefix",
    summary="learned keys and values in front of every layer",
    training=Training(learning_rate=1e-2),
    apply=apply,
    answering=answering,
    save=peft_format.save,
    load=load,
)
