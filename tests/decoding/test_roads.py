"""The way in which a model answers is the fastest that says what its rows say alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.decoding.generate import fold, generate
from luthier.decoding.requests import Request
from luthier.decoding.roads import road_of, slow_road
from luthier.model.model import Model, load
from tests import tiny
from tests.sweep.folders import make, not_greedy

PROMPTS = [tuple(range(20, 50)), tuple(range(40, 43)), tuple(range(60, 75))]


def answers_are_right(model: Model) -> None:
    """Rows that end apart, each token the likeliest of a whole pass over its row."""
    requests = [Request(str(row), prompt, 4 + 3 * row) for row, prompt in enumerate(PROMPTS)]
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
