"""Decoders: config.json -> Shape, for Llama, Mistral, Qwen 2 and 3, Gemma 1 to 3, Phi, Phi 3, GPT-2 and GPT-NeoX.

Names and sizes are those of transformers' modules. Defaults are those of its configurations, for keys that a
config.json leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from luthier.planning.config import Config
from luthier.planning.shape import Attention, Block, Layer, Shape


@dataclass(frozen=True)
class _Llama:
    """How one of Llama's relatives differs from Llama."""

    tied: bool = False
    input_bias: bool = False  # of queries, keys and values, whatever the configuration says
    attention_bias: bool = False  # whether that key counts, of all four layers of attention
    mlp_bias: bool = False  # whether that key counts
    head_norms: bool = False  # a norm over each head's queries and keys
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    head_width: int | None = None
    key_heads: int | None = None
    soft_capped: bool = False
    activation: str = "silu"


_TANH = "gelu_pytorch_tanh"
_FOUR_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
_GEMMA = _Llama(tied=True, attention_bias=True, head_width=256, key_heads=16, activation=_TANH)
_RELATIVES = {
    "llama": _Llama(attention_bias=True, mlp_bias=True),
    "mistral": _Llama(key_heads=8),
    "qwen2": _Llama(input_bias=True, key_heads=32),
    "qwen3": _Llama(attention_bias=True, head_norms=True, head_width=128, key_heads=32),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, norms=_FOUR_NORMS, key_heads=4, soft_capped=True),
    "gemma3_text": replace(_GEMMA, norms=_FOUR_NORMS, key_heads=4, head_norms=True),
    "smollm3": _Llama(tied=True, attention_bias=True, mlp_bias=True, key_heads=4),
}
_ASKS = ("qwen2", "qwen3", "smollm3")  # whose windows count only with `use_sliding_window`


def _sizes(config: Config) -> tuple[int, int, int]:
    """(width, heads, inner width) by their usual names."""
    return config.size("hidden_size"), config.size("num_attention_heads"), config.size("intermediate_size")


def _llama(config: Config) -> Shape:
    """Llama and its relatives: rotary positions, RMS norms, a gated feed-forward network."""
    how = _RELATIVES[config.model_type]
    width, heads, inner = _sizes(config)
    key_heads = config.size_or_none("num_key_value_heads", how.key_heads) or heads
    head_width = config.size_or_none("head_dim", how.head_width) or config.head_width(width, heads)
    bias = how.attention_bias and config.flag("attention_bias", False)
    mlp_bias = how.mlp_bias and config.flag("mlp_bias", False)
    activation = str(config.get("hidden_activation") or config.get("hidden_act", how.activation))
    queries, keys = heads * head_width, key_heads * head_width
    blocks = []
    for number, window in enumerate(_windows(config, config.size("num_hidden_layers"))):
        path = f"model.layers.{number}"
        at, mlp = f"{path}.self_attn", f"{path}.mlp"
        head_norms = [Layer(f"{at}.{name}_norm", "norm", 0, head_width) for name in "qk" if how.head_norms]
        layers = (
            Layer(f"{at}.q_proj", "linear", width, queries, bias or how.input_bias, "query"),
            Layer(f"{at}.k_proj", "linear", width, keys, bias or how.input_bias, "key"),
            Layer(f"{at}.v_proj", "linear", width, keys, bias or how.input_bias, "value"),
            Layer(f"{at}.o_proj", "linear", queries, width, bias, "attended"),
            *head_norms,
            Layer(f"{mlp}.gate_proj", "linear", width, inner, mlp_bias, "gate"),
            Layer(f"{mlp}.up_proj", "linear", width, inner, mlp_bias, "up"),
            Layer(f"{mlp}.down_proj", "linear", inner, width, mlp_bias, "down"),
            *(Layer(f"{path}.{name}", "norm", 0, width) for name in how.norms),
        )
        capped = how.soft_capped and config.get("attn_logit_softcapping", 50.0) is not None
        attention = Attention(heads, key_heads, head_width, window=window, soft_capped=capped)
        blocks.append(Block(path, "decoder", layers, (attention,), inner, gated=True, activation=activation))
    outside = _ends(config, width, how.tied, Layer("model.norm", "norm", 0, width))
    return _decoder(config, width, tuple(blocks), outside, "model.embed_tokens", rms_norms=True)


def _windows(config: Config, blocks: int) -> list[int | None]:
    """The sliding window of each block; None where it sees all."""
    usual = 4096 if config.model_type in ("mistral", "qwen2", "qwen3", "gemma2", "gemma3_text") else None
    window = config.size_or_none("sliding_window", usual)
    if config.model_type in _ASKS and not config.flag("use_sliding_window", False):
        return [None] * blocks
    kinds = config.names("layer_types", blocks) or _usual_kinds(config, blocks)
    return [window if "sliding" in kind else None for kind in kinds]


def _usual_kinds(config: Config, blocks: int) -> list[str]:
    """transformers' rule for configurations without `layer_types`."""
    full, sliding = "full_attention", "sliding_attention"
    if config.model_type == "mistral":
        return [sliding] * blocks
    if config.model_type in ("qwen2", "qwen3"):
        first = 0 if config.get("max_window_layers") == 0 else config.size("max_window_layers", 28)
        return [sliding if number >= first else full for number in range(blocks)]
    if config.model_type == "smollm3":  # those without rotary positions
        each = config.size("no_rope_layer_interval", 4)
        return [full if (number + 1) % each else sliding for number in range(blocks)]
    if config.model_type == "gemma2":
        return [full if number % 2 else sliding for number in range(blocks)]
    if config.model_type == "gemma3_text":
        pattern = config.size("sliding_window_pattern", 6)
        return [sliding if (number + 1) % pattern else full for number in range(blocks)]
    return [sliding if config.model_type == "phi3" else full] * blocks


def _phi(config: Config) -> Shape:
    """Phi 1 and 2: attention and feed-forward side by side behind one norm, biases everywhere."""
    width, heads, inner = _sizes(config)
    key_heads, head_width = config.size("num_key_value_heads", heads), config.head_width(width, heads)
    blocks = []
    for number in range(config.size("num_hidden_layers")):
        path = f"model.layers.{number}"
        at = f"{path}.self_attn"
        head_norms = [
            Layer(f"{at}.{name}_layernorm", "norm", 0, head_width, True)
            for name in "qk"
            if config.flag("qk_layernorm", False)
        ]
        layers = (
            Layer(f"{at}.q_proj", "linear", width, heads * head_width, True, "query"),
            Layer(f"{at}.k_proj", "linear", width, key_heads * head_width, True, "key"),
            Layer(f"{at}.v_proj", "linear", width, key_heads * head_width, True, "value"),
            Layer(f"{at}.dense", "linear", heads * head_width, width, True, "attended"),
            *head_norms,
            Layer(f"{path}.mlp.fc1", "linear", width, inner, True, "up"),
            Layer(f"{path}.mlp.fc2", "linear", inner, width, True, "down"),
            Layer(f"{path}.input_layernorm", "norm", 0, width, True),
        )
        attention = Attention(heads, key_heads, head_width)
        activation = str(config.get("hidden_act", "gelu_new"))
        blocks.append(Block(path, "decoder", layers, (attention,), inner, gated=False, activation=activation))
    last = Layer("model.final_layernorm", "norm", 0, width, True)
    outside = _ends(config, width, False, last, output_bias=True)
    return _decoder(config, width, tuple(blocks), outside, "model.embed_tokens", rms_norms=False, dropout="resid_pdrop")


def _phi3(config: Config) -> Shape:
    """Phi 3 and 4: Llama with one product for queries, keys and values, and one for gate and inner activations."""
    width, heads, inner = _sizes(config)
    key_heads = config.size("num_key_value_heads", heads)
    head_width = config.size_or_none("head_dim") or config.head_width(width, heads)
    blocks = []
    for number, window in enumerate(_windows(config, config.size("num_hidden_layers"))):
        path = f"model.layers.{number}"
        layers = (
            Layer(f"{path}.self_attn.o_proj", "linear", heads * head_width, width, role="attended"),
            Layer(f"{path}.self_attn.qkv_proj", "linear", width, (heads + 2 * key_heads) * head_width, role="qkv"),
            Layer(f"{path}.mlp.gate_up_proj", "linear", width, 2 * inner, role="gate"),
            Layer(f"{path}.mlp.down_proj", "linear", inner, width, role="down"),
            Layer(f"{path}.input_layernorm", "norm", 0, width),
            Layer(f"{path}.post_attention_layernorm", "norm", 0, width),
        )
        attention = Attention(heads, key_heads, head_width, window=window)
        activation = str(config.get("hidden_act", "silu"))
        blocks.append(Block(path, "decoder", layers, (attention,), inner, gated=True, activation=activation))
    outside = _ends(config, width, False, Layer("model.norm", "norm", 0, width))
    return _decoder(config, width, tuple(blocks), outside, "model.embed_tokens", rms_norms=True, dropout="resid_pdrop")


def _gpt2(config: Config) -> Shape:
    """GPT-2: learned positions, layer norms, Conv1D layers with biases."""
    width, heads = config.size("n_embd", 768), config.size("n_head", 12)
    inner, positions = config.size("n_inner", 4 * width), config.size("n_positions", 1024)
    blocks = []
    for number in range(config.size("n_layer", 12)):
        path = f"transformer.h.{number}"
        layers = (
            Layer(f"{path}.ln_1", "norm", 0, width, True),
            Layer(f"{path}.attn.c_attn", "conv1d", width, 3 * width, True, "qkv"),
            Layer(f"{path}.attn.c_proj", "conv1d", width, width, True, "attended"),
            Layer(f"{path}.ln_2", "norm", 0, width, True),
            Layer(f"{path}.mlp.c_fc", "conv1d", width, inner, True, "up"),
            Layer(f"{path}.mlp.c_proj", "conv1d", inner, width, True, "down"),
        )
        attention = Attention(heads, heads, config.head_width(width, heads), positions="learned")
        activation = str(config.get("activation_function", "gelu_new"))
        blocks.append(Block(path, "decoder", layers, (attention,), inner, gated=False, activation=activation))
    last = Layer("transformer.ln_f", "norm", 0, width, True)
    outside = (
        Layer("transformer.wpe", "embedding", positions, width),
        *_ends(config, width, True, last, embedding="transformer.wte"),
    )
    made = _decoder(config, width, tuple(blocks), outside, "transformer.wte", rms_norms=False, dropout="resid_pdrop")
    dropout = config.share("resid_pdrop", 0.1), config.share("attn_pdrop", 0.1)
    return replace(made, window=positions, dropout=dropout[0], attention_dropout=dropout[1])


def _neox(config: Config) -> Shape:
    """GPT-NeoX and Pythia: one product for queries, keys and values, layer norms, biases."""
    width, heads, inner = _sizes(config)
    bias = config.flag("attention_bias", True)
    blocks = []
    for number in range(config.size("num_hidden_layers")):
        path = f"gpt_neox.layers.{number}"
        layers = (
            Layer(f"{path}.input_layernorm", "norm", 0, width, True),
            Layer(f"{path}.post_attention_layernorm", "norm", 0, width, True),
            Layer(f"{path}.attention.query_key_value", "linear", width, 3 * width, bias, "qkv"),
            Layer(f"{path}.attention.dense", "linear", width, width, bias, "attended"),
            Layer(f"{path}.mlp.dense_h_to_4h", "linear", width, inner, True, "up"),
            Layer(f"{path}.mlp.dense_4h_to_h", "linear", inner, width, True, "down"),
        )
        attention = Attention(heads, heads, config.head_width(width, heads))
        activation = str(config.get("hidden_act", "gelu"))
        blocks.append(Block(path, "decoder", layers, (attention,), inner, gated=False, activation=activation))
    last = Layer("gpt_neox.final_layer_norm", "norm", 0, width, True)
    outside = _ends(config, width, False, last, embedding="gpt_neox.embed_in")
    return _decoder(
        config, width, tuple(blocks), outside, "gpt_neox.embed_in", rms_norms=False, dropout="hidden_dropout"
    )


def _ends(
    config: Config,
    width: int,
    tied: bool,
    norm: Layer,
    output_bias: bool = False,
    embedding: str = "model.embed_tokens",
) -> tuple[Layer, ...]:
    """Token embeddings, the last norm, and the output layer."""
    vocabulary = config.size("vocab_size")
    owner = embedding if config.is_tied(tied, embedding) else None
    return (
        Layer(embedding, "embedding", vocabulary, width),
        norm,
        Layer("lm_head", "linear", width, vocabulary, output_bias, tied_to=owner),
    )


def _decoder(
    config: Config,
    width: int,
    blocks: tuple[Block, ...],
    outside: tuple[Layer, ...],
    embedding: str,
    rms_norms: bool,
    dropout: str | None = None,
) -> Shape:
    return Shape(
        name=config.name,
        model_type=config.model_type,
        family="decoder",
        width=width,
        vocabulary=config.size("vocab_size"),
        window=config.size_or_none("max_position_embeddings"),
        blocks=blocks,
        outside=outside,
        embedding=embedding,
        output="lm_head",
        rms_norms=rms_norms,
        dropout=config.share(dropout, 0.0) if dropout else 0.0,
        attention_dropout=config.share("attention_dropout", 0.0),
    )


DECODERS = dict.fromkeys(_RELATIVES, _llama) | {"phi": _phi, "phi3": _phi3, "gpt2": _gpt2, "gpt_neox": _neox}
