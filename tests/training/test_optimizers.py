"""Muon moves the matrices inside, AdamW the rest, the loop resumes both bit for bit, and a trunk is shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer
from luthier.training.loop import Training, train
from luthier.training.optimizers import MANY, A, B, C, Muon, optimizers, orthogonal, trunk


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


def exactly(matrix: torch.Tensor) -> torch.Tensor:
    """The five iterations in 64 bits, as Jordan et al. 2024 write them."""
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        square = x @ x.T
        x = A * x + (B * square + C * square @ square) @ x
    return x


def falling(rows: int, columns: int) -> torch.Tensor:
    """A matrix whose singular values are 1, 1/2, 1/3, ...: the gradients of trained layers are near that."""
    left, _, right = torch.linalg.svd(torch.randn(rows, columns), full_matrices=False)
    return (left / torch.arange(1, len(left[0]) + 1)) @ right


@pytest.mark.parametrize("shape", [(24, 40), (300, 300), (MANY, 3 * MANY), (2 * MANY + 10, MANY)], ids=str)
@pytest.mark.parametrize("made", [torch.randn, falling])
def test_newton_schulz_rounds_about_as_much_as_torchs(
    made: Callable[..., torch.Tensor], shape: tuple[int, int]
) -> None:
    """Both are bf16. Torch's errors are 1 % to 4 % of the length; an iteration too few or too many is 30 % or more."""
    torch.manual_seed(0)
    matrix = made(*shape)
    exact = exactly(matrix if shape[0] <= shape[1] else matrix.T)
    exact = exact if shape[0] <= shape[1] else exact.T
    moved = torch.nn.Parameter(torch.zeros(shape))
    moved.grad = matrix
    torch.optim.Muon([moved], lr=1.0, weight_decay=0, momentum=0, adjust_lr_fn="match_rms_adamw").step()
    theirs = -moved.detach() / (0.2 * max(shape) ** 0.5)
    error, usual = ((one.double() - exact).norm() / exact.norm() for one in (orthogonal(matrix[None])[0], theirs))
    assert error < max(1.1 * usual, 0.05)


@pytest.mark.parametrize("shape", [(48, 48), (48, 120), (300, 300), (MANY, 3 * MANY), (3 * MANY, MANY)], ids=str)
def test_twenty_steps_of_muon_are_torchs(shape: tuple[int, int]) -> None:
    """Where products are not saved, or only in halves, nothing rounds otherwise but the order of a sum.

    Two iterations at once round otherwise, as much as torch's differ from the exact ones: a few per cent of a step,
    of which the directions in which a gradient is hardly anything take most.
    """
    torch.manual_seed(0)
    began, aim, x = torch.randn(shape) * 0.05, torch.randn(shape) * 0.05, torch.randn(20, 12, shape[1])
    ended = []
    for kind in (torch.optim.Muon, Muon):
        weight = torch.nn.Parameter(began.clone())
        muon = kind([weight], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        for some in x:
            muon.zero_grad()
            (some @ (weight - aim).T).square().mean().backward()
            muon.step()
        ended.append(weight.detach())
    theirs, ours = ended
    wide = max(shape) >= 2 * min(shape) and min(shape) >= MANY
    assert (ours - theirs).norm() < (0.08 if wide else 0.01) * (theirs - began).norm()


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (300, 300), (MANY, 3 * MANY)], ids=str)
def test_matrices_that_move_together_move_as_each_does_alone(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape)
    for together, matrix in zip(orthogonal(matrices), matrices, strict=True):
        alone = orthogonal(matrix[None])[0]
        assert (together - alone).float().norm() < 0.01 * alone.float().norm()


def test_a_state_of_torchs_muon_is_gone_on_with() -> None:
    weights = [torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.eye(4)
    theirs = torch.optim.Muon(weights[:1], lr=0.1, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    theirs.step()
    ours = Muon(weights[1:], lr=0.1, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        weights[1].copy_(weights[0])
    for optimizer in (theirs, ours):
        optimizer.step()
    torch.testing.assert_close(*weights)


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
    alike = trunk(0.2, longest=200)  # whatever its length, a training rises as the longest one does
    assert [alike(step, 100, 0.1) for step in range(80)] == [rate(step, 200, 0.1) for step in range(80)]
    assert alike(99, 100, 0.1) == rate(99, 100, 0.1)
    assert shares[80] == 1.0 and shares[99] == pytest.approx(0.05) and sorted(shares[80:], reverse=True) == shares[80:]
