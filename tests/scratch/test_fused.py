"""The steps of the transformer that pass over memory less often give what the plain ones give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from luthier.scratch import fused
from luthier.scratch.fused import HeadNorm, RMSNorm
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer, rotations, turned

# Of the largest number. In bf16 the plain operations round once more, between the norm and the turn.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}


def results(call: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, *moved: torch.Tensor) -> list[torch.Tensor]:
    """What a call gives, and the gradients of its input and of what else moves."""
    x = x.clone().requires_grad_()
    y = call(x)
    given = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, (x, *moved), given)]


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("kind", TOLERANCE)
def test_queries_are_normed_and_turned(kind: torch.dtype, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    norm = HeadNorm(16, eps=1e-5).to(torch.float64 if kind == torch.float64 else torch.float32)
    nn.init.normal_(norm.weight)
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 0, 1, 2, 3]])
    turn = rotations(positions, Shape(vocabulary=9, width=48, heads=3))
    x = torch.randn(2, 7, 3, 16).to(kind).transpose(1, 2)
    monkeypatch.setattr(fused, "PIECE", pieces * x[0].numel())
    plain = results(lambda x: turned(nn.RMSNorm.forward(norm, x.to(norm.weight.dtype)), turn), x, norm.weight)
    ours = results(lambda x: fused.normed_and_turned(x, norm.weight, 1e-5, *turn), x, norm.weight)
    assert ours[0].dtype == kind
    for mine, theirs in zip(ours, plain, strict=True):
        assert (mine.to(theirs.dtype) - theirs).abs().max() <= TOLERANCE[kind] * theirs.abs().max()


@pytest.mark.parametrize("kind", TOLERANCE)
def test_a_squared_relu_is_the_square_of_a_relu(kind: torch.dtype) -> None:
    x = torch.linspace(-2, 3, 21).view(3, 7).to(kind)
    for mine, theirs in zip(results(fused.squared_relu, x), results(lambda x: x.relu().square(), x), strict=True):
        assert mine.dtype == theirs.dtype == kind
        assert (mine - theirs).abs().max() <= TOLERANCE[kind] * theirs.abs().max()


@pytest.mark.parametrize("kind", TOLERANCE)
def test_summed_nats_are_the_cross_entropy(kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces of two positions and a shorter last one; the loss may be multiplied before it goes back."""
    monkeypatch.setattr(fused, "PIECE", 22)
    x, targets = torch.linspace(-2, 3, 77).view(7, 11).to(kind), torch.tensor([0, 3, 10, 10, 5, 1, 2])
    plain = results(
        lambda x: F.cross_entropy(x.to(torch.promote_types(kind, torch.float32)), targets, reduction="sum"), x
    )
    for mine, theirs in zip(results(lambda x: fused.summed_nats(x, targets), x), plain, strict=True):
        assert mine.dtype == theirs.dtype
        assert (mine - theirs).abs().max() <= TOLERANCE[kind] * theirs.abs().max()


@pytest.mark.parametrize("frozen", [True, False])
def test_nats_that_are_only_read_make_no_gradient(frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, targets = torch.linspace(-2, 3, 77).view(7, 11).requires_grad_(not frozen), torch.tensor([0, 3, 10, 10, 5, 1, 2])
    trained = fused.summed_nats(x.detach().requires_grad_(), targets)
    monkeypatch.setattr(torch, "empty_like", lambda *like: pytest.fail("room for a gradient"))
    with torch.set_grad_enabled(frozen):
        assert torch.equal(fused.summed_nats(x, targets), trained)


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_a_norm_is_torchs(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    ours, theirs = RMSNorm(24, eps=1e-5).to(kind), nn.RMSNorm(24, eps=1e-5).to(kind)
    with torch.no_grad():
        theirs.weight.copy_(nn.init.normal_(ours.weight))
    x = 3 * torch.randn(2, 5, 24, dtype=kind)
    for mine, one in zip(results(ours, x, ours.weight), results(theirs, x, theirs.weight), strict=True):
        assert (mine - one).abs().max() <= TOLERANCE[kind] * one.abs().max()


@pytest.mark.parametrize("documents", [None, torch.tensor([[0] * 30 + [1] * 50 + [2] * 20])])
def test_a_training_pass_gives_the_logits_of_a_pass_without_gradients(documents: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    model = Transformer(Shape(vocabulary=31, width=32, heads=4, kv_heads=2, qk_norm=True, activation="relu2"))
    ids = torch.randint(0, 31, (1, 100))
    with torch.no_grad():
        maps: dict[str, torch.Tensor] = {}  # asked for, they are made by plain products
        plain = model(ids, documents, maps=maps)
    torch.testing.assert_close(model(ids, documents), plain, atol=1e-4, rtol=0)
