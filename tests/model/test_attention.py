"""Attention is chosen by the call, and other threads see nothing of it; attention by blocks is torch's."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, FalconConfig, FalconForCausalLM

from luthier.model.attention import (
    NAME,
    TRANSFORMERS_NAME,
    Trials,
    attending,
    causal_attention,
    is_ready,
    make_ready,
)
from luthier.model.quiet import quiet
from luthier.model.sizes import ATTENTION_BLOCK, MOST_KEYS
from tests import tiny

IDS = torch.tensor([[5, 6, 7, 8, 9]])


def nothing(layer: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **how: Any) -> Any:
    """Attention that finds nothing: (B, H, T, E) -> zeros (B, T, H, E)."""
    return torch.zeros_like(query).transpose(1, 2), None


@torch.inference_mode()
def said(module: Any, **how: Any) -> torch.Tensor:
    logits: torch.Tensor = module(input_ids=IDS, **how).logits
    return logits


@pytest.mark.parametrize("kind", tiny.DECODERS)
def test_a_ready_model_says_what_it_said(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    module: Any = tiny.fresh(tiny_folder(kind)).module
    assert is_ready(module)
    plain = copy.deepcopy(module)
    plain.config._attn_implementation = TRANSFORMERS_NAME
    padded = {"attention_mask": torch.tensor([[0, 0, 1, 1, 1]])}
    for how in ({}, padded, {"position_ids": torch.tensor([[0, 1, 0, 1, 2]]), "use_cache": False}):
        assert torch.equal(said(module, **how), said(plain, **how))


def test_another_attention_is_this_call_s_alone(tiny_folder: Callable[[str], Path]) -> None:
    module = tiny.fresh(tiny_folder("decoder-chat")).module
    usual = said(module)
    with pytest.raises(KeyboardInterrupt), attending(nothing), ThreadPoolExecutor(1) as other:
        assert not torch.allclose(said(module), usual)
        assert torch.equal(other.submit(said, module).result(), usual)
        raise KeyboardInterrupt
    assert torch.equal(said(module), usual)


def test_the_name_is_written_to_no_file(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A saved model is anybody's, and our name means nothing there."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    with quiet():
        model.module.save_pretrained(tmp_path)  # type: ignore[operator]
    assert NAME not in (tmp_path / "config.json").read_text()
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads(
        (tiny_folder("decoder-chat") / "config.json").read_text()
    )
    assert AutoConfig.from_pretrained(tmp_path)._attn_implementation != NAME


def test_an_architecture_with_ways_of_its_own_is_left_alone(tiny_folder: Callable[[str], Path]) -> None:
    """Falcon asks for the usual attention by name, and would take a slower way under another."""
    config = FalconConfig(vocab_size=380, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    falcon = replace(tiny.fresh(tiny_folder("decoder-chat")), module=FalconForCausalLM(config).eval()).module
    assert not is_ready(falcon) and falcon.config._attn_implementation == TRANSFORMERS_NAME  # type: ignore[union-attr]
    eager: Any = tiny.module("decoder-chat")
    eager.config._attn_implementation = "eager"
    make_ready(eager)
    assert eager.config._attn_implementation == "eager"


def test_a_way_is_tried_once_and_an_error_says_no() -> None:
    trials, first, second, asked = Trials(), torch.nn.Linear(1, 1), torch.nn.Linear(1, 1), []

    def refuses(module: Any) -> bool:
        asked.append("refuses")
        raise TypeError("another interface")

    assert not trials.passed(first, refuses) and not trials.passed(first, lambda module: True)
    assert trials.passed(second, lambda module: True) and asked == ["refuses"]
    with pytest.raises(KeyboardInterrupt):
        trials.passed(torch.nn.Linear(1, 1), lambda module: (_ for _ in ()).throw(KeyboardInterrupt()))


@pytest.mark.parametrize("before", [0, 5])
@pytest.mark.parametrize(
    "length", [1, ATTENTION_BLOCK - 1, ATTENTION_BLOCK, ATTENTION_BLOCK + 1, 3 * ATTENTION_BLOCK + 7, MOST_KEYS + 3]
)
def test_attention_and_its_gradients_equal_torchs(length: int, before: int) -> None:
    dice = torch.Generator().manual_seed(length)
    shapes = [(2, 6, length, 8), (2, 2, before + length, 8), (2, 2, before + length, 8)]
    mine, theirs = (
        [
            torch.randn(*s, generator=dice.manual_seed(i), dtype=torch.double).requires_grad_()
            for i, s in enumerate(shapes)
        ]
        for _ in range(2)
    )
    mask = torch.ones(length, before + length, dtype=torch.bool).tril(before)
    given = torch.randn(shapes[0], generator=dice, dtype=torch.double)
    ours = causal_attention(*mine, 0.3)
    plain = F.scaled_dot_product_attention(*theirs, attn_mask=mask, scale=0.3, enable_gqa=True)
    ours.backward(given)
    plain.backward(given)
    assert torch.allclose(ours, plain)
    for x, y in zip(mine, theirs, strict=True):
        assert x.grad is not None and y.grad is not None and torch.allclose(x.grad, y.grad)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (2, 6)])
@pytest.mark.parametrize("length", [ATTENTION_BLOCK + 9, MOST_KEYS + 3])
def test_what_is_added_to_scores_enters_attention_and_its_gradients(length: int, shape: tuple[int, int]) -> None:
    """Here a border between two documents, and a bias by distance that each head may have of its own."""
    torch.manual_seed(length)
    mine = [torch.randn(2, heads, length, 8, dtype=torch.double).requires_grad_() for heads in (6, 2, 2)]
    theirs = [one.detach().clone().requires_grad_() for one in mine]
    document = torch.arange(length) > length // 3
    added = -torch.rand(*shape, 1, 1) * (torch.arange(length)[:, None] - torch.arange(length)).abs()
    added = added.masked_fill(document[:, None] != document, torch.finfo(torch.float32).min / 2)
    mask = added.double().masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
    given = torch.randn(2, 6, length, 8, dtype=torch.double)
    ours = causal_attention(*mine, 0.3, added)
    plain = F.scaled_dot_product_attention(*theirs, attn_mask=mask, scale=0.3, enable_gqa=True)
    ours.backward(given)
    plain.backward(given)
    for x, y in zip((ours, *(one.grad for one in mine)), (plain, *(one.grad for one in theirs)), strict=True):
        assert x is not None and y is not None
        torch.testing.assert_close(x, y)


def test_under_autocast_attention_has_its_precision_and_scores_stay_wide() -> None:
    torch.manual_seed(0)
    q, k, v = (10 * torch.randn(1, 2, 70, 8) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        ours = causal_attention(q, k, v, 0.3)
        plain = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)
    assert ours.dtype == plain.dtype == torch.bfloat16
    # With scores of up to 450 in bf16 the difference would be .08.
    assert (ours - plain).abs().max() <= 0.02 * plain.abs().max()


def test_in_16_bits_gradients_of_many_blocks_are_as_near_as_those_of_one() -> None:
    """Keys and values get a share from each later block of queries; a sum kept in 16 bits is rounded at each."""
    one, many = (_errors_in_16_bits(length) for length in (ATTENTION_BLOCK, 16 * ATTENTION_BLOCK))
    for name, error in many.items():
        assert error <= 1.25 * one[name], name


def _errors_in_16_bits(length: int) -> dict[str, float]:
    """Beside doubles, with a third of the query heads as key heads: size of the error by that of the tensor."""
    dice = torch.Generator().manual_seed(length)
    shapes = {"query": (1, 6, length, 32), "key": (1, 2, length, 32), "value": (1, 2, length, 32)}
    inputs = {name: (2 * torch.randn(shape, generator=dice)).bfloat16() for name, shape in shapes.items()}
    given = torch.randn(shapes["query"], generator=dice).bfloat16()

    def results(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        mine = {name: x.to(dtype, copy=True).requires_grad_() for name, x in inputs.items()}
        out = causal_attention(*mine.values(), 0.2)
        out.backward(given.to(dtype))
        return {"out": out.detach()} | {name: x.grad for name, x in mine.items() if x.grad is not None}

    wide, narrow = results(torch.double), results(torch.bfloat16)
    return {name: float((narrow[name] - right).norm() / right.norm()) for name, right in wide.items()}
