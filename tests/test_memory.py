"""A bound on memory becomes a length of micro-batches, or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from luthier import memory
from luthier.adapt import method
from luthier.batches import length_of
from luthier.errors import SettingsError
from luthier.loss import collate, supervised_loss
from luthier.memory import PROGRAM, held_bytes, kept_bytes, micro_tokens
from luthier.records import Prompt
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
        return micro_tokens(self.module, self.loss, self.prompts, bound_bytes)

    def fixed(self) -> float:
        return PROGRAM + held_bytes(self.module)

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
        gc.collect()
        return sum(isinstance(x, Tensor) for x in gc.get_objects())

    case.kept()
    before = alive()
    case.kept()
    assert alive() == before


def test_what_moves_is_held_five_times() -> None:
    layer = nn.Linear(10, 10, bias=False)
    assert held_bytes(layer) == 400 + 4 * 400  # itself, gradient, two moments, the best so far
    assert held_bytes(layer.requires_grad_(False)) == 400


def test_without_a_bound_the_usual_length(case: Case) -> None:
    assert case.bounded(None) == memory.USUAL["cpu"]


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
    with pytest.raises(SettingsError, match=rf"example of {case.longest} tokens, needs .* GB; the bound is 0.5 GB"):
        case.bounded(0.5e9)
