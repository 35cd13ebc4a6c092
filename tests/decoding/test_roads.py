"""The way in which a model answers is the fastest that says what its rows say alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.decoding.generate import fold, generate
from luthier.decoding.padded import PaddedDecoder
from luthier.decoding.requests import Request
from luthier.decoding.roads import road_of, slow_road
from luthier.model.model import Model, load
from luthier.model.together import padded_alike
from tests import tiny
from tests.sweep.folders import make, not_greedy

PROMPTS = [tuple(range(20, 50)), tuple(range(40, 43)), tuple(range(60, 75))]


def answers_are_right(model: Model, prompts: list[tuple[int, ...]] = PROMPTS) -> None:
    """Rows that end apart, each token the likeliest of a whole pass over its row."""
    requests = [Request(str(row), prompt, 4 + 3 * row) for row, prompt in enumerate(prompts)]
    for answer in fold(generate(model, requests), model.tokenizer):
        request = requests[int(answer.id)]
        assert not not_greedy(
            model.module, model.family, request.prompt_ids, answer.tokens, request.limit, model.end_ids
        )


@pytest.mark.parametrize("architecture, road", [
    ("llama", "ragged"), ("gemma2", "padded"),
    ("mamba", "padded"), ("jamba", "padded"), ("zamba2", "whole"), ("t5", "padded"),
    ("t5gemma", "padded"), ("t5gemma2", "padded"),
])  # fmt: skip
def test_the_fastest_way_that_is_right(architecture: str, road: str, tmp_path: Path) -> None:
    model = load(str(make(architecture, tmp_path / architecture)), precision="fp32", device="cpu")
    assert road_of(model) == road
    answers_are_right(model)
    assert (slow_road(model) is None) == (architecture in ("llama", "t5", "t5gemma", "t5gemma2"))


@pytest.mark.parametrize("architecture, is_read_once", [("bloom", True), ("gpt_neo", False), ("mpt", False)])
def test_padded_rows_read_once_what_they_share_where_that_is_right(
    architecture: str, is_read_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding stands behind what they share. GPT-Neo's window of 8 tokens and MPT's distances count it."""
    model = load(str(make(architecture, tmp_path / architecture)), precision="fp32", device="cpu")
    begin = tuple(range(100, 120))
    prompts = [(*begin, *prompt) for prompt in PROMPTS]
    assert road_of(model) == "padded"
    assert len(PaddedDecoder(model, prompts).shared) == (len(begin) if is_read_once else 0)
    answers_are_right(model, prompts)
    monkeypatch.setattr("luthier.decoding.padded._shared_length", lambda model, prompts: len(begin))
    with contextlib.nullcontext() if is_read_once else pytest.raises(AssertionError):
        answers_are_right(model, prompts)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [
    "llama", "gpt2", "mistral", "gemma2", "gemma3_text", "llama4_text", "mixtral", "phi3", "olmo2", "gpt_neox", "bloom",
    "mamba", "mamba2", "jamba", "t5", "t5gemma", "bart", "led",
])  # fmt: skip
def test_both_precisions_take_one_way(architecture: str, tmp_path: Path) -> None:
    folder = str(make(architecture, tmp_path / architecture))
    wide, narrow = (load(folder, precision=precision, device="cpu") for precision in ("fp32", "bf16"))
    assert road_of(narrow) == road_of(wide), "rounding hides no way that is wrong, and makes none that is right wrong"
    assert padded_alike(narrow.module, narrow.family) == padded_alike(wide.module, wide.family)


@pytest.mark.parametrize("kind", ["decoder-chat", "bart"])
@pytest.mark.parametrize("cache_is_right", [True, False])
def test_rows_that_a_batch_changes_are_answered_one_after_the_other(
    kind: str, cache_is_right: bool, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.decoding.ragged.supported", lambda model: False)
    monkeypatch.setattr("luthier.decoding.padded.supported", lambda model: False)
    monkeypatch.setattr("luthier.decoding.roads._cache_is_right", lambda model: cache_is_right)
    model = tiny.fresh(tiny_folder(kind))
    road = road_of(model)
    assert road == ("cached" if cache_is_right and kind == "decoder-chat" else "whole")
    answers_are_right(model)
    said = str(slow_road(model))
    assert "rows are answered one after the other" in said
    assert ("each is read anew for every token" in said) == (road == "whole")
