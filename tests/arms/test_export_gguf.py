"""GGUF files: what another reader reads of them is the model, and what is not written is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from luthier.arms.export_gguf import _QWEN2, KINDS, read_gguf, write_gguf
from luthier.decoding.generate import generate
from luthier.decoding.requests import Request
from luthier.errors import ModelError
from luthier.model.model import Model, load
from tests import tiny

TEXT = "Anna: Can we move it to 12:30?\n\nTom: It's fine,  naïve 😀 isn't it?"
SMALL: dict[str, Any] = {
    "vocab_size": 384, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": None,
    "eos_token_id": 1,
}  # fmt: skip


def qwen(kind: str, tied: bool) -> Any:
    torch.manual_seed(3)
    if kind == "qwen2":
        made = Qwen2ForCausalLM(Qwen2Config(**SMALL, tie_word_embeddings=tied))
    else:  # its heads may be wider than the model is
        made = Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=32, tie_word_embeddings=tied))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "bias" in name or "norm" in name else 0.1))
    return made.eval()


@pytest.fixture
def qwen_folder(tmp_path: Path) -> Callable[[str, bool], Path]:
    def folder(kind: str, tied: bool) -> Path:
        place = tmp_path / f"{kind}-{tied}"
        qwen(kind, tied).save_pretrained(place)
        words = tiny.tokenizer(chat=True)
        parts = [
            pre_tokenizers.Split(Regex(_QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
        words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
        words.save_pretrained(place)
        return place

    return folder


def logits(model: Model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.module(torch.tensor([ids]), use_cache=False).logits[0].float()


def kinds_in(path: Path) -> dict[str, str]:
    return {one.name: gguf.GGMLQuantizationType(one.tensor_type).name for one in gguf.GGUFReader(path).tensors}


def same(model: Model, path: Path, kind: str) -> None:
    write_gguf(model, path, kind)
    again = read_gguf(path, model)
    for text in (TEXT, model.renderer.text([{"role": "user", "content": TEXT}])):
        ids = model.tokenizer(text)["input_ids"]
        assert again.tokenizer(text)["input_ids"] == ids
    assert again.renderer.chats == model.renderer.chats
    ours, theirs = logits(model, ids).softmax(-1), logits(again, ids).softmax(-1)
    distance = float((ours - theirs).abs().sum(-1).max() / 2)
    assert distance < {"f16": 0.01, "q8_0": 0.15}[kind]
    kinds = kinds_in(path)
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["blk.0.ffn_up.weight"] == ("F16" if kind == "f16" else "Q8_0")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shape", ["qwen2", "qwen3"])
def test_models_shaped_as_qwen(shape: str, tied: bool, kind: str, qwen_folder: Any, tmp_path: Path) -> None:
    same(load(str(qwen_folder(shape, tied)), precision="fp32"), tmp_path / "model.gguf", kind)


def test_a_llama_whose_rows_fill_no_block(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Rows of 48 numbers are no whole blocks of 32: they stay f16 in a q8_0 file."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    write_gguf(model, tmp_path / "model.gguf", "q8_0")
    kinds = kinds_in(tmp_path / "model.gguf")
    assert kinds["blk.0.ffn_down.weight"] == "F16" and kinds["blk.0.ffn_up.weight"] == "Q8_0"
    ids = model.tokenizer(TEXT)["input_ids"]
    write_gguf(model, tmp_path / "f16.gguf", "f16")
    torch.testing.assert_close(
        logits(read_gguf(tmp_path / "f16.gguf", model), ids), logits(model, ids), atol=0.2, rtol=0.02
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_real_model(kind: str, smollm2: str, tmp_path: Path) -> None:
    same(load(smollm2, precision="fp32"), tmp_path / "model.gguf", kind)


ASK = """
import {getLlama} from "node-llama-cpp";
import fs from "fs";
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: process.argv[2], gpuLayers: 0});
const ids = model.tokenize(fs.readFileSync(process.argv[3], "utf8"), true);
const context = await model.createContext({contextSize: 512, threads: 1});
const said = [];
for await (const token of context.getSequence().evaluate(ids, {temperature: 0})) {
  if (model.isEogToken(token) || said.push(token) >= 8) break;
}
console.log(JSON.stringify({ids, said}));
process.exit(0);
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_reads_the_same_prompt_and_answers(kind: str, smollm2: str, tmp_path: Path) -> None:
    """llama.cpp makes the same ids of a prompt, control tokens included, and begins its answer as luthier does."""
    folder = os.environ.get("NODE_LLAMA_CPP")
    if shutil.which("node") is None or not folder:
        pytest.skip("NODE_LLAMA_CPP names no folder in which `npm i --ignore-scripts node-llama-cpp` was run")
    model = load(smollm2, precision="fp32")
    write_gguf(model, tmp_path / "model.gguf", kind)
    text = model.renderer.text([{"role": "user", "content": TEXT}])
    (tmp_path / "prompt").write_text(text, encoding="utf-8")
    script = Path(folder) / "luthier-ask.mjs"
    script.write_text(ASK, encoding="utf-8")
    command = ["node", str(script), str(tmp_path / "model.gguf"), str(tmp_path / "prompt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    said = json.loads(done.stdout.splitlines()[-1])
    ids = tuple(model.tokenizer(text)["input_ids"])
    assert tuple(said["ids"]) == ids
    ours = [event.token for event in generate(model, [Request("a", ids, 8)])]
    sure = {"f16": 3, "q8_0": 1}[kind]  # llama.cpp rounds what it multiplies with q8_0 weights too
    assert said["said"][:sure] == ours[:sure]


# --------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("kind", ["gpt2", "t5-tied", "bart", "bert"])
def test_a_model_of_another_type_is_a_sentence(kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not written as GGUF here; these are: llama, qwen2, qwen3"):
        write_gguf(tiny.fresh(tiny_folder(kind)), tmp_path / "model.gguf", "f16")
    assert list(tmp_path.iterdir()) == []


def test_what_a_file_would_lose_is_a_sentence(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    path, model = tmp_path / "model.gguf", tiny.fresh(tiny_folder("decoder-chat"))
    with pytest.raises(ModelError, match="'q2_k' is no kind"):
        write_gguf(model, path, "q2_k")
    with pytest.raises(ModelError, match="a learned prompt does not live in a GGUF file"):
        write_gguf(replace(model, prefix=torch.zeros(2, 32)), path, "f16")
    with torch.no_grad():
        model.module.model.layers[0].mlp.up_proj.weight[0, 0] = 1e6
    with pytest.raises(ModelError, match=r"ffn_up\.weight: holds 1e\+06, which f16 cannot hold; choose q8_0"):
        write_gguf(model, path, "f16")
    other = tiny.tokenizer(chat=True)
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    with pytest.raises(ModelError, match="splits texts in a way that is not known here"):
        write_gguf(replace(model, tokenizer=other), path, "f16")
    model.module.config.rope_parameters = {"rope_type": "yarn", "rope_theta": 1e4}
    with pytest.raises(ModelError, match=r"its positions are scaled \('yarn'\)"):
        write_gguf(model, path, "f16")
    assert list(tmp_path.iterdir()) == []
