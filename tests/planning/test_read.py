"""Shapes: the same modules and sizes as transformers', published totals, and a sentence for what is not known."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    DynamicCache,
)

from luthier.errors import ModelError
from luthier.planning.cache import cache_layers
from luthier.planning.config import Config, config_in
from luthier.planning.lengths import Lengths
from luthier.planning.named import NAMED
from luthier.planning.plan import PlannedArm, plan_arm
from luthier.planning.read import KNOWN, shape_from, shape_of
from luthier.planning.terms import Setting
from tests import tiny

TOTALS = {
    "t5-v1_1-small": 76_961_152,
    "flan-t5-base": 247_577_856,
    "t5-v1_1-large": 783_150_080,
    "t5-v1_1-xl": 2_849_757_184,
    "t5-v1_1-xxl": 11_135_332_352,
    "llama-3.2-3b": 3_212_749_824,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "llama-2-7b": 6_738_415_616,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "gpt2": 124_439_808,
    "t5-base": 222_903_552,
    "bart-large": 406_291_456,
    "smollm2-135m": 134_515_008,
}
SMALL: dict[str, Any] = {
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6, "vocab_size": 90,
}  # fmt: skip
GROUPED = SMALL | {"num_key_value_heads": 2}
CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("llama", GROUPED), ("llama", GROUPED | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("llama", GROUPED | {"head_dim": 16}), ("mistral", GROUPED), ("qwen2", GROUPED),
    # keys that the architecture does not read
    ("mistral", GROUPED | {"attention_bias": True, "mlp_bias": True}), ("qwen2", GROUPED | {"mlp_bias": True}),
    ("qwen3", GROUPED | {"mlp_bias": True}), ("gemma2", GROUPED | {"head_dim": 16, "mlp_bias": True}),
    ("qwen3", GROUPED | {"head_dim": 16}), ("qwen3", GROUPED | {"attention_bias": True}), ("gemma", GROUPED),
    ("gemma2", GROUPED | {"head_dim": 16}), ("gemma3_text", GROUPED | {"head_dim": 16}),
    ("smollm3", GROUPED | {"pad_token_id": 0}),
    ("phi", SMALL), ("phi", SMALL | {"qk_layernorm": True}), ("phi3", GROUPED | {"pad_token_id": 0}),
    ("gpt_neox", SMALL), ("gpt2", {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 90}),
    ("t5", {"d_model": 48, "d_kv": 8, "d_ff": 80, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}),
    ("t5", {"d_model": 48, "d_kv": 16, "d_ff": 80, "num_layers": 2, "num_heads": 4, "feed_forward_proj": "gated-gelu"}),
    ("bart", {"d_model": 48, "encoder_layers": 2, "decoder_layers": 3, "vocab_size": 90}),
    ("mbart", {"d_model": 48, "encoder_layers": 2, "decoder_layers": 2, "vocab_size": 90}),
    ("bart", {"d_model": 48, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 90, "tie_word_embeddings": False}),
    ("bert", SMALL), ("roberta", SMALL), ("distilbert", {"dim": 48, "hidden_dim": 80, "n_layers": 2, "n_heads": 4}),
]  # fmt: skip


def real(kind: str, keys: dict[str, Any]) -> Any:
    config = AutoConfig.for_model(kind, **keys)
    encoder = kind in ("bert", "roberta", "distilbert")
    auto: Any = AutoModelForSequenceClassification if encoder else AutoModelForCausalLM
    with torch.device("meta"):
        return (AutoModelForSeq2SeqLM if kind in ("t5", "bart", "mbart") else auto).from_config(config)


@pytest.mark.parametrize("kind, keys", CONFIGS)
def test_modules_and_sizes_are_those_of_transformers(kind: str, keys: dict[str, Any]) -> None:
    module = real(kind, keys)
    shape = shape_from(Config(kind, module.config.to_dict()))
    ours: dict[str, int] = {}
    for layer in shape.layers:
        if not layer.tied_to:
            ours[f"{layer.path}.weight"] = layer.weights
        if layer.bias:
            ours[f"{layer.path}.bias"] = layer.biases
    assert ours == {name: parameter.numel() for name, parameter in module.named_parameters()}
    linear = {name: (m.in_features, m.out_features) for name, m in module.named_modules() if hasattr(m, "in_features")}
    assert {one.path: (one.inputs, one.outputs) for one in shape.layers if one.kind == "linear"} == linear


@pytest.mark.parametrize(
    "kind, keys",
    [
        *((kind, SMALL | {"num_key_value_heads": None}) for kind in ("llama", "qwen2", "qwen3", "smollm3", "phi3")),
        ("smollm3", SMALL | {"num_attention_heads": 8}), ("mistral", SMALL | {"num_attention_heads": 8}),
        ("gpt2", {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 9}),
        ("distilbert", {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}),
    ],
)  # fmt: skip
def test_a_config_as_people_write_it(kind: str, keys: dict[str, Any]) -> None:
    """Without the keys that transformers adds when it writes one, with nulls, and by other names of the same."""
    keys = {"vocab_size": 90, "pad_token_id": 0} | keys
    expected = sum(parameter.numel() for parameter in real(kind, keys).parameters())
    assert shape_from(Config("it", {"model_type": kind} | keys)).parameters == expected


@pytest.mark.parametrize(
    "kind, key",
    [("bert", "hidden_act"), ("roberta", "hidden_act"), ("distilbert", "activation"), ("phi", "hidden_act")],
)
def test_activations_are_those_of_the_configuration(kind: str, key: str) -> None:
    """One that is written in Python keeps four tensors, and relu none."""
    for name in ("gelu_new", "relu"):
        shape = shape_from(Config("it", {"model_type": kind} | SMALL | {key: name}))
        assert {block.activation for block in shape.blocks} == {name}


SLIDING = {"use_sliding_window": True, "max_window_layers": 2}
TYPES = {"layer_types": ["sliding_attention", "full_attention", "full_attention"]}


@pytest.mark.parametrize(
    "kind, keys",
    [
        *((kind, SLIDING | more) for kind in ("qwen2", "qwen3") for more in ({}, {"sliding_window": 7}, TYPES)),
        *((kind, {"use_sliding_window": False, "sliding_window": 7}) for kind in ("qwen2", "qwen3", "smollm3")),
        ("smollm3", {"use_sliding_window": True, "sliding_window": 7, "no_rope_layer_interval": 2}),
        ("mistral", {}), ("mistral", {"sliding_window": None}), ("phi3", {}), ("phi3", {"sliding_window": 7}),
        ("gemma2", {}), ("gemma2", TYPES), ("gemma3_text", {"sliding_window_pattern": 2}), ("gemma3_text", TYPES),
    ],
)  # fmt: skip
def test_windows_are_those_of_transformers_cache(kind: str, keys: dict[str, Any]) -> None:
    keys = GROUPED | {"head_dim": 16, "pad_token_id": 0} | keys
    cache = DynamicCache(config=AutoConfig.for_model(kind, **keys))
    theirs = [getattr(layer, "sliding_window", None) for layer in cache.layers]
    assert [one.window for one in cache_layers(shape_from(Config("it", {"model_type": kind} | keys)))] == theirs


@pytest.mark.parametrize("kind", ["decoder-chat", "gpt2", "t5-tied", "bart"])
@pytest.mark.parametrize("change", ["kept twice", "differs", "only the output's", "untied by config.json"])
def test_the_output_layer_is_tied_where_transformers_ties_it(
    kind: str, change: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Many files hold a tied weight twice. Where the two differ, they are two."""
    shutil.copytree(tiny_folder(kind), tmp_path / "it")
    weights, config = tmp_path / "it" / "model.safetensors", tmp_path / "it" / "config.json"
    tensors = load_file(weights)
    embedding = shape_of(str(tmp_path / "it")).embedding + ".weight"
    tensors["lm_head.weight"] = tensors[embedding] + (change == "differs")
    if change == "only the output's":
        tensors.pop(embedding)
    if change == "untied by config.json":
        tensors.pop("lm_head.weight")
        config.write_text(json.dumps(json.loads(config.read_text()) | {"tie_word_embeddings": False}))
    save_file({name: one.clone() for name, one in tensors.items()}, weights, {"format": "pt"})
    model = (AutoModelForSeq2SeqLM if kind in tiny.ENCODER_DECODERS else AutoModelForCausalLM).from_pretrained(
        tmp_path / "it"
    )
    shape = shape_of(str(tmp_path / "it"))
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert shape.is_tied == (model.get_input_embeddings().weight is model.get_output_embeddings().weight)


@pytest.mark.parametrize("name", ["lm_head.weight", "embed_out.weight"])
def test_the_output_layer_of_gpt_neox_is_found_by_both_of_its_names(name: str, tmp_path: Path) -> None:
    config = AutoConfig.for_model("gpt_neox", **SMALL)
    module = AutoModelForCausalLM.from_config(config)
    module.save_pretrained(tmp_path)
    tensors = {
        one.replace("embed_out.weight", name): it for one, it in load_file(tmp_path / "model.safetensors").items()
    }
    assert name in tensors
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    shape = shape_of(str(tmp_path))
    assert shape.parameters == sum(parameter.numel() for parameter in module.parameters()) and not shape.is_tied


@pytest.mark.parametrize("name", TOTALS)
def test_published_totals(name: str) -> None:
    assert shape_of(name).parameters == TOTALS[name]


@pytest.mark.parametrize("kind", [*tiny.KINDS, *tiny.ENCODERS])
def test_every_tiny_family(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    shape = shape_of(str(tiny_folder(kind)), labels=len(tiny.LABELS))
    assert shape.parameters == sum(parameter.numel() for parameter in model.module.parameters())
    assert shape.family == model.family and shape.is_tied == (kind not in ("t5-untied", "bert"))
    assert shape.head == model.head


def test_a_saved_classifier_that_reads_the_mean_has_no_pooler(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(tiny_folder("bert"), tmp_path / "bert", ignore=shutil.ignore_patterns("1_Pooling"))
    config = tmp_path / "bert" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"classifier_pooling": "mean"}))
    model, shape = tiny.fresh(tmp_path / "bert"), shape_of(str(tmp_path / "bert"), labels=len(tiny.LABELS))
    assert shape.parameters == sum(parameter.numel() for parameter in model.module.parameters())
    assert shape.head == model.head


def test_every_named_model_has_a_shape() -> None:
    assert {shape_of(name).model_type for name in NAMED} <= set(KNOWN)


def test_an_unknown_shape_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for keys, says in (
        ({"model_type": "mamba"}, "models of type 'mamba' cannot be planned; the shapes that are known are llama,"),
        ({}, "a configuration without 'model_type' cannot be planned"),
        ({"model_type": "llama", "hidden_size": "64"}, "the key 'hidden_size' is '64'"),
        ({"model_type": "llama"}, "the key 'hidden_size' is missing"),
        ({"model_type": "llama", "tie_word_embeddings": "false"} | SMALL, "is 'false'; it should be true or false"),
        (
            {"model_type": "llama"} | SMALL | {"num_attention_heads": 5},
            "5 heads of attention do not divide a width of 48",
        ),
        ({"model_type": "llama", "quantization_config": {"bits": 4}} | SMALL, "its weights are quantized already"),
        ({"model_type": "gpt2", "add_cross_attention": True, "vocab_size": 9}, "with 'add_cross_attention' cannot be"),
    ):
        path.write_text(json.dumps(keys))
        with pytest.raises(ModelError, match=says):
            shape_of(str(path))
    path.write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: cannot be read as JSON"):
        config_in(path, "it")
    path.write_text("[]")
    with pytest.raises(ModelError, match="holds no table of keys"):
        config_in(path, "it")


@pytest.mark.parametrize("kind", dict(CONFIGS))
def test_any_value_of_any_key_is_read_or_refused(kind: str) -> None:
    """A shape that came of nonsense can be planned, too: nothing divides by its zeros."""
    keys = AutoConfig.for_model(kind, **dict(CONFIGS)[kind]).to_dict()
    read = 0
    for key in sorted({*keys, "sliding_window_pattern", "max_window_layers"} - {"model_type"}):
        for value in (None, 0, 1, -1, 7, 10**9, 10**30, 0.5, 2.5, True, "", "x", [], ["x"], {}, ["sliding"] * 9):
            try:
                shape = shape_from(Config("it", keys | {key: value}))
                assert plan_arm(
                    shape, PlannedArm("full", None), Setting("fp32"), Lengths.alike(9, 4, 2), None
                ).peak_bytes
                read += 1
            except ModelError as error:
                assert "\n" not in str(error) and len(str(error)) < 400
    assert read > 50


def test_a_damaged_weights_file_does_not_stop_a_plan(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    text = (tiny_folder("decoder-chat") / "config.json").read_text()
    (tmp_path / "config.json").write_text(text)
    for data in (b"", b"\x00" * 7, b"\xff" * 16, b"\x05\x00\x00\x00\x00\x00\x00\x00{]"):
        (tmp_path / "model.safetensors").write_bytes(data)
        assert shape_of(str(tmp_path)).parameters == shape_of(str(tiny_folder("decoder-chat"))).parameters


def test_a_plan_imports_no_torch(tiny_folder: Callable[[str], Path]) -> None:
    code = (
        "import sys; from luthier.arms.planned import plan\n"
        f"plan({str(tiny_folder('decoder-chat'))!r}, arms=('lora', 'full', 'zero-shot'), task='dialogues')\n"
        # transformers renders chat templates, by a module of its own that needs no torch
        "print(sorted({'torch', 'peft', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
