"""A bound on memory becomes a length of micro-batches, or a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from luthier.adapt.methods import method
from luthier.decoding.answers import asking
from luthier.decoding.requests import Request, plan
from luthier.errors import SettingsError
from luthier.model.forward import collate, supervised_loss
from luthier.model.prepacked import PrepackedLinear
from luthier.planning.budget import CACHE_FACTOR, PROGRAM_BYTES, Asked, Room
from luthier.records import Prompt
from luthier.training import memory
from luthier.training.batches import length_of
from luthier.training.memory import (  # fmt: skip
    NO_BOUND,
    Bound,
    answering_room,
    cache_bytes,
    kept_bytes,
    micro_tokens,
    trained_bytes,
    weight_bytes,
)
from tests import tiny


class Case:
    """A tiny decoder with lora, and the forward pass that training takes."""

    def __init__(self, folder: Path) -> None:
        model = tiny.fresh(folder)
        self.module: Any = method("lora").apply(model, method("lora").settings(), 0)
        self.prompts = tiny.train_prompts(model, 6)
        self.longest = max(map(length_of, self.prompts))

    def loss(self, prompts: list[Prompt]) -> Tensor:
        return supervised_loss(self.module, collate(prompts, self.module, "decoder"))[0]

    def bounded(self, bound_bytes: float | None) -> int:
        return micro_tokens(self.module, self.loss, self.prompts, Bound(bound_bytes, training=True))

    def fixed(self, training: bool = True) -> float:
        return PROGRAM_BYTES + weight_bytes(self.module) + (trained_bytes(self.module) if training else 0)

    def kept(self) -> int:
        return kept_bytes(self.module, lambda: self.loss([max(self.prompts, key=length_of)]))


@pytest.fixture
def case(tiny_folder: Callable[[str], Path]) -> Case:
    return Case(tiny_folder("decoder-chat"))


def test_what_one_layer_keeps() -> None:
    """A square keeps its input; a weight is no activation, and a storage that two views share counts once."""
    layer, x = nn.Linear(10, 10, bias=False), torch.ones(4, 10, requires_grad=True)
    assert kept_bytes(layer, lambda: (layer(x) ** 2).sum()) == 2 * 4 * 10 * 4  # x, and what is squared
    assert kept_bytes(layer, lambda: (x.view(40) ** 2).sum() + (x**2).sum()) == 4 * 10 * 4


def test_a_probe_leaves_nothing_behind(case: Case) -> None:
    """A graph that kept its own outputs would never be freed."""
    import gc

    def alive() -> int:
        while gc.collect():  # what other tests left may take more than one turn
            pass
        return sum(isinstance(x, Tensor) for x in gc.get_objects())

    case.kept()
    before = alive()
    case.kept()
    assert alive() == before


def test_what_moves_is_held_five_times() -> None:
    layer = nn.Linear(10, 10, bias=False)
    assert (weight_bytes(layer), trained_bytes(layer)) == (
        400,
        4 * 400,
    )  # itself; gradient, two moments, the best so far
    assert trained_bytes(layer.bfloat16()) == 5 * 400  # and in 16 bits its master
    assert trained_bytes(layer.requires_grad_(False)) == 0


def test_without_a_bound_the_usual_length(case: Case) -> None:
    assert case.bounded(None) == memory.USUAL_TOKENS["cpu"]


def test_a_smaller_bound_gives_shorter_micro_batches(case: Case) -> None:
    roomy, tight = (case.bounded(case.fixed() + factor * case.kept()) for factor in (8, 3))
    assert case.longest <= tight < roomy
    assert not any(getattr(layer, "gradient_checkpointing", False) for layer in case.module.modules())


def test_a_tight_bound_recomputes_layers_and_changes_no_gradient(case: Case) -> None:
    def gradients() -> dict[str, Tensor]:
        case.module.zero_grad(set_to_none=True)
        case.loss(case.prompts).backward()
        return {n: p.grad.clone() for n, p in case.module.named_parameters() if p.grad is not None}

    tiny.scramble(case.module)
    case.module.train()
    plain, kept = gradients(), case.kept()
    assert case.bounded(case.fixed() + 1.2 * kept) >= case.longest
    assert any(getattr(layer, "gradient_checkpointing", False) for layer in case.module.modules())
    assert case.kept() < kept / 2
    recomputed = gradients()
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        assert torch.allclose(gradient, recomputed[name], rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def test_a_bound_that_cannot_be_kept_is_refused(case: Case) -> None:
    with pytest.raises(
        SettingsError, match=rf"longest example, {case.longest} tokens, needs .* GB; the bound is 0.5 GB"
    ):
        case.bounded(0.5e9)


def test_the_base_that_stays_beside_is_counted_once(case: Case) -> None:
    base = nn.Linear(10, 10, bias=False)
    for bound in (Bound(1e9), Bound(1e9).while_training()):
        alone = case.fixed(bound.training)
        assert bound.fixed(case.module) == alone == replace(bound, base=case.module).fixed(case.module)
        assert replace(bound, base=base).fixed(case.module) == alone + 400


# --- answering ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*tiny.DECODERS, "t5-untied", "bart"])
def test_a_token_takes_its_keys_and_values_in_every_layer(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    module: Any = tiny.fresh(tiny_folder(kind)).module
    ids = torch.arange(5, 12)[None]
    if kind in tiny.DECODERS:
        layers = module(input_ids=ids, use_cache=True).past_key_values.layers
    else:
        cache = module(input_ids=ids, decoder_input_ids=ids, use_cache=True).past_key_values
        layers = cache.cross_attention_cache.layers
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert cache_bytes(module) == held / ids.shape[1]


def test_a_bound_shortens_batches_of_answers_and_then_weights_are_not_laid_out(case: Case) -> None:
    """Beside keys and values: a pass that reads, logits of every row, and whole blocks of what MKL lays out."""
    config, asked = case.module.config, Asked(longest=20, shortest=15, prompt=12, prompts=30)
    inside = 4 * (3 * config.intermediate_size + 8 * config.hidden_size)
    each = CACHE_FACTOR * cache_bytes(case.module) + config.vocab_size * 8 / 15
    plain = [one for one in case.module.modules() if type(one) is PrepackedLinear]
    weights = sum(4 * one.in_features * 512 * math.ceil(one.out_features / 512) for one in plain)
    assert weights > 2 * weight_bytes(case.module)  # of layers of few outputs

    def room(tokens: int, more: float = 0) -> Room:
        bound = Bound(case.fixed(False) + 30 * inside + more + (tokens + 0.5) * each)
        return answering_room(case.module, asked, bound)

    assert answering_room(case.module, asked, NO_BOUND) == Room(None, True)
    many = int(weights / each)
    assert room(3 * many, more=weights) == Room(3 * many, True)
    assert room(many // 2) == Room(many // 2, False)
    assert room(20).tokens == 20
    with pytest.raises(SettingsError, match=r"longest prompt with its answer, 20 tokens, needs .*; allow more"):
        room(19)


def test_batches_keep_to_the_tokens_that_there_is_room_for() -> None:
    requests = [Request(f"{i:02d}", tuple(range(10 + i)), 8) for i in range(12)]
    batches = plan(requests, shared=4, most_tokens=64)
    assert sorted(r.id for batch in batches for r in batch) == [r.id for r in requests]
    for batch in batches:
        assert len(batch) == 1 or 4 + len(batch) * (max(len(r.prompt_ids) for r in batch) - 4 + 8) <= 64
    assert len(plan(requests, shared=4)) == 1 < len(batches) < len(requests)
    assert all(len(batch) == 1 for batch in plan(requests, most_tokens=1))


def test_answers_under_a_bound_are_the_same(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    tiny.scramble(model.module)
    prompts = tiny.train_prompts(model, 12)
    longest = max(len(p.prompt_ids) for p in prompts) + 6
    costs = memory.answering_costs(model.module, Asked(longest, longest, longest, 12 * longest))
    bound = Bound(Bound(1).fixed(model.module) + costs.once + 2.5 * longest * costs.token)
    free, bounded = (asking(model, prompts, "generation", limit=6, bound=some) for some in (NO_BOUND, bound))
    assert len(bounded.batches) > len(free.batches) == 1
    texts = [{a.id: a.text for batch in some.batches for a in some.answer(batch)} for some in (free, bounded)]
    assert texts[0] == texts[1]
