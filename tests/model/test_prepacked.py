"""Weights laid out for few rows give the products that the layers give, and leave no trace."""

from __future__ import annotations

import copy
import ctypes
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luthier.decoding.generate import generate
from luthier.decoding.requests import Request
from luthier.model import prepacked as module_of
from luthier.model.prepacked import MOST_ROWS, has_laid_out_weight, laid_out_weights, make_ready
from luthier.model.sizes import FEWEST_ROWS
from tests import tiny

FP32, BF16 = torch.float32, torch.bfloat16
needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this torch has no MKL")
in_bf16 = pytest.param(
    BF16, marks=pytest.mark.skipif(not module_of._onednn_works(), reason="no packed bf16 on this processor")
)
in_both = pytest.mark.parametrize("kind", [pytest.param(FP32, marks=needs_mkl), in_bf16])


def layers(kind: torch.dtype = FP32, **how: bool) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(48, 80, **how), nn.Linear(80, 7, **how)).to(kind)
    make_ready(made)
    return made


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two products are equal but for the order of their terms, and in bf16 for the last of its 8 bits."""
    within = 2**-7 if one.dtype == BF16 else 1e-5
    return torch.allclose(one, other, rtol=within, atol=within)


def taken(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every product that is taken with laid-out weights from now on."""
    module_of._mkl_works()  # its own products, of the first time, do not count
    rows: list[int] = []

    def note(name: str) -> None:
        multiply = getattr(module_of, name)

        def noting(x: torch.Tensor, *rest: Any, **how: Any) -> Any:
            rows.append(x.numel() // x.shape[-1])
            return multiply(x, *rest, **how)

        monkeypatch.setattr(module_of, name, noting)

    note("_multiply")
    note("_multiply_in_bf16")
    return rows


@in_both
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, FEWEST_ROWS, 17, MOST_ROWS, MOST_ROWS + 1, 300])
def test_products_are_the_usual_ones(rows: int, bias: bool, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = layers(kind, bias=bias), torch.randn(1, rows, 48, dtype=kind)
    usual, noted = module(x), taken(module, monkeypatch)
    with laid_out_weights(module, rows=FEWEST_ROWS).in_use(), torch.inference_mode():
        ours = module(x)
        assert noted == ([rows] * 2 if rows <= MOST_ROWS or kind == BF16 else [])
        assert ours.shape == usual.shape and alike(ours, usual)
        assert torch.equal(module(x.transpose(0, 1)), ours.transpose(0, 1))  # any layout of the input


@in_both
@pytest.mark.parametrize("width, other", [(47, None), (48, torch.double), (48, FP32), (48, BF16)])
def test_what_does_not_fit_is_refused_as_ever(width: int, other: torch.dtype | None, kind: torch.dtype) -> None:
    """The functions below take addresses: what they were given must be what they read."""
    module, wrong = layers(kind), torch.randn(3, width, dtype=other or kind)
    if width == 48 and other == kind:
        wrong = wrong.half()
    with laid_out_weights(module, rows=FEWEST_ROWS).in_use(), torch.inference_mode():
        with pytest.raises(RuntimeError):
            module(wrong)
        assert module(torch.empty(0, 48, dtype=kind)).shape == (0, 7)


@in_both
def test_a_gradient_goes_the_usual_way(kind: torch.dtype) -> None:
    module, x = layers(kind), torch.randn(3, 48, dtype=kind)
    with laid_out_weights(module, rows=FEWEST_ROWS).in_use():
        module(x).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


@in_both
def test_only_the_call_that_brought_them_multiplies_with_them(
    kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = layers(kind), torch.randn(3, 48, dtype=kind)
    noted = taken(module, monkeypatch)
    weights = laid_out_weights(module, rows=FEWEST_ROWS)
    with torch.inference_mode():
        with pytest.raises(KeyboardInterrupt), weights.in_use():
            module(x)
            with ThreadPoolExecutor(1) as other:  # a thread of its own, which brought none
                other.submit(torch.inference_mode()(module), x).result()
            raise KeyboardInterrupt
        module(x)
    assert len(noted) == len(module)


@in_both
def test_batches_of_the_same_time_share_them_unless_the_weights_changed(kind: torch.dtype) -> None:
    module, x = layers(kind), torch.randn(3, 48, dtype=kind)
    first = laid_out_weights(module, rows=FEWEST_ROWS)
    assert laid_out_weights(module, rows=FEWEST_ROWS + 3) is first
    assert not has_laid_out_weight(module[0])
    with first.in_use():
        assert has_laid_out_weight(module[0])
    for change in ("in place", "behind torch's back"):
        with torch.no_grad():
            (module[0].weight if change == "in place" else module[0].weight.data).mul_(2)
        usual = module(x)
        second = laid_out_weights(module, rows=FEWEST_ROWS)  # an unfinished answer still holds the first
        assert second is not first, change
        with second.in_use(), torch.inference_mode():
            assert alike(module(x), usual)
    gone = weakref.ref(second)
    del second
    assert gone() is None, "laid-out weights go with the batch"


def test_to_be_ready_changes_no_name_and_no_number() -> None:
    torch.manual_seed(0)
    plain, module = nn.Sequential(nn.Linear(48, 80), nn.Linear(80, 7)), layers()
    x = torch.randn(3, 48)
    assert all(isinstance(layer, nn.Linear) for layer in module)
    assert module.state_dict().keys() == plain.state_dict().keys() and torch.equal(module(x), plain(x))
    assert torch.equal(copy.deepcopy(module)(x), plain(x))


@pytest.mark.parametrize("why", ["few rows", "fp16", "another layer", "another order", "too large", "another torch"])
def test_what_is_left_alone(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Special(nn.Linear):
        pass

    module: nn.Module = layers()
    if why == "fp16":
        module = module.to(torch.float16)
    if why == "another layer":
        module = nn.Sequential(Special(48, 80), nn.Conv1d(1, 1, 1))
    if why == "another order":
        module = nn.Sequential(nn.Linear(48, 80))
        module[0].weight = nn.Parameter(torch.randn(48, 80).t())
    if why == "too large":
        monkeypatch.setattr(module_of, "MOST_MEMORY_SHARE", 1e-12)
    if why == "another torch":
        monkeypatch.setattr(module_of, "_mkl", lambda: ctypes.CDLL(None))  # it has no such functions
        # Without the cached result.
        monkeypatch.setattr(module_of, "_mkl_works", module_of._mkl_works.__wrapped__)
    kinds = [type(layer) for layer in module.modules()]
    make_ready(module)
    with laid_out_weights(module, rows=FEWEST_ROWS - 1 if why == "few rows" else FEWEST_ROWS).in_use():
        assert not any(map(has_laid_out_weight, module.modules()))
    assert [type(layer) for layer in module.modules()] == kinds


@pytest.mark.parametrize(
    "precision", [pytest.param("fp32", marks=needs_mkl), pytest.param("bf16", marks=in_bf16.marks)]
)
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_answers_are_the_same(
    kind: str, precision: str, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.fresh(tiny_folder(kind), precision)
    requests = [Request(str(n), tuple(range(5, 9 + n)), limit=6) for n in range(FEWEST_ROWS)]

    def answered() -> list[tuple[str, int]]:
        return [(event.id, event.token) for event in generate(model, requests)]

    ours, noted = answered(), taken(model.module, monkeypatch)
    assert ours == answered() and noted and len(ours) > FEWEST_ROWS
    monkeypatch.setattr(module_of, "fewest_rows", lambda number: len(requests) + 1)
    noted.clear()
    usual = answered()
    assert not noted
    if precision == "fp32":
        assert ours == usual
    else:  # the last bit may choose another token, from where the row reads on differently
        first, usual_first = dict(reversed(ours)), dict(reversed(usual))
        assert sum(usual_first[id] == token for id, token in first.items()) > len(requests) / 2
