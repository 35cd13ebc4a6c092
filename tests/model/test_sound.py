"""Whether a model is sound: sizes, numbers, tokens; what passed once for the same bytes is not looked at again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from luthier.errors import ModelError, PromptError
from luthier.model import sound
from luthier.model.model import load
from tests.sweep.folders import make

CASES = Path(__file__).parents[3] / "shared" / "cases"


@pytest.fixture
def folder(tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(tiny_folder("decoder-plain"), tmp_path / "model"))


def anew(folder: Path) -> Any:
    return load(str(folder), precision="fp32", device="cpu")


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_one_weight_that_is_no_number_is_named(value: float, folder: Path) -> None:
    anew(folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 7] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"the weights model.layers.1.mlp.up_proj.weight hold 1 of 1,536 that are NaN or"
    ):
        anew(folder)


def test_settings_that_spoil_sound_weights_are_named(folder: Path) -> None:
    edit(folder, rms_norm_eps=-1e9)
    with pytest.raises(ModelError, match=r"config.json: with these settings the model's probabilities are NaN"):
        anew(folder)


def test_a_larger_model_than_the_weights_is_refused_before_it_is_built(folder: Path) -> None:
    edit(folder, intermediate_size=10**9)
    with pytest.raises(ModelError, match=r"config.json: its sizes make a model of 288,000,021,600 .*hold 35,424"):
        anew(folder)
    edit(folder, intermediate_size=48, num_hidden_layers=28)  # no more than there are tensors
    with pytest.raises(ModelError, match=r"lack|sizes"):
        anew(folder)


def test_what_passed_is_not_looked_at_again_and_other_bytes_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look = sound._logits
    monkeypatch.setattr(sound, "_logits", lambda module, family: asked.append(family) or look(module, family))
    anew(folder)
    anew(folder)
    assert len(asked) == 1
    edit(folder, rms_norm_eps=1e-5)
    anew(folder)
    load(str(folder), precision="bf16", device="cpu")
    assert len(asked) == 3


def test_looking_draws_nothing(folder: Path) -> None:
    """Whether a model was looked at before must not change what a seed draws after it."""
    torch.manual_seed(0)
    anew(folder)
    first = torch.rand(1)
    torch.manual_seed(0)
    anew(folder)
    assert torch.equal(torch.rand(1), first)


def test_tokens_without_embeddings(tiny_folder: Callable[[str], Path], folder: Path) -> None:
    if (case := CASES / "22-added-tokens" / "added-tokens").exists():
        with pytest.raises(
            ModelError, match=r"has 382 tokens and the model 380 embeddings, so the token 'dentist' .id 380."
        ):
            anew(case)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | {"id": 380, "content": "harbour"})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match=r"the token 'harbour' .id 380. and 0 more have none"):
        anew(folder)
    edit(Path(shutil.copytree(tiny_folder("bart"), folder.parent / "bart")), decoder_start_token_id=10**6)
    with pytest.raises(ModelError, match="'decoder_start_token_id' is 1000000"):
        anew(folder.parent / "bart")


def test_a_pattern_that_a_tokenizer_cannot_carry_out(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Isolated",
        "invert": False,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises((ModelError, PromptError), match="retry-limit"):
        anew(folder)


@pytest.mark.parametrize("kind", ["decoder-chat", "gpt2", "t5-tied", "bart"])
def test_attention_is_chosen_here(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """sdpa where the architecture has it, or eager where config.json says so; then ours may stand for sdpa."""
    assert anew(tiny_folder(kind)).module.config._attn_implementation in ("sdpa", "luthier", "eager")


def test_rows_of_positions_that_are_never_reached_are_no_window(tmp_path: Path) -> None:
    """RoBERTa counts positions from behind its padding token's number, so two of its rows are never reached."""
    made = load(str(make("roberta", tmp_path / "made")), precision="fp32", device="cpu", labels=("a", "b"))
    rows = made.module.get_submodule("roberta.embeddings.position_embeddings").num_embeddings
    padding = made.module.config.pad_token_id
    assert made.window == rows - padding - 1 < rows
    ids = torch.arange(4, 4 + made.window)[None]
    made.module(input_ids=ids, attention_mask=torch.ones_like(ids))
    with pytest.raises((IndexError, RuntimeError)):
        longer = torch.cat([ids, ids[:, :1]], 1)
        made.module(input_ids=longer, attention_mask=torch.ones_like(longer))


def test_a_window_longer_than_the_positions_is_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make("gpt2", tmp_path / "made")
    assert anew(folder).window == 256
    monkeypatch.setattr("luthier.model.model._window", lambda config, tokenizer: 258)
    assert anew(folder).window == 256
    monkeypatch.setattr("luthier.model.model._window", lambda config, tokenizer: 300)
    with pytest.raises(ModelError, match="the model has no 293 positions, and its window is said to be of 300"):
        anew(folder)


@pytest.mark.parametrize("architecture, precision", [
    ("xlnet", "fp32"), ("bert-generation", "fp32"), ("bert-generation", "bf16"), ("prophetnet", "bf16"),
])  # fmt: skip
def test_a_model_that_sees_later_tokens_does_not_write(architecture: str, precision: str, tmp_path: Path) -> None:
    folder = make(architecture, tmp_path / "made")
    with pytest.raises(ModelError, match="depends on tokens behind it, so it does not write text from left to right"):
        load(str(folder), precision=precision, device="cpu")
