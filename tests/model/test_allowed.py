"""What a model's folder may say: ways out of the folder and sizes without weights are refused by file and key."""

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

from luthier.errors import ModelError
from luthier.model.allowed import look_over
from luthier.model.sources import resolve
from luthier.model.weight_files import tensors_in
from tests import tiny

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "cases"


@pytest.fixture
def folder(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder("decoder-chat"), tmp_path / "model"))


def edit(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("kind", [*tiny.KINDS, *tiny.ENCODERS])
def test_sound_folders_pass(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    looked = look_over(tiny_folder(kind))
    assert looked.config["model_type"] and looked.elements == sum(
        t.elements for t in tensors_in(tiny_folder(kind)).values()
    )


@pytest.mark.parametrize("change, said", [
    ({"_attn_implementation": "someone/kernel"}, "'_attn_implementation' is .*luthier runs sdpa and eager alone"),
    ({"_attn_implementation_internal": "someone/kernel"}, "'_attn_implementation_internal'.*fetches no kernel"),
    ({"text_config": {"attn_implementation": "a/b:c"}}, "'text_config.attn_implementation'"),
    ({"attn_implementation": {"": "sdpa", "x": "a/b"}}, '"a/b"; luthier runs sdpa'),
    ({"_experts_implementation": "a/b"}, "runs eager and batched_mm and grouped_mm alone"),
    ({"auto_map": {"AutoConfig": "a.B"}}, "'auto_map' .*brings code of its own, which luthier never runs"),
    ({"decoder": {"trust_remote_code": True}}, "'decoder.trust_remote_code' is true"),
    ({"transformers_weights": "../x.safetensors"}, "'transformers_weights' .*leads outside"),
    ({"num_hidden_layers": 10**7}, "'num_hidden_layers' is 10000000; the weights beside it hold 29 tensors"),
    ({"num_labels": 10**7}, "'num_labels' is 10000000"),
    ({"num_attention_heads": 10**5}, "'num_attention_heads' is 100000"),
    ({"hidden_size": 10**30}, "'hidden_size' is a number of 31 digits"),
    ({"rms_norm_eps": float("nan")}, "'rms_norm_eps' is \"nan\"; it should be a number"),
    ({"dtype": "os.system"}, "'dtype' is \"os.system\"; weights of float32"),
    ({"torch_dtype": "float8_e4m3fn"}, "'torch_dtype'"),
    ({"model_type": 7}, "'model_type' is 7; it should name the model's type"),
    ({"eos_token_id": "abc"}, "'eos_token_id' is \"abc\"; it should be the number of a token"),
    ({"quantization_config": {"quant_method": "awq"}}, "the weights are quantized by awq, which luthier does not read"),
    ({"quantization_config": {"bits": 4}}, "quantized by a tool that it does not name"),
    ({"text_config": {"quantization_config": {"quant_method": "luthier_int4"}}}, "quantized by luthier_int4"),
    ({"quantization_config": {"quant_method": "luthier_int4", "modules_to_not_convert": ["(a+)+$"]}}, "of a module"),
    ({"quantization_config": {"quant_method": "luthier_int4"}}, "'modules_to_not_convert' is missing"),
    ({"quantization_config": {"quant_method": "bitsandbytes", "bnb_4bit_quant_storage": "os"}}, "_storage'"),
])  # fmt: skip
def test_what_config_json_may_not_say(change: dict[str, Any], said: str, folder: Path) -> None:
    edit(folder, "config.json", **change)
    with pytest.raises(ModelError, match=f"^{folder}/config.json: .*{said}") as refused:
        look_over(folder)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("change", [
    {"_attn_implementation": "eager"}, {"dtype": "torch.bfloat16"}, {"auto_map": {}}, {"quantization_config": None},
    {"_attn_implementation_autoset": True, "n_ctx": 10**6},
    {"max_window_layers": 28, "max_position_embeddings": 10**7}, {"time_step_limit": [0.0, float("inf")]},
])  # fmt: skip
def test_what_config_json_may_say(change: dict[str, Any], folder: Path) -> None:
    edit(folder, "config.json", **change)
    assert look_over(folder).attention == change.get("_attn_implementation")


def test_code_beside_a_tokenizer_and_ids_of_the_generation_settings(folder: Path) -> None:
    edit(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["a.B", None]})
    with pytest.raises(ModelError, match=r"tokenizer_config.json: the key 'auto_map'"):
        look_over(folder)
    edit(folder, "tokenizer_config.json", auto_map=None, model_max_length="many")
    with pytest.raises(ModelError, match="'model_max_length' is \"many\"; it should be a number"):
        look_over(folder)
    edit(folder, "tokenizer_config.json", model_max_length=512)
    edit(folder, "generation_config.json", eos_token_id=[1, "x"])
    with pytest.raises(ModelError, match=r"generation_config\.json: the key 'eos_token_id'"):
        look_over(folder)


def test_the_index_of_weights_stays_in_the_folder(folder: Path) -> None:
    names = list(tensors_in(folder))
    (folder / "model.safetensors").rename(folder / "a.safetensors")

    def write(file: str) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(names, file)}))

    write("a.safetensors")
    assert list(look_over(folder).tensors) == names
    for file, said in {"../a.safetensors": "none of this folder", "b.safetensors": "is missing"}.items():
        write(file)
        with pytest.raises(ModelError, match=said):
            look_over(folder)


@pytest.mark.parametrize("case, said", [
    ("25-quantized-folders/gptq", "config.json: the weights are quantized by gptq.*take the model that they"),
    ("26-model-folders/adapter-with-config", "adapter_config.json: an adapter lies beside config.json"),
    ("26-model-folders/bin-only", "holds no model.safetensors but pytorch_model.bin"),
    ("26-model-folders/lfs-pointer", "is a pointer of git LFS and not the weights themselves"),
    ("26-model-folders/no-tokenizer", "holds no tokenizer"),
    ("26-model-folders/truncated", "model.safetensors: is cut off: it names 69,376 bytes of weights and holds 69,368"),
    ("26-model-folders/adapter", "which holds an adapter alone; name the model that it was made of"),
    ("26-model-folders/x.gguf", "is a file, and a model is a folder"),
])  # fmt: skip
def test_folders_that_people_bring(case: str, said: str) -> None:
    if not (CASES / case).exists():
        pytest.skip(f"{CASES / case} is not there: what people bring cannot be tested")
    with pytest.raises(ModelError, match=said):
        look_over(resolve(str(CASES / case)))


def test_a_folder_is_looked_over_without_torch() -> None:
    modules = "luthier.model.allowed, luthier.model.template_trial"
    code = f"import sys, {modules}; print({{'torch', 'transformers'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["qweight", "qzeros", "weight_packed", "weight_scale_inv"])
def test_weights_of_another_quantizer_are_known_by_their_names(name: str, folder: Path) -> None:
    """config.json does not always say who quantized them; GPTQ keeps it in a file of its own."""
    weights = load_file(folder / "model.safetensors") | {f"model.layers.0.mlp.up_proj.{name}": torch.zeros(2, 2)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=rf"up_proj.{name} are quantized in another tool's form, .*make it narrow here"
    ):
        look_over(folder)
