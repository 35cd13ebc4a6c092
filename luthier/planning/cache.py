"""Keys and values: bytes that the generator keeps for each token, layer by layer as the configuration says.

A layer keeps its key/value heads times their width, twice. A sliding window keeps no more tokens than it sees. The
cross-attention of an encoder-decoder keeps the keys and values of the source once. Latent attention
(DeepSeek-AI 2024, "DeepSeek-V2", section 2.1) may keep one narrow vector for all heads; transformers keeps the keys
and values that it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

from luthier.planning.config import Config
from luthier.planning.shape import Shape


@dataclass(frozen=True)
class CacheLayer:
    """Numbers that one layer keeps for a token; `window` bounds the tokens."""

    numbers: int
    window: int | None = None
    cross: bool = False


def cache_layers(shape: Shape) -> list[CacheLayer]:
    """The layers of the writing stack; none for an encoder, which keeps nothing."""
    if shape.family == "encoder":
        return []
    return [CacheLayer(one.kept_numbers, one.window, one.cross) for block in shape.writing for one in block.attentions]


def latent_layers(config: Config, compressed: bool = False) -> list[CacheLayer]:
    """The layers of a model with latent attention: what transformers keeps, or the latent vector alone."""
    rotary = config.size("qk_rope_head_dim")
    if compressed:
        numbers = config.size("kv_lora_rank") + rotary
    else:
        numbers = config.size("num_attention_heads") * (
            config.size("qk_nope_head_dim") + rotary + config.size("v_head_dim")
        )
    return [CacheLayer(numbers)] * config.size("num_hidden_layers")


def token_bytes(layers: list[CacheLayer], number: int = 2) -> int:
    """Bytes of one more token in all self-attention layers, while no window is full. `number`: bytes of a number."""
    return number * sum(layer.numbers for layer in layers if not layer.cross)


def source_bytes(layers: list[CacheLayer], number: int = 2) -> int:
    """Bytes of one source token in all cross-attention layers."""
    return number * sum(layer.numbers for layer in layers if layer.cross)


def row_bytes(layers: list[CacheLayer], tokens: int, source: int = 0, number: int = 2) -> int:
    """Bytes of one row of `tokens` tokens, windows and source counted."""
    own = sum(layer.numbers * min(tokens, layer.window or tokens) for layer in layers if not layer.cross)
    return number * own + source * source_bytes(layers, number)
