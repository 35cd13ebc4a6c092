"""Rows in one sequence behind their shared beginning, and attention by blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from luthier.adapt.methods import method
from luthier.model import shared as packing
from luthier.model.forward import collate, supervised_loss
from luthier.model.shared import BLOCK, LONGEST, Layout, causal_attention, flat, laid_out, shared_length, supported
from tests import tiny


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        ([[1, 2, 3]], 0),  # a single row shares with nobody
        ([[1, 2, 3], [4, 2, 3]], 0),
        ([[1, 2, 3], [1, 2, 4], [1, 2, 3, 9]], 2),
        ([[1, 2, 3], [1, 2, 3]], 2),  # one short of the shortest: every row keeps a position that predicts
        ([[1, 2], [1, 2, 3]], 1),
    ],
)
def test_what_rows_begin_with(rows: list[list[int]], shared: int) -> None:
    assert shared_length(rows) == shared


def test_a_flat_sequence_holds_the_beginning_once() -> None:
    assert flat([[1, 2, 7], [1, 2, 8, 9]], Layout(2, 2, 2), 0) == [1, 2, 7, 0, 8, 9]


@pytest.mark.parametrize("before", [0, 5])
@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7, LONGEST + 3])
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


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("decoder-chat", "full", True),
        ("decoder-chat", "lora", True),
        ("decoder-chat", "soft", False),  # its module puts a learned prompt in front of every row
    ],
)
def test_where_rows_are_laid_out(kind: str, name: str, expected: bool, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    module = method(name).apply(model, method(name).settings(), 0)
    assert supported(module) is expected
    batch = collate(tiny.train_prompts(model, 4), module, model.family)
    assert (batch.layout is not None) is expected
    if expected:
        assert batch.layout is not None and batch.layout.shared > 0  # the test would show nothing without one
        assert batch.inputs["input_ids"].shape[1] < batch.tokens + batch.layout.rows * batch.layout.width


def test_a_model_that_reads_otherwise_is_left_alone(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial run notices: here attention that forgets the shared beginning."""
    module = tiny.fresh(tiny_folder("decoder-chat")).module
    right = causal_attention

    def forgetful(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
        return right(q, k[:, :, -q.shape[2] :], v[:, :, -q.shape[2] :], scale)

    monkeypatch.setattr(packing, "causal_attention", forgetful)
    assert not supported(module)


def test_the_usual_attention_is_back_afterwards(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    usual = model.module.config._attn_implementation  # type: ignore[union-attr]
    with pytest.raises(RuntimeError, match="stop"), laid_out(model.module, Layout(0, 1, 1)):
        raise RuntimeError("stop")
    assert model.module.config._attn_implementation == usual  # type: ignore[union-attr]


def test_padded_rows_give_the_same_loss(tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    prompts = tiny.train_prompts(model, 5)
    in_one = collate(prompts, model.module, model.family)
    monkeypatch.setattr("luthier.model.forward.supported", lambda module: False)
    padded = collate(prompts, model.module, model.family)
    assert in_one.layout is not None and padded.layout is None and in_one.tokens == padded.tokens
    mine, theirs = (supervised_loss(model.module, batch) for batch in (in_one, padded))
    assert mine[1] == theirs[1] and torch.allclose(mine[0], theirs[0], rtol=1e-5)
