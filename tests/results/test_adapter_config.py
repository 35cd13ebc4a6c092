"""adapter_config.json is held to a known type: whatever else peft would follow is refused by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import FolderError
from luthier.results.adapter_config import FILE, LoraAdapter, read_adapter_config
from tests.results.damage import LEGAL, damages
from tests.results.test_damage import problem_in_sentence

SHARED = {"task_type": "CAUSAL_LM", "inference_mode": True, "base_model_name_or_path": "base", "peft_version": "0.21.2"}
LORA = SHARED | {
    "peft_type": "LORA", "r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"],
    "auto_mapping": None, "alpha_pattern": {}, "loftq_config": {}, "megatron_core": "megatron.core", "bias": "none",
    "use_dora": False, "a_key_of_a_newer_peft": None,
}  # fmt: skip
PROMPT = {
    "num_virtual_tokens": 5,
    "num_transformer_submodules": 1,
    "num_attention_heads": 2,
    "num_layers": 2,
    "token_dim": 32,
}
KINDS = {
    "lora": LORA,
    "ia3": SHARED | {"peft_type": "IA3", "target_modules": ["k", "wo"], "feedforward_modules": ["wo"]},
    "tokens": SHARED
    | {"peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 3], "target_modules": "model.embed_tokens"},
    "soft": SHARED | PROMPT
    | {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "TEXT", "tokenizer_name_or_path": "base"},
    "p-tuning": SHARED | PROMPT
    | {"peft_type": "P_TUNING", "encoder_reparameterization_type": "MLP", "encoder_hidden_size": 8},
    "prefix": SHARED | PROMPT | {"peft_type": "PREFIX_TUNING", "init_weights": None},
}  # fmt: skip


def read(folder: Path, config: Any) -> Any:
    (folder / FILE).write_text(json.dumps(config))
    return read_adapter_config(folder)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_what_luthier_writes_is_read(config: dict[str, Any], tmp_path: Path) -> None:
    adapter = read(tmp_path, config)
    assert adapter.peft_type == config["peft_type"] and adapter.task_type == "CAUSAL_LM"
    assert isinstance(adapter, LoraAdapter) == (config["peft_type"] == "LORA")


def test_the_patterns_that_peft_writes_for_experts_are_read(tmp_path: Path) -> None:
    experts = {
        "target_parameters": ["experts.gate_up_proj", "down_proj"], "exclude_modules": ["out_proj"],
        "rank_pattern": {r".*\.gate_up_proj": 16}, "alpha_pattern": {r".*\.mlp\.gate_up_proj": 32},
    }  # fmt: skip
    assert read(tmp_path, LORA | experts).rank_pattern == experts["rank_pattern"]


@pytest.mark.parametrize("change, key", [
    ({"target_modules": "(a+)+$"}, "target_modules"),
    ({"target_modules": ["(a|aa)+$"]}, "target_modules.0"),
    ({"exclude_modules": ".*"}, "exclude_modules"),
    ({"rank_pattern": {"(a+)+$": 8}}, "rank_pattern"), ({"rank_pattern": {r".*\.gate_up_proj.*": 8}}, "rank_pattern"),
    ({"alpha_pattern": {r".*\.(a+)+": 8}}, "alpha_pattern"), ({"target_parameters": ["(a+)+$"]}, "target_parameters"),
    ({"layers_pattern": ["(a+)+$"]}, "layers_pattern"),
    ({"auto_mapping": {"base_model_class": "os", "parent_library": "os"}}, "auto_mapping"),
    ({"megatron_core": "os", "megatron_config": {"a": 1}}, "megatron_core"),
    ({"loftq_config": {"loftq_bits": 4}}, "loftq_config"),
    ({"corda_config": {"cache_file": "/etc/passwd"}}, "corda_config"),
    ({"eva_config": {"rho": 2}}, "eva_config"),
    ({"layer_replication": [[0, 10**7]]}, "layer_replication"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights"),
    ({"r": 10**9}, "r"), ({"r": True}, "r"), ({"lora_alpha": 1e12}, "lora_alpha"),
    ({"lora_alpha": float("inf")}, "lora_alpha"),
    ({"peft_type": "XLORA"}, "peft_type"), ({"peft_type": ["LORA"]}, "peft_type"),
    ({"inference_mode": False}, "inference_mode"),
    ({"task_type": "FEATURE_EXTRACTION"}, "task_type"),
    ({"runtime_config": {"ephemeral_gpu_offload": True}}, "runtime_config"),
])  # fmt: skip
def test_what_peft_would_follow_is_refused(change: dict[str, Any], key: str, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=rf"^{tmp_path / FILE}: the key '{key}(\..*)?' .*") as refused:
        read(tmp_path, LORA | change)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_every_damage_is_a_sentence_or_still_an_adapter(config: dict[str, Any], tmp_path: Path) -> None:
    path, wrong = tmp_path / FILE, []
    for damage in damages({key: value for key, value in config.items() if value not in (None, {}, [])}):
        if "format" in damage.place:  # which peft's files do not have
            continue
        path.write_bytes(damage.content)
        try:
            read_adapter_config(tmp_path)
        except FolderError as refused:
            if said := problem_in_sentence(str(refused), damage, path):
                wrong.append(said)
        else:
            if damage.how not in LEGAL and damage.place != ("target_modules",):  # a text or several
                wrong.append(f"{damage}: is read")
    assert not wrong, "\n".join(wrong[:20])
