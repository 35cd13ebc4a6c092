"""Keys and values: published bytes a token, and the tensors that tiny models of other shapes really keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from luthier.planning.cache import CacheLayer, cache_layers, latent_layers, row_bytes, source_bytes, token_bytes
from luthier.planning.config import Config
from luthier.planning.read import shape_from, shape_of
from luthier.planning.weights import layer_bytes, narrowed, weight_bytes

SIZES: dict[str, Any] = {
    "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 10, "vocab_size": 60, "pad_token_id": 0, "sliding_window": 8,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "qwen3": SIZES,
    "gemma2": SIZES,
    "gemma3_text": SIZES | {"sliding_window_pattern": 2},
    "mistral": SIZES,
    "gpt_neox": {k: v for k, v in SIZES.items() if k not in ("head_dim", "num_key_value_heads", "sliding_window")},
    "phi3": {k: v for k, v in SIZES.items() if k != "head_dim"},
}


@pytest.mark.parametrize(
    "name, own, cross", [("llama-3.1-8b", 131_072, 0), ("smollm2-135m", 23_040, 0), ("flan-t5-base", 36_864, 36_864)]
)
def test_published_bytes_a_token(name: str, own: int, cross: int) -> None:
    layers = cache_layers(shape_of(name))
    assert (token_bytes(layers), source_bytes(layers)) == (own, cross)
    assert row_bytes(layers, 10, 7) == 10 * own + 7 * cross


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_tiny_model_keeps(kind: str) -> None:
    """A window keeps no more than it sees; transformers keeps one token less, because the next one is still to come."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **KINDS[kind])
    module: Any = AutoModelForCausalLM.from_config(config).eval()
    layers = cache_layers(shape_from(Config(kind, config.to_dict())))
    for tokens in (5, 20):
        with torch.no_grad():
            kept = module(input_ids=torch.arange(1, 1 + tokens)[None], use_cache=True).past_key_values
        real = [layer.keys.nbytes + layer.values.nbytes for layer in kept.layers]
        ours = [row_bytes([layer], tokens, number=4) for layer in layers]
        windowed = [4 * layer.numbers if (layer.window or tokens) < tokens else 0 for layer in layers]
        assert [a - b for a, b in zip(ours, windowed, strict=True)] == real


def test_what_an_encoder_decoder_keeps() -> None:
    sizes = {"d_model": 48, "d_kv": 10, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}
    config = AutoConfig.for_model("t5", **sizes, vocab_size=60, decoder_start_token_id=0)
    module: Any = AutoModelForSeq2SeqLM.from_config(config).eval()
    with torch.no_grad():
        read, written = torch.arange(1, 12)[None], torch.arange(1, 6)[None]
        kept = module(input_ids=read, decoder_input_ids=written, use_cache=True).past_key_values
    layers = cache_layers(shape_from(Config("t5", config.to_dict())))
    real = [sum(x.keys.nbytes + x.values.nbytes for x in part.layers) for part in (
        kept.self_attention_cache, kept.cross_attention_cache
    )]  # fmt: skip
    assert [5 * token_bytes(layers, 4), 11 * source_bytes(layers, 4)] == real


def test_latent_attention() -> None:
    """DeepSeek-V2's latent vector is much narrower than the keys and values that transformers keeps for it."""
    keys = {
        "num_attention_heads": 8, "num_hidden_layers": 3, "kv_lora_rank": 32, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 16, "v_head_dim": 20,
    }  # fmt: skip
    config = Config("it", keys)
    assert token_bytes(latent_layers(config)) == 2 * 3 * 8 * (16 + 8 + 20)
    assert token_bytes(latent_layers(config, compressed=True)) == 2 * 3 * (32 + 8)
    assert row_bytes([CacheLayer(10, window=4)], 100, number=2) == 80


def test_an_encoder_keeps_nothing() -> None:
    assert cache_layers(shape_of("bert-base-uncased")) == []


def test_narrow_weights_with_their_scales() -> None:
    shape = shape_of("llama-2-7b")
    linear = sum(layer.weights for layer in narrowed(shape))
    rows = sum(layer.outputs for layer in narrowed(shape))
    wide = 2 * (shape.parameters - linear)
    assert weight_bytes(shape, "bf16") == 2 * shape.parameters == weight_bytes(shape, "fp32", "bf16")
    assert weight_bytes(shape, "bf16", "int8") == wide + linear + 4 * rows
    assert weight_bytes(shape, "bf16", "int4") == wide + linear // 2 + linear // 16
    bits = 8 * layer_bytes(shape.at("model.layers.0.mlp.up_proj"), "nf4") / (4096 * 11_008)
    assert bits == pytest.approx(4 + 0.127, abs=0.001)  # Dettmers et al. 2023, section 3
