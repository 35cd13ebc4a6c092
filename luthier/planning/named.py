"""Shapes of well-known models by name, for plans of models that are not on this machine.

Each table holds the keys of the model's own config.json, as its publisher gives them on the hub. The name is the hub's
without its owner, in small letters.
"""

from __future__ import annotations

from typing import Any


def _llama(width: int, layers: int, heads: int, keys: int, inner: int, vocabulary: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": keys, "intermediate_size": inner, "vocab_size": vocabulary,
        "tie_word_embeddings": False,
    } | more  # fmt: skip


def _t5(width: int, layers: int, heads: int, inner: int, head_width: int = 64, **more: Any) -> dict[str, Any]:
    return {
        "model_type": "t5", "d_model": width, "num_layers": layers, "num_decoder_layers": layers, "num_heads": heads,
        "d_ff": inner, "d_kv": head_width, "vocab_size": 32128, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False, "n_positions": 512,
    } | more  # fmt: skip


def _plain_t5(width: int, layers: int, heads: int, inner: int, head_width: int = 64) -> dict[str, Any]:
    return _t5(width, layers, heads, inner, head_width, feed_forward_proj="relu", tie_word_embeddings=True)


_VERSION_1_1 = {
    "small": _t5(512, 8, 6, 1024),
    "base": _t5(768, 12, 12, 2048),
    "large": _t5(1024, 24, 16, 2816),
    "xl": _t5(2048, 24, 32, 5120),
    "xxl": _t5(4096, 24, 64, 10240),
}
_LLAMA_31 = {"max_position_embeddings": 131_072}
NAMED: dict[str, dict[str, Any]] = {
    "llama-3.2-1b": _llama(2048, 16, 32, 8, 8192, 128_256, head_dim=64, tie_word_embeddings=True, **_LLAMA_31),
    "llama-3.2-3b": _llama(3072, 28, 24, 8, 8192, 128_256, head_dim=128, tie_word_embeddings=True, **_LLAMA_31),
    "llama-3.1-8b": _llama(4096, 32, 32, 8, 14_336, 128_256, **_LLAMA_31),
    "llama-3.1-70b": _llama(8192, 80, 64, 8, 28_672, 128_256, **_LLAMA_31),
    "llama-3.1-405b": _llama(16_384, 126, 128, 8, 53_248, 128_256, **_LLAMA_31),
    "llama-2-7b": _llama(4096, 32, 32, 32, 11_008, 32_000, max_position_embeddings=4096),
    "llama-2-13b": _llama(5120, 40, 40, 40, 13_824, 32_000, max_position_embeddings=4096),
    "tinyllama-1.1b": _llama(2048, 22, 32, 4, 5632, 32_000, max_position_embeddings=2048),
    "smollm2-135m": _llama(576, 30, 9, 3, 1536, 49_152, tie_word_embeddings=True, max_position_embeddings=8192),
    "smollm2-360m": _llama(960, 32, 15, 5, 2560, 49_152, tie_word_embeddings=True, max_position_embeddings=8192),
    "smollm2-1.7b": _llama(2048, 24, 32, 32, 8192, 49_152, tie_word_embeddings=True, max_position_embeddings=8192),
    "mistral-7b-v0.1": _llama(
        4096, 32, 32, 8, 14_336, 32_000, model_type="mistral", sliding_window=4096, max_position_embeddings=32_768
    ),
    "qwen2.5-0.5b": _llama(896, 24, 14, 2, 4864, 151_936, model_type="qwen2", tie_word_embeddings=True),
    "qwen2.5-1.5b": _llama(1536, 28, 12, 2, 8960, 151_936, model_type="qwen2", tie_word_embeddings=True),
    "qwen2.5-7b": _llama(3584, 28, 28, 4, 18_944, 152_064, model_type="qwen2"),
    "qwen3-0.6b": _llama(1024, 28, 16, 8, 3072, 151_936, model_type="qwen3", head_dim=128, tie_word_embeddings=True),
    "qwen3-8b": _llama(4096, 36, 32, 8, 12_288, 151_936, model_type="qwen3", head_dim=128),
    "gpt2": {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50_257},
    "t5-small": _plain_t5(512, 6, 8, 2048),
    "t5-base": _plain_t5(768, 12, 12, 3072),
    "t5-large": _plain_t5(1024, 24, 16, 4096),
    **{f"t5-v1_1-{size}": keys for size, keys in _VERSION_1_1.items()},
    **{f"flan-t5-{size}": keys for size, keys in _VERSION_1_1.items()},
    "bart-large": {
        "model_type": "bart", "d_model": 1024, "vocab_size": 50_265, "max_position_embeddings": 1024,
        "encoder_layers": 12, "decoder_layers": 12, "encoder_attention_heads": 16, "decoder_attention_heads": 16,
        "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096,
    },
    "bert-base-uncased": {
        "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "vocab_size": 30_522, "max_position_embeddings": 512,
    },
}  # fmt: skip
