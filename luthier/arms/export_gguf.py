"""A plain model as a GGUF file, the format of llama.cpp: f16, or q8_0 (blocks of 32 weights with one scale).

    write_gguf(model, path, "q8_0")      read_gguf(path, model) -> the model with the file's own weights and tokenizer

Written are models of the shapes `llama`, `qwen2` and `qwen3`, with a byte-level BPE tokenizer that llama.cpp knows. The
names of tensors come from the gguf library. llama.cpp rotates neighbouring numbers of a head where transformers rotates
its two halves, so for `llama` the rows of q and k change their order; Qwen's models are read in transformers' order.
A measured prompt does not live in a GGUF file: template and settings stand beside it (Modelfile, prompt.json).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from luthier.errors import ModelError
from luthier.files import replacing
from luthier.model.model import Model
from luthier.model.quiet import quiet_gguf

KINDS = {"f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
_BLOCK = 32  # weights that share a scale in q8_0; a row of another length stays f16


@dataclass(frozen=True)
class _Shape:
    """How a model of transformers is called and stored in GGUF."""

    arch: gguf.MODEL_ARCH
    rotates_neighbours: bool  # whether q and k change the order of their rows


SHAPES = {
    "llama": _Shape(gguf.MODEL_ARCH.LLAMA, rotates_neighbours=True),
    "qwen2": _Shape(gguf.MODEL_ARCH.QWEN2, rotates_neighbours=False),
    "qwen3": _Shape(gguf.MODEL_ARCH.QWEN3, rotates_neighbours=False),
}


def write_gguf(model: Model, path: Path, kind: str) -> None:
    """Writes the plain model (nothing beside its weights) as one file, whole or not at all.

    Raises ModelError for a kind, a model or a tokenizer that is not written here.
    """
    if kind not in KINDS:
        raise ModelError(f"'{kind}' is no kind of GGUF file that is written here; there are: {', '.join(KINDS)}")
    shape = _shape(model)
    pre = _pre_tokenizer(model)
    with replacing(path) as file:
        writer = gguf.GGUFWriter(file.name, gguf.MODEL_ARCH_NAMES[shape.arch])
        _add_settings(writer, model, kind)
        _add_tokenizer(writer, model, pre)
        for name, tensor in _tensors(model, shape):
            _add_tensor(writer, name, tensor, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def read_gguf(path: Path, model: Model) -> Model:
    """`model` with the weights and the tokenizer of the file, read by transformers, which shares no code with this.

    The weights are fp32, each as the file says it.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    with quiet_gguf():
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        config.head_dim = _head_width(path)  # transformers does not read it, and takes 128 for every qwen3
        how: dict[str, Any] = {"gguf_file": path.name, "config": config, "dtype": torch.float32}
        loader: Any = AutoModelForCausalLM
        module, report = loader.from_pretrained(path.parent, output_loading_info=True, **how)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"{path}: lacks the weights {missing[0]} ({len(missing)} in all); write it again")
    return replace(model, module=module.eval(), tokenizer=tokenizer, prefix=None, prefix_states=None)


def _head_width(path: Path) -> int:
    fields = gguf.GGUFReader(path).fields
    return int(next(field.contents() for name, field in fields.items() if name.endswith(".attention.key_length")))


# ------------------------------------------------------------------------------------------------------- the model


def _shape(model: Model) -> _Shape:
    """Raises ModelError for a model that this file does not know how to write."""
    config: Any = model.module.config
    known = ", ".join(SHAPES)
    if model.family != "decoder" or config.model_type not in SHAPES:
        raise ModelError(
            f"{model.name}: a model of type '{config.model_type}' is not written as GGUF here; these are: {known}. "
            "Merge the arm (luthier merge) and convert that folder with llama.cpp's own script"
        )
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise ModelError(
            f"{model.name}: its positions are scaled ('{rope['rope_type']}'), which is not written here; merge the arm "
            "and convert that folder with llama.cpp's own script"
        )
    if getattr(config, "use_sliding_window", False):
        raise ModelError(f"{model.name}: its attention has a sliding window, which is not written as GGUF here")
    if model.prefix is not None or model.prefix_states is not None:
        raise ModelError(f"{model.name}: a learned prompt does not live in a GGUF file; ship the adapter alone")
    return SHAPES[config.model_type]


def _add_settings(writer: gguf.GGUFWriter, model: Model, kind: str) -> None:
    config: Any = model.module.config
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = getattr(config, "rope_parameters", None) or {}
    theta = rope.get("rope_theta") or getattr(config, "rope_theta", None) or 10_000.0
    writer.add_name(model.name.rstrip("/").rpartition("/")[2])
    writer.add_file_type(KINDS[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(model.window)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(theta))
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    writer.add_vocab_size(config.vocab_size)


def _tensors(model: Model, shape: _Shape) -> list[tuple[str, torch.Tensor]]:
    """GGUF's name and the weights of each tensor. Raises ModelError for one that has no name there."""
    config: Any = model.module.config
    names = gguf.get_tensor_name_map(shape.arch, config.num_hidden_layers)
    heads = {"q": config.num_attention_heads, "k": getattr(config, "num_key_value_heads", config.num_attention_heads)}
    tied = config.tie_word_embeddings
    made = []
    for name, tensor in model.module.state_dict().items():
        if (tied and name == "lm_head.weight") or name.endswith("rotary_emb.inv_freq"):
            continue
        stem, _, last = name.rpartition(".")
        if (new := names.get_name(stem)) is None:
            raise ModelError(f"{model.name}: its weights '{name}' have no place in a GGUF file of {shape.arch.name}")
        if shape.rotates_neighbours and stem.endswith(("q_proj", "k_proj")):
            tensor = _neighbours(tensor, heads[stem[-6]])
        made.append((f"{new}.{last}", tensor))
    return made


def _neighbours(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (heads, 2, half) as (heads, half, 2): numbers that are rotated together stand beside each other."""
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)


def _add_tensor(writer: gguf.GGUFWriter, name: str, tensor: torch.Tensor, kind: str) -> None:
    """Matrices in the kind asked for; vectors (norms, biases) in fp32, as llama.cpp wants them."""
    values = tensor.detach().float().cpu().contiguous().numpy()
    if values.ndim < 2:
        writer.add_tensor(name, values.astype(np.float32))
        return
    if kind == "q8_0" and values.shape[-1] % _BLOCK == 0:
        packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        return
    largest = float(np.abs(values).max(initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        raise ModelError(f"{name}: holds {largest:g}, which f16 cannot hold; choose q8_0")
    writer.add_tensor(name, values.astype(np.float16))


# --------------------------------------------------------------------------------------------------- the tokenizer


def _pre_tokenizer(model: Model) -> str:
    """llama.cpp's name of how a text is split before BPE. Raises ModelError for a way that has no name here."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    state = json.loads(backend.to_str()) if backend is not None else {}
    if (state.get("model") or {}).get("type") != "BPE" or not _is_byte_level(state):
        raise ModelError(
            f"{model.name}: its tokenizer is no byte-level BPE, which alone is written as GGUF here; merge the arm and "
            "convert that folder with llama.cpp's own script"
        )
    if state.get("normalizer") and state["normalizer"].get("type") not in ("NFC",):
        raise ModelError(f"{model.name}: its tokenizer changes texts before it splits them, which is not written here")
    for name, fits in _PRE_TOKENIZERS.items():
        if fits(_splitters(state)):
            return name
    raise ModelError(
        f"{model.name}: its tokenizer splits texts in a way that is not known here; merge the arm and convert that "
        "folder with llama.cpp's own script"
    )


def _splitters(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The pre-tokenizers in their order."""
    pre = state.get("pre_tokenizer") or {}
    return list(pre["pretokenizers"]) if pre.get("type") == "Sequence" else [pre]


def _is_byte_level(state: dict[str, Any]) -> bool:
    return any(one.get("type") == "ByteLevel" for one in _splitters(state))


_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _is_plain(splitters: list[dict[str, Any]]) -> bool:
    return len(splitters) == 1 and splitters[0].get("use_regex", True) and not splitters[0].get("add_prefix_space")


def _splits_digits(splitters: list[dict[str, Any]]) -> bool:
    types = [one.get("type") for one in splitters]
    return types == ["Digits", "ByteLevel"] and bool(splitters[0].get("individual_digits"))


def _splits_by(pattern: str) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda splitters: (
        [one.get("type") for one in splitters] == ["Split", "ByteLevel"]
        and ((splitters[0].get("pattern") or {}).get("Regex") == pattern)
    )


# llama.cpp's name -> whether these pre-tokenizers do the same.
_PRE_TOKENIZERS: dict[str, Callable[[list[dict[str, Any]]], bool]] = {
    "gpt-2": _is_plain,
    "smollm": _splits_digits,
    "qwen2": _splits_by(_QWEN2),
}


def _add_tokenizer(writer: gguf.GGUFWriter, model: Model, pre: str) -> None:
    tokenizer: Any = model.tokenizer
    config: Any = model.module.config
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    words = {index: word for word, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens, types = [], []
    for index in range(config.vocab_size):
        tokens.append(words.get(index, f"[PAD{index}]"))
        if index not in words:
            types.append(gguf.TokenType.UNUSED)
        elif index in added:
            types.append(gguf.TokenType.CONTROL if added[index].special else gguf.TokenType.USER_DEFINED)
        else:
            types.append(gguf.TokenType.NORMAL)
    merges = [one if isinstance(one, str) else " ".join(one) for one in state["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_add_bos_token(_adds_beginning(tokenizer))
    writer.add_eos_token_id(model.renderer.end_id)  # what ends an answer, which a chat template may have of its own
    for name in ("bos", "pad", "unk"):
        if (role := getattr(tokenizer, f"{name}_token_id", None)) is not None:
            getattr(writer, f"add_{name}_token_id")(int(role))
    if template := getattr(tokenizer, "chat_template", None):
        writer.add_chat_template(template)


def _adds_beginning(tokenizer: Any) -> bool:
    bos = getattr(tokenizer, "bos_token_id", None)
    return bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
