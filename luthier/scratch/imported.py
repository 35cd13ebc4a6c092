"""Weights of transformers' Llama, GPT-2, BERT and T5 in our one transformer: a module -> a Transformer of equal logits.

This is how the one file is held against the models that everybody uses, and how their attention can be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import ModelError
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer

State = dict[str, Tensor]
Weights = Mapping[str, Tensor]


def imported(module: nn.Module) -> Transformer:
    """A Transformer with the weights of `module`, in fp32. Raises ModelError for another kind of model."""
    config: Any = module.config
    kind = str(config.model_type)
    if kind not in _KINDS:
        raise ModelError(f"a model of type '{kind}' is none of those that are read here: {', '.join(_KINDS)}")
    weights = {name: value.detach().float() for name, value in module.state_dict().items()}
    shape, state = _KINDS[kind](config, weights)
    made = Transformer(shape)
    made.load_state_dict(state)
    return made.eval()


def _llama(config: Any, weights: Weights) -> tuple[Shape, State]:
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise ModelError(f"rotary positions of type '{rope['rope_type']}' are not read here; choose another model")
    shape = Shape(
        vocabulary=config.vocab_size, width=config.hidden_size, layers=config.num_hidden_layers,
        heads=config.num_attention_heads, kv_heads=config.num_key_value_heads,
        head_width=getattr(config, "head_dim", None), inner=config.intermediate_size,
        window=config.max_position_embeddings, rotary_base=float(rope.get("rope_theta", 10_000.0)),
        epsilon=config.rms_norm_eps, tied=config.tie_word_embeddings,
    )  # fmt: skip
    parts = {
        "attention.query": "self_attn.q_proj", "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj", "attention.output": "self_attn.o_proj", "mlp.up": "mlp.up_proj",
        "mlp.gate": "mlp.gate_proj", "mlp.down": "mlp.down_proj", "attention_norm": "input_layernorm",
        "mlp_norm": "post_attention_layernorm",
    }  # fmt: skip
    state = {"embedding.weight": weights["model.embed_tokens.weight"]}
    for n in range(shape.layers):
        for ours, theirs in parts.items():
            state[f"decoder.blocks.{n}.{ours}.weight"] = weights[f"model.layers.{n}.{theirs}.weight"]
    state["decoder.norm.weight"] = weights["model.norm.weight"]
    if not shape.tied:
        state["head.weight"] = weights["lm_head.weight"]
    return shape, state


def _gpt2(config: Any, weights: Weights) -> tuple[Shape, State]:
    shape = Shape(
        vocabulary=config.vocab_size, width=config.n_embd, layers=config.n_layer, heads=config.n_head,
        inner=config.n_inner or 4 * config.n_embd, window=config.n_positions, positions="learned", norm="layer",
        epsilon=config.layer_norm_epsilon, activation="gelu-tanh", bias=True,
    )  # fmt: skip
    state = {
        "embedding.weight": weights["transformer.wte.weight"],
        "position.weight": weights["transformer.wpe.weight"],
    }
    for n in range(shape.layers):
        theirs, ours = f"transformer.h.{n}.", f"decoder.blocks.{n}."
        # GPT-2 keeps its matrices as (in, out), and those of queries, keys and values in one.
        matrix, bias = weights[f"{theirs}attn.c_attn.weight"].T.chunk(3), weights[f"{theirs}attn.c_attn.bias"].chunk(3)
        for part, w, b in zip(("query", "key", "value"), matrix, bias, strict=True):
            state[f"{ours}attention.{part}.weight"], state[f"{ours}attention.{part}.bias"] = w, b
        for part, name in {"attention.output": "attn.c_proj", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}.items():
            state[f"{ours}{part}.weight"] = weights[f"{theirs}{name}.weight"].T
            state[f"{ours}{part}.bias"] = weights[f"{theirs}{name}.bias"]
        for part, name in {"attention_norm": "ln_1", "mlp_norm": "ln_2"}.items():
            state |= _both(f"{ours}{part}", weights, f"{theirs}{name}")
    return shape, state | _both("decoder.norm", weights, "transformer.ln_f")


def _bert(config: Any, weights: Weights) -> tuple[Shape, State]:
    """BertModel, whose output are hidden states, or BertForMaskedLM."""
    masked = any(name.startswith("cls.") for name in weights)
    front = "bert." if masked else ""
    shape = Shape(
        vocabulary=config.vocab_size, family="encoder", width=config.hidden_size, layers=config.num_hidden_layers,
        heads=config.num_attention_heads, inner=config.intermediate_size, window=config.max_position_embeddings,
        positions="learned", norm="layer", norm_place="post", epsilon=config.layer_norm_eps, activation="gelu",
        bias=True, embedding_norm=True, segments=config.type_vocab_size, head="masked" if masked else "none",
    )  # fmt: skip
    embeddings = f"{front}embeddings."
    state = {
        "embedding.weight": weights[f"{embeddings}word_embeddings.weight"],
        "position.weight": weights[f"{embeddings}position_embeddings.weight"],
        "segment.weight": weights[f"{embeddings}token_type_embeddings.weight"],
        **_both("embedding_norm", weights, f"{embeddings}LayerNorm"),
    }
    parts = {
        "attention.query": "attention.self.query", "attention.key": "attention.self.key",
        "attention.value": "attention.self.value", "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm", "mlp.up": "intermediate.dense", "mlp.down": "output.dense",
        "mlp_norm": "output.LayerNorm",
    }  # fmt: skip
    for n in range(shape.layers):
        for ours, theirs in parts.items():
            state |= _both(f"encoder.blocks.{n}.{ours}", weights, f"{front}encoder.layer.{n}.{theirs}")
    if masked:
        state |= _both("dense", weights, "cls.predictions.transform.dense")
        state |= _both("dense_norm", weights, "cls.predictions.transform.LayerNorm")
        state["head_bias"] = weights["cls.predictions.bias"]
    return shape, state


def _t5(config: Any, weights: Weights) -> tuple[Shape, State]:
    tied = bool(torch.equal(weights["shared.weight"], weights["lm_head.weight"]))
    gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in weights
    if config.relative_attention_num_buckets != 32 or config.relative_attention_max_distance != 128:
        raise ModelError("only T5's own 32 buckets up to a distance of 128 are read here; choose another model")
    if config.num_layers != config.num_decoder_layers:
        raise ModelError("an encoder and a decoder of different depth are not read here; choose another model")
    shape = Shape(
        vocabulary=config.vocab_size, family="encoder-decoder", width=config.d_model, layers=config.num_layers,
        heads=config.num_heads, head_width=config.d_kv, inner=config.d_ff, positions="buckets",
        epsilon=config.layer_norm_epsilon, activation="geglu" if gated else "relu", tied=tied, scaled_attention=False,
        scaled_head=tied,
    )  # fmt: skip
    state = {"embedding.weight": weights["shared.weight"]}
    if not tied:
        state["head.weight"] = weights["lm_head.weight"]
    for kind in ("encoder", "decoder"):
        state[f"{kind}.buckets.weight"] = weights[
            f"{kind}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        ]
        state[f"{kind}.norm.weight"] = weights[f"{kind}.final_layer_norm.weight"]
        attentions = {"attention": (0, "SelfAttention"), "cross": (1, "EncDecAttention")}
        last = 1 if kind == "encoder" else 2
        for n in range(shape.layers):
            theirs, ours = f"{kind}.block.{n}.layer.", f"{kind}.blocks.{n}."
            for part, (layer, name) in attentions.items():
                if layer == last:
                    continue  # an encoder has no cross attention; its second layer is the MLP
                for one in ("query", "key", "value", "output"):
                    state[f"{ours}{part}.{one}.weight"] = weights[f"{theirs}{layer}.{name}.{one[0]}.weight"]
                state[f"{ours}{part}_norm.weight"] = weights[f"{theirs}{layer}.layer_norm.weight"]
            names = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if gated else {"up": "wi", "down": "wo"}
            for one, name in names.items():
                state[f"{ours}mlp.{one}.weight"] = weights[f"{theirs}{last}.DenseReluDense.{name}.weight"]
            state[f"{ours}mlp_norm.weight"] = weights[f"{theirs}{last}.layer_norm.weight"]
    return shape, state


def _both(ours: str, weights: Weights, theirs: str) -> State:
    """Weight and bias under our name."""
    return {f"{ours}.{part}": weights[f"{theirs}.{part}"] for part in ("weight", "bias")}


_KINDS: dict[str, Callable[[Any, Weights], tuple[Shape, State]]] = {
    "llama": _llama,
    "gpt2": _gpt2,
    "bert": _bert,
    "t5": _t5,
}
