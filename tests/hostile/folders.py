"""What is done to a model's folder: its config.json, weights, adapter, tokenizer and generation settings."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

Right = Literal["refused", "runs", "either"]  # either: a sentence or an answer, as long as nothing worse happens
Harm = Callable[[Path, random.Random], Right]


# ------------------------------------------------------------------------------------------------------ config.json


def edit(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    table = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(table | changes))


def somewhere(draw: random.Random, changes: dict[str, Any]) -> dict[str, Any]:
    """The keys at the top, or inside of a table as models of several parts have."""
    return changes if draw.random() < 0.7 else {draw.choice(["text_config", "decoder", "rope_parameters"]): changes}


def attention(folder: Path, draw: random.Random) -> Right:
    key = draw.choice(["_attn_implementation", "attn_implementation", "_attn_implementation_internal",
                       "_experts_implementation", "_attn_implementation_autoset_implementation"])  # fmt: skip
    value = draw.choice(["someone/kernel", "kernels-community/flash-attn:f", "flash_attention_9", "a/b@main:c.d",
                         {"": "someone/kernel"}, 7, ["sdpa", "x/y"]])  # fmt: skip
    edit(folder, "config.json", **somewhere(draw, {key: value}))
    return "refused"


def code(folder: Path, draw: random.Random) -> Right:
    (folder / "theirs.py").write_text(f"import pathlib\npathlib.Path({str(folder.parent / 'ran')!r}).touch()\n")
    where = draw.choice(["config.json", "tokenizer_config.json", "generation_config.json"])
    classes = draw.sample(["AutoConfig", "AutoModelForCausalLM", "AutoTokenizer", "AutoModel"], 2)
    change: dict[str, Any] = draw.choice([
        {"auto_map": dict.fromkeys(classes, "theirs.Anything")},
        {"auto_map": dict.fromkeys(classes, "someone/repository--theirs.Anything")},
        {"trust_remote_code": True},
        {"auto_map": {classes[0]: "theirs.A"}, "trust_remote_code": True, "model_type": "theirs"},
        {"custom_pipelines": {"text-generation": {"impl": "theirs.A", "pt": ["AutoModel"]}}},
        {"transformers_weights": "../theirs.safetensors"},
    ])  # fmt: skip
    edit(folder, where, **somewhere(draw, change))
    return "refused"


SIZES = ["num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size", "intermediate_size",
         "vocab_size", "head_dim"]  # fmt: skip
HUGE = [10**5, 10**7, 10**9, 10**12, 10**18, 10**30, 2**63, -1, -(10**9)]


def size(folder: Path, draw: random.Random) -> Right:
    key = draw.choice(SIZES)
    edit(folder, "config.json", **{key: draw.choice(HUGE)})
    return "refused"


def counted(folder: Path, draw: random.Random) -> Right:
    """Numbers that are no side of a weight: they cost memory, time, or sense."""
    key = draw.choice(["num_labels", "max_position_embeddings", "num_experts", "num_return_sequences", "rms_norm_eps",
                       "initializer_range", "rope_theta", "pad_token_id", "eos_token_id", "num_beams"])  # fmt: skip
    edit(folder, "config.json", **{key: draw.choice([*HUGE, 0, 1e308, float("nan"), float("inf")])})
    return "either"


def wrong_type(folder: Path, draw: random.Random) -> Right:
    config = json.loads((folder / "config.json").read_text())
    key = draw.choice(sorted(config))
    config[key] = draw.choice(["32", [32], {"a": 1}, True, 1.5, "", "\u0000", "a" * 5000, None, [[[[]]]], {"": None}])
    (folder / "config.json").write_text(json.dumps(config))
    return "either"


def model_type(folder: Path, draw: random.Random) -> Right:
    kind = draw.choice(["no-such-type", "", "../llama", 3, None, ["llama"], "LLAMA", "os.system", "clip", "whisper",
                        "t5", "bert", "gpt2", "mamba"])  # fmt: skip
    edit(folder, "config.json", model_type=kind)
    return "refused"


def precision(folder: Path, draw: random.Random) -> Right:
    name = draw.choice(["float8_e4m3fn", "int8", "os", "nn", "load", "", "float", "complex64", 7, {"": "bool"}, "nan"])
    edit(folder, "config.json", **somewhere(draw, {draw.choice(["dtype", "torch_dtype"]): name}))
    return "refused"


def quantized(folder: Path, draw: random.Random) -> Right:
    method = draw.choice(["gptq", "awq", "fp8", "hqq", "aqlm", "compressed-tensors", "quanto", "bitnet", "mxfp4",
                          "torchao", "eetq", "higgs", "no-such", None, 4])  # fmt: skip
    config: Any = {"quant_method": method, "bits": draw.choice([2, 3, 4, 8]), "group_size": 128}
    if draw.random() < 0.3:
        config = draw.choice([
            {"quant_method": "luthier_int4", "modules_to_not_convert": ["(a+)+$" * 9]},
            {"quant_method": "luthier_int4", "modules_to_not_convert": "lm_head"},
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "os.system"},
            {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": [".*" * 40 + "x"]},
            [], "gptq", 4,
        ])  # fmt: skip
    key = "quantization_config" if draw.random() < 0.85 else "compression_config"
    edit(folder, "config.json", **somewhere(draw, {key: config}))
    return "refused"


def text_of_config(folder: Path, draw: random.Random) -> Right:
    name = draw.choice(["config.json", "config.json", "generation_config.json", "tokenizer_config.json"])
    whole = (folder / name).read_bytes()
    damage = draw.choice([
        whole[: draw.randrange(len(whole) - 1)], b"", b"[1, 2]", b"null", b"\xff\xfe" + whole, b"[" * 200_000,
        b'{"a":' * 50_000, b'{"model_type": ' + b"9" * 5000 + b"}", whole.replace(b"{", b"{{", 1), b"\x00" * 100,
    ])  # fmt: skip
    (folder / name).write_bytes(damage)
    return "refused"


# ---------------------------------------------------------------------------------------------------------- weights


def header(folder: Path) -> tuple[dict[str, Any], bytes]:
    raw = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_header(folder: Path, table: dict[str, Any], data: bytes) -> None:
    text = json.dumps(table).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def weights(folder: Path, draw: random.Random) -> Right:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    table, data = header(folder)
    name = draw.choice(sorted(set(table) - {"__metadata__"}))
    how = draw.randrange(9)
    if how == 0:
        path.write_bytes(raw[: draw.randrange(len(raw) - 1)])
    elif how == 1:
        path.write_bytes(struct.pack("<Q", draw.choice([0, 2**63, len(raw), 10**9])) + raw[8:])
    elif how == 2:
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif how == 3:
        write_header(folder, table | {name: table[name] | {"shape": [draw.choice([10**9, -1, 0, 3])]}}, data)
    elif how == 4:
        write_header(
            folder, table | {name: table[name] | {"dtype": draw.choice(["F8_E4M3", "F4", "C64", "X", 7])}}, data
        )
    elif how == 5:
        write_header(folder, {key: value for key, value in table.items() if key != name}, data)
    elif how == 6:
        write_header(folder, table | {name: draw.choice([None, [], {"dtype": "F32"}, "x"])}, data)
    elif how == 7:
        path.rename(folder / "pytorch_model.bin")
    else:
        os.truncate(path, 0)
    return "refused"


def numbers(folder: Path, draw: random.Random) -> Right:
    """NaN or infinity in a weight, often a single one."""
    table, data = header(folder)
    name = draw.choice(sorted(set(table) - {"__metadata__"}))
    start, end = table[name]["data_offsets"]
    spot = start + 4 * draw.randrange((end - start) // 4)
    bad = struct.pack("<f", draw.choice([float("nan"), float("inf"), float("-inf")]))
    write_header(folder, table, data[:spot] + bad + data[spot + 4 :])
    return "refused"


def index(folder: Path, draw: random.Random) -> Right:
    table, _ = header(folder)
    names = sorted(set(table) - {"__metadata__"})
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    if draw.random() < 0.2:
        files: Any = "model-00001-of-00001.safetensors"
        table = {"metadata": {}, "weight_map": dict.fromkeys(names, files)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(table))
        return "runs"
    shutil.copy(folder / "model-00001-of-00001.safetensors", folder.parent / "outside.safetensors")
    files = draw.choice(["../outside.safetensors", str(folder.parent / "outside.safetensors"), "missing.safetensors",
                         "", 7, "model-00001-of-00001.bin", None, ".."])  # fmt: skip
    whole: Any = draw.choice([{"weight_map": dict.fromkeys(names, files)}, {"weight_map": {}}, {}, {"weight_map": 3}])
    (folder / "model.safetensors.index.json").write_text(json.dumps(whole))
    return "refused"


def adapter(folder: Path, draw: random.Random) -> Right:
    config = {"peft_type": draw.choice(["LORA", "IA3", "X"]), "r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM",
              "target_modules": draw.choice([["q_proj"], "(a+)+$"]), "auto_mapping": None}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config) if draw.random() < 0.8 else "{")
    if draw.random() < 0.7:
        (folder / draw.choice(["adapter_model.safetensors", "adapter_model.bin"])).write_bytes(b"\x80\x04N.")
    return "refused"


# -------------------------------------------------------------------------------------------------------- tokenizer


def tokenizer(folder: Path, draw: random.Random) -> Right:
    path = folder / "tokenizer.json"
    table = json.loads(path.read_text())
    how = draw.randrange(8)
    if how == 0:
        path.unlink()
        (folder / "tokenizer_config.json").unlink()
    elif how == 1:
        path.write_bytes(path.read_bytes()[: draw.randrange(1, 2000)])
    elif how == 2:
        table["model"]["type"] = draw.choice(["Foo", 7, None, "bpe", "WordPiece"])
    elif how == 3:
        table["added_tokens"].append(table["added_tokens"][0] | {"id": 380 + draw.randrange(3), "content": "dentist"})
        table["added_tokens"].append(table["added_tokens"][0] | {"id": 381 + draw.randrange(9), "content": "harbour"})
    elif how == 4:
        table["model"]["vocab"] |= {"zzz": draw.choice([400, 10**6, 2**31])}
    elif how == 5:
        table["model"]["merges"] = draw.choice([[["a"]], [["q", "no-such"]], 7, "x"])
    elif how == 6:
        table["pre_tokenizer"] = draw.choice([{"type": "Foo"}, {"type": "Split", "pattern": {"Regex": "("}}, 3])
    else:
        table = draw.choice([[], {}, {"version": "1.0"}, None])  # type: ignore[assignment]
    if how > 1:
        path.write_text(json.dumps(table))
    return "refused"


def tokenizer_config(folder: Path, draw: random.Random) -> Right:
    change: dict[str, Any] = draw.choice([
        {"tokenizer_class": "os.system"}, {"tokenizer_class": 7}, {"tokenizer_class": "NoSuchTokenizer"},
        {"eos_token": 7}, {"eos_token": {"a": 1}}, {"eos_token": None},
        {"extra_special_tokens": {"conversations": "x"}},
        {"extra_special_tokens": {"messages": "x", "tools": "y"}}, {"model_max_length": "many"}, {"pad_token": []},
        {"model_specific_special_tokens": {"chat_template": "x"}}, {"added_tokens_decoder": {"x": 1}},
        {"added_tokens_decoder": {"999999999": {"content": "a", "special": True}}}, {"backend": "no-such"},
    ])  # fmt: skip
    edit(folder, "tokenizer_config.json", **change)
    return "either"


def generation(folder: Path, draw: random.Random) -> Right:
    change: dict[str, Any] = draw.choice([
        {"eos_token_id": "abc"}, {"eos_token_id": [1, "x"]}, {"eos_token_id": {"a": 1}}, {"bos_token_id": "x"},
        {"pad_token_id": [None, "x"]}, {"decoder_start_token_id": "x"}, {"eos_token_id": True},
    ])  # fmt: skip
    edit(folder, "generation_config.json", **change)
    return "refused"


def sound_config(folder: Path, draw: random.Random) -> Right:
    change: dict[str, Any] = draw.choice([
        {"_attn_implementation": "eager"}, {"_attn_implementation": "sdpa"}, {"attn_implementation": None},
        {"dtype": "bfloat16"}, {"torch_dtype": "torch.float32", "dtype": None}, {"_name_or_path": "someone/model"},
        {"auto_map": {}}, {"trust_remote_code": False}, {"quantization_config": None}, {"my_own_note": [1, {"a": 2}]},
        {"architectures": None}, {"max_position_embeddings": 2**20}, {"rope_theta": 5_000_000},
        {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}, {"use_cache": False},
    ])  # fmt: skip
    edit(folder, "config.json", **change)
    return "runs"
