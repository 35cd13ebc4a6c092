"""Rows of unlike length decoded together say what each says alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from luthier.decoding.ragged import RaggedDecoder, _portions, supported
from luthier.decoding.roads import slow_road
from luthier.decoding.rows import BLOCK, GROUP
from luthier.model.model import Model
from luthier.planning.budget import PASS_TOKENS
from tests import tiny


def rows_of(lengths: Sequence[int], beginning: int = 0) -> list[list[int]]:
    dice = torch.Generator().manual_seed(sum(lengths))
    shared = torch.randint(5, 300, (beginning,), generator=dice).tolist()
    return [shared + torch.randint(5, 300, (length,), generator=dice).tolist() for length in lengths]


def alone(model: Model, row: Sequence[int]) -> torch.Tensor:
    """Logits behind the row, read as a whole and on its own."""
    with torch.inference_mode():
        return model.module(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1]


def follow(model: Model, rows: list[list[int]], steps: int, leave: int = 0) -> None:
    """Writes `steps` tokens; every `leave` steps a row leaves. What is said must be what each row says alone."""
    with torch.inference_mode():
        decoder = RaggedDecoder(model, rows)
        logits = decoder.start()
        for step in range(steps):
            for row, said in zip(rows, logits, strict=True):
                torch.testing.assert_close(said, alone(model, row), rtol=1e-4, atol=1e-4)
            if leave and step % leave == leave - 1 and len(rows) > 1:
                kept = [place for place in range(len(rows)) if place != step % len(rows)]
                decoder.keep(torch.tensor(kept))
                rows, logits = [rows[place] for place in kept], logits[kept]
            tokens = logits.argmax(-1)
            rows = [[*row, int(token)] for row, token in zip(rows, tokens, strict=True)]
            logits = decoder.step(tokens)


@pytest.mark.parametrize("kind", tiny.DECODERS)
@pytest.mark.parametrize("beginning", [0, 3, 40])
def test_rows_say_what_they_say_alone(kind: str, beginning: int, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    assert supported(model)
    follow(model, rows_of([1, 2, 9, 9, 30], beginning), steps=4)


def test_groups_shrink_and_vanish(tiny_folder: Callable[[str], Path]) -> None:
    follow(tiny.fresh(tiny_folder("decoder-chat")), rows_of(range(1, GROUP + 5), 20), steps=GROUP + 4, leave=1)


def test_room_grows(tiny_folder: Callable[[str], Path]) -> None:
    follow(tiny.fresh(tiny_folder("decoder-chat")), rows_of([3, 5]), steps=BLOCK + 2)


def test_one_row_shares_with_nobody(tiny_folder: Callable[[str], Path]) -> None:
    follow(tiny.fresh(tiny_folder("decoder-chat")), rows_of([50]), steps=2)


def test_what_is_shared_stands_in_memory_once(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    with torch.inference_mode():
        decoder = RaggedDecoder(model, rows_of([4, 4, 4], 200))
        decoder.start()
    (group,) = decoder.rows.groups
    assert len(decoder.rows.shared) == len(group.held) == model.module.config.num_hidden_layers
    for layer, (shared_keys_KEP, _) in decoder.rows.shared.items():
        assert shared_keys_KEP.shape[-1] == 200
        assert group.held[layer][0].shape[-1] == 4 + BLOCK


def test_a_sliding_window_is_left_to_padded_rows(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    config = MistralConfig(
        vocab_size=380, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=4,
    )  # fmt: skip
    assert not supported(replace(model, module=MistralForCausalLM(config).eval()))
    config.sliding_window = None
    assert supported(replace(model, module=MistralForCausalLM(config).eval()))


def test_a_slower_road_is_said(tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    assert slow_road(model) is None and slow_road(tiny.fresh(tiny_folder("bart"))) is None
    monkeypatch.setattr("luthier.decoding.ragged._same_logits", lambda plain: False)
    other = tiny.fresh(tiny_folder("decoder-chat"))
    assert "in one sequence its rows have other logits" in str(slow_road(other))


def test_portions_are_whole_rows() -> None:
    assert _portions([5]) == [range(1)]
    assert _portions([PASS_TOKENS - 5, 5, 1]) == [range(2), range(2, 3)]
    assert _portions([PASS_TOKENS + 7, 3, PASS_TOKENS]) == [range(1), range(1, 2), range(2, 3)]
