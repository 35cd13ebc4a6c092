"""Weights laid out for few rows give the products that the layers give, and leave no trace."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.decoding import prepacked as module_of
from luthier.decoding.generate import Request, generate
from luthier.decoding.prepacked import FEWEST, MOST, PrepackedLinear, prepacked
from tests import tiny

needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch has no MKL")


def layers(**how: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 80, **how), nn.Linear(80, 7, **how))


@needs_mkl
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, FEWEST, 17, MOST, MOST + 1, 300])
def test_products_are_the_usual_ones(rows: int, bias: bool) -> None:
    module, x = layers(bias=bias), torch.randn(1, rows, 48)
    usual = module(x)
    with prepacked(module, rows=FEWEST), torch.inference_mode():
        assert all(type(layer) is PrepackedLinear for layer in module)
        ours = module(x)
        assert ours.shape == usual.shape and torch.allclose(ours, usual, rtol=1e-5, atol=1e-5)
        assert torch.equal(module(x.transpose(0, 1)), ours.transpose(0, 1))  # any layout of the input


@needs_mkl
@pytest.mark.parametrize("wrong", [torch.randn(3, 47), torch.randn(3, 48).double(), torch.randn(3, 48).bfloat16()])
def test_what_does_not_fit_is_refused_as_ever(wrong: torch.Tensor) -> None:
    """The functions below take addresses: what they were given must be what they read."""
    module = layers()
    with prepacked(module, rows=FEWEST), torch.inference_mode():
        with pytest.raises(RuntimeError):
            module(wrong)
        assert module(torch.empty(0, 48)).shape == (0, 7)


@needs_mkl
def test_a_gradient_goes_the_usual_way() -> None:
    module, x = layers(), torch.randn(3, 48)
    with prepacked(module, rows=FEWEST):
        module(x).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


@needs_mkl
def test_nothing_stays_behind() -> None:
    module = layers()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(KeyboardInterrupt), prepacked(module, rows=FEWEST):
        assert module.state_dict().keys() == before.keys()
        raise KeyboardInterrupt
    assert all(type(layer) is nn.Linear and not hasattr(layer, "packed") for layer in module)
    # The next time the weights may be others.
    with torch.no_grad():
        module[0].weight.mul_(2)
    x = torch.randn(3, 48)
    usual = module(x)
    with prepacked(module, rows=FEWEST), torch.inference_mode():
        assert torch.allclose(module(x), usual, rtol=1e-5, atol=1e-5)
        with prepacked(module, rows=FEWEST):  # a second batch meanwhile
            pass
        assert torch.allclose(module(x), usual, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("why", ["few rows", "bf16", "another layer", "another order", "too large", "another torch"])
def test_what_is_left_alone(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Special(nn.Linear):
        pass

    module: nn.Module = layers()
    if why == "bf16":
        module = module.to(torch.bfloat16)
    if why == "another layer":
        module = nn.Sequential(Special(48, 80), nn.Conv1d(1, 1, 1))
    if why == "another order":
        module = nn.Sequential(nn.Linear(48, 80))
        module[0].weight = nn.Parameter(torch.randn(48, 80).t())
    if why == "too large":
        monkeypatch.setattr(module_of, "SHARE", 1e-12)
    if why == "another torch":
        monkeypatch.setattr(module_of, "_mkl", lambda: ctypes.CDLL(None))  # it has no such functions
        monkeypatch.setattr(module_of, "_works", module_of._works.__wrapped__)  # what was found before does not count
    kinds = [type(layer) for layer in module.modules()]
    with prepacked(module, rows=FEWEST - 1 if why == "few rows" else FEWEST):
        assert [type(layer) for layer in module.modules()] == kinds


@needs_mkl
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_answers_are_the_same(kind: str, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = [Request(str(n), tuple(range(5, 9 + n)), limit=6) for n in range(FEWEST)]

    def answered() -> list[tuple[str, int]]:
        return [(event.id, event.token) for event in generate(model, requests)]

    ours = answered()
    monkeypatch.setattr(module_of, "FEWEST", FEWEST + 1)
    assert ours == answered() and len(ours) > FEWEST
