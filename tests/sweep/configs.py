"""A tiny configuration of every architecture that transformers has, by shrinking what its own defaults say.

No list of architectures is kept here: a default configuration is walked, and each size is made small by its name. What
cannot be guessed from names (parts that must fit each other) stands in `OWN`, an architecture a row.
"""

from __future__ import annotations

import copy
import re
from fnmatch import fnmatchcase as fnmatch
from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

VOCABULARY = 384  # the tokenizer in tests/tiny.py has 380; models have some spare rows
WIDTH, INNER, LAYERS, EXPERTS = 32, 48, 2, 4
HEADS, KEY_HEADS, HEAD_WIDTH = 4, 2, 8
WINDOW = 256  # tokens that a model can read
SLIDING = 8  # tokens that a layer with a sliding window sees: every prompt of the sweep is longer

# (a tiny value, names of keys that get it), the first that fits; * stands for anything. Only whole numbers above 0 are
# made smaller; what is None or of another kind is left alone.
SIZES: tuple[tuple[int, str], ...] = (
    (VOCABULARY, "vocab_size *_vocab_size vocab_size_per_layer_input"),
    (LAYERS, "*num_layers num_hidden_layers num_*_layers n_layer n_layers n_*_layer n_*_layers *coder_layers"),
    (KEY_HEADS, "*num_key_value_heads n_head_kv *kv_heads kv_n_heads num_global_key_value_heads multi_query_group_num"),
    (HEADS, "*num_heads num_*_heads n_heads n_head n_*_heads *attention_heads linear_num_*_heads"),
    (2 * HEAD_WIDTH, "qk_head_dim"),
    (HEAD_WIDTH, """head_dim *_head_dim rotary_dim linear_head_dim d_kv d_head kv_channels *head_size *lora_rank
        *_lora_dim lora_r"""),
    (WIDTH, """hidden_size d_model n_embd model_dim dim embedding_size *emb_dim embed_dim word_embed_proj_dim d_embed
        decoder_hidden_size lru_width attention_hidden_size hidden_size_per_layer_input *embedding_dim output_size
        text_dim trigram_input_dim"""),
    (INNER, """*intermediate_size* *ffn_dim n_inner d_ff d_inner dff *ffn_hidden_size *ffn_size *feed_forward_size
        dim_ff ff_dim inner_dim intermediate_dim"""),
    (EXPERTS, "*_experts zero_expert_num"),
    (2, "*experts_per_tok *experts_per_token top_k_experts moe_top_k moe_topk moe_k top_k expert_selected"),
    (1, "n_group topk_group num_expert_group num_limited_groups first_k_dense_replace num_dense_layers"),
    (WINDOW, """*max_position_embeddings n_positions n_ctx max_sequence_length max_seq_len context_length seq_length
        max_*_position_embeddings max_target_positions max_source_positions max_length max_context_length"""),
    (SLIDING, "*sliding_window sliding_window_size window_size *attention_window* attention_chunk_size local_*"),
    (8, "*state_size d_state *_d_state time_step_rank mamba_dt_rank index_topk"),
    (4, "chunk_size mamba_chunk_size"),
)  # fmt: skip
TOKENS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "decoder_start_token_id": 0, "sep_token_id": 1,
          "cls_token_id": 2, "mask_token_id": 3, "unk_token_id": 3}  # fmt: skip
SAID = ("transformers_version", "architectures", "dtype", "torch_dtype", "per_layer_config", "id2label", "label2id")
DROPOUT = re.compile(r"drop|layerdrop|pdrop")

# What names do not tell: an architecture's keys that must fit each other.
OWN: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 8, "num_hidden_layers": 4, "attn_layer_indices": [1, 3]},
    "blt": {
        "encoder_hash_byte_group_vocab": 50, "vocab_size": VOCABULARY,
        **{f"{part}_config": {"vocab_size": VOCABULARY, "hidden_size": WIDTH} for part in ("encoder", "patcher")},
    },
    "canine": {"num_hash_buckets": 64},
    "cohere_compass_text": {"layer_types": ["full_attention"] * 2, "rope_parameters": None},
    "dbrx": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deberta": {"pooler_hidden_size": WIDTH},
    "deberta-v2": {"pooler_hidden_size": WIDTH},
    "dory": {
        "num_hidden_layers": 6, "n_input_layers": 2, "n_recurrent_layers": 2, "n_output_layers": 2,
        "layer_types": ["sliding_attention", "mlp", "full_attention", "mlp", "full_attention", "mlp"],
    },
    "deepseek_v2": {"n_routed_experts": 4, "num_experts_per_tok": 2},
    "dots3_note_text": {"num_key_value_heads": HEADS},
    "dots1": {"num_key_value_heads": 2, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "esm": {"vocab_size": VOCABULARY, "pad_token_id": 0, "mask_token_id": 3, "position_embedding_type": "rotary"},
    "esmc": {"num_key_value_heads": HEADS},
    "falcon_h1": {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_ssm": 64, "mamba_n_groups": 1},
    "fsmt": {
        "src_vocab_size": VOCABULARY, "tgt_vocab_size": VOCABULARY, "langs": ["en", "de"], "decoder_start_token_id": 1,
        "decoder": {"vocab_size": VOCABULARY, "bos_token_id": 2},
    },
    "gemma3n_text": {
        "num_hidden_layers": 4, "num_kv_shared_layers": 2, "intermediate_size": [48] * 4,
        "activation_sparsity_pattern": [0.0] * 4, "laurel_rank": 8,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "granitemoehybrid": {
        "mamba_n_heads": 8, "mamba_d_head": 8, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 48,
    },
    "hunyuan_v1_dense": {"head_dim": HEAD_WIDTH},
    "hunyuan_v1_moe": {"head_dim": HEAD_WIDTH},
    "inkling2_text": {"unpadded_vocab_size": VOCABULARY},
    "inkling2_loop_text": {"unpadded_vocab_size": VOCABULARY},
    "lfm2": {"num_hidden_layers": 2, "full_attn_idxs": [1], "layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "llama4_text": {
        "num_hidden_layers": 4, "layer_types": ["chunked_attention"] * 3 + ["full_attention"],
        "no_rope_layers": [1, 1, 1, 0], "moe_layers": [1, 3], "intermediate_size_mlp": 48,
    },
    "hrm_text": {"num_layers_per_stack": 2, "num_hidden_layers": 8, "prefix_lm": False, "H_cycles": 1, "L_cycles": 1},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1},
    "luke": {"entity_vocab_size": 16, "entity_emb_size": 16},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 2},
    "markuplm": {"max_xpath_tag_unit_embeddings": 8, "max_xpath_subs_unit_embeddings": 8, "max_depth": 4,
                 "xpath_unit_hidden_size": 8, "tag_pad_id": 7, "subs_pad_id": 7},
    "ministral": {"head_dim": HEAD_WIDTH},
    "nemotron": {"num_key_value_heads": KEY_HEADS},
    "nemotron_h": {"mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 2, "n_routed_experts": 4},
    "neomme": {"head_dim": 16},
    "perceiver": {"d_latents": WIDTH, "num_latents": 8, "num_self_attends_per_block": 2, "d_model": WIDTH,
                  "num_self_attention_heads": 4, "num_cross_attention_heads": 4, "vocab_size": VOCABULARY},
    "qwen4_exp_text": {
        "ngram_vocab_size_base": 50, "split_ngram_parts": 2, "make_ngram_vocab_size_divisible_by": 8, "hc_lowrank": 8,
        "indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 8,
        "indexer_compress_ratio": 2, "ple_embed_dim": WIDTH,
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "is_decoder": True, "attn_layers": ["local", "lsh"], "axial_pos_shape": [16, 16],
        "axial_pos_embds_dim": [16, 16], "local_attn_chunk_length": 4, "lsh_attn_chunk_length": 4,
        "num_buckets": 2, "hash_seed": 0,
    },
    "rembert": {"output_embedding_size": WIDTH, "input_embedding_size": WIDTH},
    "roc_bert": {"shape_vocab_size": VOCABULARY, "pronunciation_vocab_size": VOCABULARY, "shape_embed_dim": WIDTH,
                 "pronunciation_embed_dim": WIDTH},
    # Its decoder begins with a token that is no padding, which a pass without a cache would hide.
    "t5gemma": {"decoder_start_token_id": 2},
    "t5gemma2": {"decoder_start_token_id": 2},
    "xlstm": {"num_heads": 2, "chunk_size": 64, "num_blocks": 2},
    "xmod": {"default_language": "en_XX"},
    "xlnet": {"d_head": 8},
    "zamba": {
        "attention_hidden_size": 64, "attention_head_dim": 16, "mamba_dt_rank": 2, "num_hidden_layers": 4,
        "num_key_value_heads": 4, "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    },
    "zamba2": {
        "num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2, "hybrid_layer_ids": [1, 3],
        "attention_hidden_size": 64, "attention_head_dim": 16, "mamba_headdim": 8, "n_mamba_heads": 8,
        "num_key_value_heads": 4, "adapter_rank": 8, "kv_channels": 16, "num_query_groups": 4,
    },
}  # fmt: skip
INSIDE = {
    "dots3_note": "dots3_note_text",
    "gemma3n": "gemma3n_text",
    "llama4": "llama4_text",
    "qwen4_exp": "qwen4_exp_text",
}  # their text_config's own


def architectures() -> dict[str, str]:
    """model_type -> 'decoder', 'encoder-decoder', 'encoder' or 'other' (which reads more than text), sorted."""
    encoders = set(MODEL_FOR_MASKED_LM_MAPPING_NAMES) & set(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
    found = dict.fromkeys(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, "other")
    found |= dict.fromkeys(MODEL_FOR_MASKED_LM_MAPPING_NAMES, "encoder")
    found |= dict.fromkeys(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES, "encoder")
    found |= dict.fromkeys(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - encoders, "decoder")
    found |= dict.fromkeys(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES, "encoder-decoder")
    found |= {name: "decoder" for name, own in OWN.items() if own.get("is_decoder")}
    return dict(sorted(found.items()))


def tiny_config(model_type: str) -> Any:
    """The architecture's own configuration with small sizes. Raises what transformers raises where they do not fit."""
    kind = CONFIG_MAPPING[model_type]
    made = kind(**_with(shrunk(kind().to_dict()), _own(model_type)))
    if getattr(made, "is_encoder_decoder", False):
        made.forced_eos_token_id = None
        if getattr(made, "decoder_start_token_id", None) is None:
            made.decoder_start_token_id = TOKENS["decoder_start_token_id"]
    return made


def _own(model_type: str) -> dict[str, Any]:
    own = OWN.get(model_type, {})
    return {"text_config": OWN[INSIDE[model_type]], **own} if model_type in INSIDE else own


def _with(table: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """The table with more in it, table by table."""
    made = dict(table)
    for key, value in more.items():
        inner = made.get(key)
        made[key] = _with(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return made


def shrunk(table: dict[str, Any]) -> dict[str, Any]:
    """The same keys with tiny sizes, at every depth; lists with an entry a layer keep one of each kind."""
    layers = next((value for key, value in table.items() if _counts_layers(key) and isinstance(value, int)), None)
    kinds = max((len(_kinds(value)) for key, value in table.items() if _is_by_layer(value, layers)), default=1)
    made: dict[str, Any] = {}
    for key, value in table.items():
        if key in SAID:
            continue
        if isinstance(value, dict):
            made[key] = shrunk(value) if "model_type" in value else copy.deepcopy(value)
        elif _is_by_layer(value, layers):
            made[key] = (_kinds(value) * LAYERS)[: max(LAYERS, kinds)]
        elif key == "decoder_start_token_id" and value not in (None, table.get("pad_token_id")):
            made[key] = TOKENS["eos_token_id"]  # as BART and M2M begin; T5 and Marian begin with padding
        elif key in TOKENS and (value is not None or table.get("is_encoder_decoder")):
            made[key] = TOKENS[key]
        elif isinstance(value, bool) or value is None or not isinstance(value, (int, float)):
            made[key] = copy.deepcopy(value)
        elif isinstance(value, float) and DROPOUT.search(key):
            made[key] = 0.0
        elif key == "vocab_size":
            made[key] = VOCABULARY
        elif key == "num_key_value_heads" and "kv_lora_rank" in table:  # keys of all heads come from one latent vector
            made[key] = HEADS
        elif isinstance(value, int) and (tiny := _tiny(key)) is not None and value > 0:
            made[key] = max(LAYERS, kinds) if _counts_layers(key) else min(value, tiny)
        else:
            made[key] = value
    return made


def _tiny(key: str) -> int | None:
    return next((value for value, names in SIZES if any(fnmatch(key, name) for name in names.split())), None)


def _counts_layers(key: str) -> bool:
    return any(fnmatch(key, name) for name in SIZES[1][1].split())


def _is_by_layer(value: Any, layers: int | None) -> bool:
    return isinstance(value, list) and layers is not None and layers > 1 and len(value) == layers


def _kinds(values: list[Any]) -> list[Any]:
    """Each different entry once, in the order in which they come."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
