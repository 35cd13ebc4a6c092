"""Rows answered one after the other say what a whole pass over each says; no cache, padding or neighbour changes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from luthier.decoding.alone import AloneDecoder
from luthier.decoding.padded import decoder_of
from luthier.model.model import Model
from tests import tiny

PROMPTS = [tuple(range(20, 29)), tuple(range(40, 43)), tuple(range(60, 75))]


def follow(model: Model, decoder: AloneDecoder, other: object) -> None:
    """Both give the same logits while rows are written, and after the middle one has left."""
    with torch.inference_mode():
        logits, theirs = decoder.start(), other.start()  # type: ignore[attr-defined]
        for step in range(4):
            torch.testing.assert_close(logits, theirs, rtol=1e-4, atol=1e-4)
            tokens = logits.argmax(-1)
            logits, theirs = decoder.step(tokens), other.step(tokens)  # type: ignore[attr-defined]
            if step == 1:
                kept = torch.tensor([0, 2])
                assert decoder.keep(kept) == other.keep(kept) == [0, 2]  # type: ignore[attr-defined]
                logits, theirs = logits[kept], theirs[kept]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_they_say_what_a_padded_batch_says(kind: str, whole: bool, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    follow(model, AloneDecoder(model, PROMPTS, whole), decoder_of(model)(model, PROMPTS))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("kind", ["decoder-chat", "t5-tied"])
def test_a_row_may_be_taken_several_times(kind: str, whole: bool, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    mine, theirs = AloneDecoder(model, PROMPTS[:1], whole), decoder_of(model)(model, PROMPTS[:1])
    with torch.inference_mode():
        for decoder in (mine, theirs):
            decoder.start()
            decoder.rearrange(torch.tensor([0, 0, 0]), 0)
        for tokens, rows in (([9, 10, 11], [2, 0, 2]), ([12, 13, 14], [1, 1, 0]), ([15, 16, 17], [0, 1, 2])):
            said = [decoder.step(torch.tensor(tokens)) for decoder in (mine, theirs)]
            torch.testing.assert_close(said[0], said[1], rtol=1e-4, atol=1e-4)
            for decoder in (mine, theirs):
                decoder.rearrange(torch.tensor(rows), 1)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("kind", ["decoder-chat", "bart"])
def test_a_learned_prompt_and_a_learned_prefix_stand_in_front(
    kind: str, whole: bool, tiny_folder: Callable[[str], Path]
) -> None:
    model = tiny.fresh(tiny_folder(kind))
    dice = torch.Generator().manual_seed(1)
    soft = model.adapted(model.module, torch.randn(5, 32, generator=dice))
    follow(soft, AloneDecoder(soft, PROMPTS, whole), decoder_of(soft)(soft, PROMPTS))
    heads, layers = (2, 3) if kind == "decoder-chat" else (4, 2)
    states = tuple(tuple(torch.randn(heads, 4, 8, generator=dice) for _ in range(2)) for _ in range(layers))
    prefix = model.adapted(model.module, prefix_states=states)  # type: ignore[arg-type]
    follow(prefix, AloneDecoder(prefix, PROMPTS, whole), decoder_of(prefix)(prefix, PROMPTS))


def test_greedy_tokens_are_those_of_the_slow_way(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("gpt2"))
    with torch.inference_mode():
        decoder = AloneDecoder(model, PROMPTS)
        said = [decoder.start().argmax(-1)]
        for _ in range(4):
            said.append(decoder.step(said[-1]).argmax(-1))
    for row, prompt in enumerate(PROMPTS):
        assert [int(tokens[row]) for tokens in said] == tiny.slow_greedy(model.module, prompt, "decoder", 5, ())
