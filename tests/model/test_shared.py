"""Rows in one sequence behind their shared beginning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from luthier.adapt.methods import method
from luthier.model import shared
from luthier.model.attention import causal_attention
from luthier.model.forward import collate, supervised_loss
from luthier.model.shared import Layout, flat, slow_road, supported
from luthier.task.prompt import shared_length
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

    def forgetful(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, **how: bool) -> torch.Tensor:
        return right(q, k[:, :, -q.shape[2] :], v[:, :, -q.shape[2] :], scale, **how)

    monkeypatch.setattr(shared, "causal_attention", forgetful)
    assert not supported(module)


def test_a_slower_road_is_said(tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert slow_road(tiny.fresh(tiny_folder("decoder-chat"))) is None
    assert slow_road(tiny.fresh(tiny_folder("bart"))) is None
    other = tiny.fresh(tiny_folder("decoder-chat"))
    for layer in other.module.modules():
        if hasattr(layer, "attention_dropout"):
            layer.attention_dropout = 0.1  # type: ignore[assignment]
    assert "training pads rows to one length, which is slower, because its layers choose" in str(slow_road(other))


def test_padded_rows_give_the_same_loss(tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    prompts = tiny.train_prompts(model, 5)
    in_one = collate(prompts, model.module, model.family)
    monkeypatch.setattr("luthier.model.forward.supported", lambda module: False)
    padded = collate(prompts, model.module, model.family)
    assert in_one.layout is not None and padded.layout is None and in_one.tokens == padded.tokens
    mine, theirs = (supervised_loss(model.module, batch) for batch in (in_one, padded))
    assert mine[1] == theirs[1] and torch.allclose(mine[0], theirs[0], rtol=1e-5)
