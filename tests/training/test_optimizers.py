"""Muon moves the matrices inside, AdamW the rest, the loop resumes both bit for bit, and a trunk is shared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer
from luthier.training.loop import Training, train
from luthier.training.optimizers import optimizers, trunk


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(5, 6)
        self.block = nn.Linear(6, 6)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.block(self.embedding(ids))


class Numbers:
    """Ten steps of one micro-batch."""

    def __init__(self) -> None:
        self.position = 0

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Iterator[list[list[int]]]:
        while self.position < 10:
            self.position += 1
            yield [[self.position % 5, (self.position * 3) % 5]]

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def run(folder: Path, name: str, stop_at: int = 99) -> dict[str, torch.Tensor]:
    module, steps = Small(), 0

    def step(numbers: list[int]) -> tuple[torch.Tensor, int, int]:
        nonlocal steps
        steps += 1
        if steps > stop_at:
            raise KeyboardInterrupt
        return module(torch.tensor(numbers)).square().sum(), 2, 2

    settings = Training(learning_rate=0.02, checkpoint_seconds=0)
    train(module, step, Numbers(), settings, folder,
          optimizers=optimizers(name, weight_decay=0.1), rate_at=trunk(0.3))  # fmt: skip
    return {key: p.detach().clone() for key, p in module.named_parameters()}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_training_that_was_killed_ends_with_the_same_weights(name: str, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", name)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", name, stop_at=4)
    again = run(tmp_path / "killed", name)
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert not torch.equal(whole["block.weight"], Small().block.weight)


def test_muon_moves_inner_matrices_and_adamw_all_else() -> None:
    parameters = dict(Small().named_parameters())
    muon, adamw = optimizers("muon", weight_decay=0.0)(parameters)
    assert [p is parameters["block.weight"] for g in muon.param_groups for p in g["params"]] == [True]
    rest = {id(p) for g in adamw.param_groups for p in g["params"]}
    assert rest == {id(parameters["embedding.weight"]), id(parameters["block.bias"])}


def test_muon_leaves_every_table_to_adamw() -> None:
    shape = Shape(vocabulary=11, family="encoder-decoder", width=8, heads=2, layers=1, positions="buckets", tied=False)
    parameters = dict(Transformer(shape).named_parameters())
    muon, _ = optimizers("muon", weight_decay=0.0)(parameters)
    moved = {id(p) for group in muon.param_groups for p in group["params"]}
    assert parameters["encoder.buckets.weight"].dim() == 2
    assert moved == {id(p) for name, p in parameters.items() if ".blocks." in name and p.dim() == 2}


def test_decay_is_of_matrices_alone() -> None:
    (adamw,) = optimizers("adamw", weight_decay=0.1)(dict(Small().named_parameters()))
    assert [(g["weight_decay"], len(g["params"])) for g in adamw.param_groups] == [(0.1, 2), (0.0, 1)]


def test_a_trunk_rises_stays_and_falls() -> None:
    rate = trunk(0.2)
    shares = [rate(step, 100, 0.1) for step in range(100)]
    assert shares[0] == pytest.approx(0.1) and shares[9:80] == [1.0] * 71
    assert shares[80] == 1.0 and shares[99] == pytest.approx(0.05) and sorted(shares[80:], reverse=True) == shares[80:]
