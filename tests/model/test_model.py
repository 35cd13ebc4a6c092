"""Weights, tokenizer, precision and family of a model; what cannot be used is refused in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from luthier.errors import ModelError
from luthier.files import sha256_of
from luthier.model import model as model_module
from luthier.model.model import (
    Model,
    best_precision,
    load,
    own_precision,
    parameter_counts,
)
from tests import tiny

ROOT = Path(__file__).parents[2]


def anew(folder: Path, precision: str = "fp32") -> Model:
    """Read from its files, which these tests harm: `tiny.fresh` remembers what it read."""
    return load(str(folder), precision=precision, device="cpu")


def copy_of(tiny_folder: Callable[[str], Path], tmp_path: Path, kind: str = "decoder-chat") -> Path:
    return Path(shutil.copytree(tiny_folder(kind), tmp_path / "copy"))


# --- a folder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_folder_is_loaded_as_it_was_saved(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = anew(tiny_folder(kind))
    assert model.family == ("decoder" if kind in tiny.DECODERS else "encoder-decoder")
    made = tiny.module(kind, len(model.tokenizer))
    assert {n: w.tolist() for n, w in tiny.weights(model.module).items()} == {
        n: w.tolist() for n, w in tiny.weights(made).items()
    }
    assert not model.module.training and model.dtype == torch.float32
    assert model.renderer.end_id in model.end_ids
    assert model.window == (256 if kind == "bart" else 512)
    assert model.base_sha256 == sha256_of(tiny_folder(kind) / "model.safetensors")
    assert anew(tiny_folder(kind), "bf16").dtype == torch.bfloat16


def test_an_untied_t5_stays_untied(tiny_folder: Callable[[str], Path]) -> None:
    tied, untied = (anew(tiny_folder(kind)).module for kind in ("t5-tied", "t5-untied"))
    assert tied.lm_head.weight is tied.shared.weight
    assert not torch.equal(untied.lm_head.weight, untied.shared.weight)
    vocabulary, width = untied.shared.weight.shape
    assert parameter_counts(untied)[1] - parameter_counts(tied)[1] == vocabulary * width


def test_a_learned_prompt_narrows_the_window(tiny_folder: Callable[[str], Path]) -> None:
    model = anew(tiny_folder("decoder-chat"))
    assert model.adapted(model.module, torch.zeros(12, 32)).renderer.window == 500


def test_parameters_are_counted_once(tiny_folder: Callable[[str], Path]) -> None:
    module = anew(tiny_folder("decoder-chat")).module
    tied = module.get_input_embeddings().weight
    assert module.get_output_embeddings().weight is tied
    every = sum(weight.numel() for weight in {id(p): p for p in module.parameters()}.values())
    tied.requires_grad_(False)
    assert parameter_counts(module) == (every - tied.numel(), every)


# --- what cannot be used ------------------------------------------------------------------------------------------


def _pickle_only(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _torn(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.truncate(5000)


def _incomplete(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _other_shape(folder: Path) -> None:
    _config(folder, intermediate_size=50)


def _no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def _broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _unknown_type(folder: Path) -> None:
    _config(folder, model_type="no-such-type")


def _config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "harm", [_pickle_only, _torn, _incomplete, _other_shape, _no_tokenizer, _broken_config, _unknown_type]
)
def test_a_harmed_folder_is_refused_in_a_sentence(
    harm: Callable[[Path], None], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy_of(tiny_folder, tmp_path)
    anew(folder)  # the proof that only the harm is refused
    harm(folder)
    with pytest.raises(ModelError, match=str(folder)) as refused:
        anew(folder)
    assert len(str(refused.value).splitlines()) == 1


def test_an_encoder_does_not_answer(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=380, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="type 'bert' does not write text"):
        anew(tmp_path)


def test_code_that_a_model_brings_is_neither_run_nor_asked_about(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(tiny_folder, tmp_path)
    _config(folder, model_type="theirs", auto_map={"AutoConfig": "theirs.Config"})
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    asked = []
    monkeypatch.setattr("builtins.input", lambda *text: asked.append(text) or "y")
    with pytest.raises(ModelError):
        anew(folder)
    assert not asked and not (tmp_path / "ran").exists()


def test_an_unknown_precision_is_a_sentence(tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="precision 'fp8' is not known; choose auto, fp32 or bf16"):
        anew(tiny_folder("decoder-chat"), "fp8")


# --- precision by what the machine is -----------------------------------------------------------------------------


@pytest.mark.parametrize("place, info, best", [
    ("cuda", "", "bf16"),
    ("cpu", "vendor_id : GenuineIntel\nflags : avx512_bf16", "fp32"),
    ("cpu", "vendor_id : GenuineIntel\nflags : avx512_bf16 amx_bf16", "bf16"),
    ("cpu", "vendor_id : AuthenticAMD\nflags : avx512_bf16", "bf16"),
    ("cpu", "vendor_id : AuthenticAMD\nflags : avx2", "fp32"),
    ("cpu", None, "fp32"),
])  # fmt: skip
def test_the_best_precision(place: str, info: str | None, best: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, *_: Any, **__: Any) -> str:
        if info is None:
            raise FileNotFoundError(path)
        return info

    monkeypatch.setattr(model_module.Path, "read_text", read)
    assert best_precision(place) == best


@pytest.mark.parametrize("given, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_variable_chooses_the_precision(
    given: str, dtype: torch.dtype, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine would choose; a precision that is named outright stands."""
    monkeypatch.setenv("LUTHIER_PRECISION", given)
    assert load(str(tiny_folder("gpt2"))).dtype == dtype
    assert anew(tiny_folder("gpt2"), "fp32").dtype == torch.float32
    monkeypatch.setenv("LUTHIER_PRECISION", "")
    assert own_precision("cpu") == best_precision("cpu")


@pytest.mark.parametrize("given", ["fp16", "auto", "BF16"])
def test_another_value_of_the_variable_is_a_sentence(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_PRECISION", given)
    with pytest.raises(ModelError, match=f"^LUTHIER_PRECISION is '{given}'; set it to fp32 or bf16, or unset it$"):
        own_precision("cpu")


# --- the hub's cache, offline -------------------------------------------------------------------------------------

FROM_HUB = """
import sys
from luthier.model.model import load
from luthier.decoding.generate import fold, generate
from luthier.decoding.requests import Request
model = load("google/flan-t5-base", precision="fp32", device="cpu")
ids, _ = model.renderer.render([{"role": "user", "content": "What time is it, Tom?"}])
(answer,) = fold(generate(model, [Request("a", tuple(ids), 5)]), model.tokenizer)
print(*ids, "|", model.window, model.family, model.folder.name, "|", *answer.tokens)
"""


def test_a_hub_id_is_found_in_the_local_cache_and_answers(flan_folder: Path, tmp_path: Path) -> None:
    """The real tokenizer and configuration, few layers and random weights, as the hub's client would have left them."""
    from transformers import T5Config, T5ForConditionalGeneration

    stored = tmp_path / "hub" / "models--google--flan-t5-base"
    snapshot = stored / "snapshots" / "7bcac572ce56db69c1ea7c8af255c5d7c9672fc2"
    snapshot.mkdir(parents=True)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(snapshot.name)
    torch.manual_seed(0)
    config = T5Config.from_json_file(flan_folder / "flan_t5_base_config.json")
    config.num_layers = config.num_decoder_layers = 1
    T5ForConditionalGeneration(config).save_pretrained(snapshot)
    for path in flan_folder.glob("*token*.json"):
        shutil.copyfile(path, snapshot / path.name)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", FROM_HUB], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    ids, about, answer = done.stdout.strip().split("|")
    assert ids.split() == ["363", "97", "19", "34", "6", "3059", "58", "1"]
    assert about.split() == ["512", "encoder-decoder", snapshot.name]
    assert 1 <= len(answer.split()) <= 5


# --- the packaged model -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_packaged_model_is_plain_and_knows_its_turn(smollm2: str) -> None:
    model = load(smollm2, precision="fp32", device="cpu")
    assert (model.family, model.window) == ("decoder", 8192)
    assert not hasattr(model.module.config, "quantization_config")
    assert model.tokenizer.convert_tokens_to_ids("<|im_end|>") in model.end_ids
    assert parameter_counts(model.module)[1] == 134_515_008
    assert model.notes and "Q4_1" in model.notes[0]
