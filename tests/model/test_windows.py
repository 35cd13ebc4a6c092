"""A window that config.json names is tried, however long: on the same weights, with windows of a few tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from luthier.decoding import ragged
from luthier.decoding.roads import road_of
from luthier.model import attention, shared, windows
from luthier.model.model import Model, load
from luthier.model.together import padded_alike
from tests import tiny
from tests.sweep.folders import make

LONG = 64  # tokens: rows of a trial have about ten
# Names in config.json, and whether a copy has shorter ones.
NAMED = {
    "mistral": ("sliding_window", True),
    "gemma2": ("sliding_window", True),
    "llama4_text": ("attention_chunk_size", True),
    "led": ("attention_window", True),
    "modernbert": ("local_attention", True),
    "gpt_neo": ("window_size", False),  # tables of its window are made when it is built
}


def with_long_window(architecture: str, folder: Path, precision: str = "fp32") -> Model:
    path = make(architecture, folder) / "config.json"
    config, (name, _) = json.loads(path.read_text()), NAMED[architecture]
    config[name] = [LONG] * len(config[name]) if isinstance(config[name], list) else LONG
    path.write_text(json.dumps(config))
    labels = tiny.LABELS if architecture == "modernbert" else ()
    return load(str(folder), precision=precision, device="cpu", labels=labels)


def logits_of(module: torch.nn.Module, family: str) -> torch.Tensor:
    ids = torch.arange(20, 32)[None]
    more = {"decoder_input_ids": ids} if family == "encoder-decoder" else {}
    with torch.no_grad():
        logits: torch.Tensor = module(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits
    return logits


@pytest.mark.parametrize("architecture", NAMED)
def test_a_copy_has_the_same_weights_and_short_windows(architecture: str, tmp_path: Path) -> None:
    model = with_long_window(architecture, tmp_path / "model")
    name, is_narrowed = NAMED[architecture]
    assert windows.named(model.module)[name] == LONG
    before = logits_of(model.module, model.family)
    narrow = windows.narrowed(model.module)
    assert narrow is not None and {id(p) for p in narrow.parameters()} == {id(p) for p in model.module.parameters()}
    assert torch.equal(logits_of(narrow, model.family), before) != is_narrowed
    assert torch.equal(logits_of(model.module, model.family), before) and windows.named(model.module)[name] == LONG
    assert padded_alike(model.module, model.family)
    if model.family != "encoder":
        assert road_of(model) == "padded"


def test_what_names_no_window_is_tried_as_it_is(tmp_path: Path) -> None:
    module = load(str(make("llama", tmp_path / "llama")), precision="fp32", device="cpu").module
    assert not windows.named(module) and windows.narrowed(module) is None
    assert windows.narrowed(torch.nn.Linear(1, 1)) is None
    module.config.sliding_window, module.config.max_window_layers = None, 28  # type: ignore[union-attr]
    assert not windows.named(module)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_way_that_passes_over_a_long_window_is_not_taken(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if rows in one sequence knew nothing of windows: short rows alone would not show it."""
    model = with_long_window("mistral", tmp_path / "model", precision)
    for way in (ragged, shared):
        monkeypatch.setattr(way, "keeps_every_token", lambda module: True)
        monkeypatch.setattr(way, "refuse_unlike", lambda how: None)
        monkeypatch.setattr(way, "_TRIALS", attention.Trials())
    with monkeypatch.context() as patch:
        patch.setattr(windows, "narrowed", lambda module: None)
        assert ragged.supported(model) and shared.supported(model.module)
    for way in (ragged, shared):
        monkeypatch.setattr(way, "_TRIALS", attention.Trials())
    assert not ragged.supported(model) and not shared.supported(model.module)
    assert road_of(model) == "padded"
