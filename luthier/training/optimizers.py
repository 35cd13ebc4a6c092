"""Optimizers for training from nothing, and schedules of the learning rate beside the loop's own.

adamw   AdamW on every parameter (Loshchilov and Hutter 2019); weight decay on matrices alone
muon    Muon on the matrices inside the blocks (Jordan et al. 2024), scaled to AdamW's updates (Liu et al. 2025), so
        that one learning rate serves both; AdamW on embeddings, the output layer, norms and biases

torch.optim.Muon computes the same steps. At width 512 they took a quarter of a training step of 4,096 tokens, most
of it for the products of a Newton-Schulz iteration. `orthogonal` needs a third fewer (docs/decisions/0039-muon.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Parameters = dict[str, nn.Parameter]
# Parts of a parameter's name: tables and the output layer, which are no map of x to y.
_OUTSIDE = {"embedding", "position", "segment", "buckets", "head"}


def optimizers(name: str, *, weight_decay: float) -> Callable[[Parameters], list[torch.optim.Optimizer]]:
    """What makes the optimizers of a name from parameters by name; the loop sets their learning rate."""

    def make(parameters: Parameters) -> list[torch.optim.Optimizer]:
        inside = {key: p for key, p in parameters.items() if p.dim() == 2 and not _OUTSIDE & set(key.split("."))}
        if name == "adamw" or not inside:
            return [_adamw(parameters, weight_decay)]
        rest = {key: p for key, p in parameters.items() if key not in inside}
        muon = Muon(list(inside.values()), weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        return [muon, *([_adamw(rest, weight_decay)] if rest else [])]

    return make


def _adamw(parameters: Parameters, weight_decay: float) -> torch.optim.Optimizer:
    matrices = [p for p in parameters.values() if p.dim() > 1]
    vectors = [p for p in parameters.values() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.95), fused=True)


# ----------------------------------------------------------------------------------------------------------- Muon

A, B, C = 3.4445, -4.7750, 2.0315  # Jordan et al. 2024: singular values of 0 to 1 end near 1 after five iterations
BLOCK = 128  # rows of a symmetric product at once, of more than two blocks; the fastest of 64, 128 and 256 for 512 rows
WIDE = 2  # columns a row from which two iterations at once save products, and
MANY = 256  # rows from which that saves time


class Muon(torch.optim.Muon):
    """torch's Muon with its state and settings, of which it reads `lr`, `weight_decay` and `momentum`."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Moves each matrix that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in (p for p in group["params"] if p.grad is not None):
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter.grad)
                mean = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                update = orthogonal(parameter.grad.lerp(mean, momentum))  # Nesterov's
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.add_(update, alpha=-0.2 * rate * max(parameter.shape) ** 0.5)  # Liu et al. 2025, equation 4


def orthogonal(matrix: Tensor) -> Tensor:
    """Newton-Schulz in bf16: five times X <- (a + b S + c S^2) X with S = X X^T, from the matrix over its norm.

    Two things save products. S and all polynomials of it are symmetric, so half of each is computed. Where X is wide,
    two iterations are made at once, because S of the next X is a polynomial of S: (a + P) S (a + P) with
    P = b S + c S^2. So X is multiplied once where it would be twice. Three at once would lose too many digits.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    x = matrix.bfloat16()
    x = x / x.norm().clamp(min=1e-7)
    is_wide = x.shape[1] >= WIDE * x.shape[0] and x.shape[0] >= MANY
    for iterations in (2, 2, 1) if is_wide else (1, 1, 1, 1, 1):
        square = _symmetric(x, x.T)
        p, scale = _symmetric(square, square, B, square, C), A
        if iterations == 2:
            half = _symmetric(p, square, A, square)
            square = _symmetric(half, p, A, half)
            second = _symmetric(square, square, B, square, C)
            p, scale = _symmetric(second, p, A, p + second), A * A
        x = torch.addmm(x, p, x, beta=scale)
    return x


def _symmetric(left: Tensor, right: Tensor, beta: float = 0, plus: Tensor | None = None, alpha: float = 1) -> Tensor:
    """beta plus + alpha left @ right, known to be symmetric: what is above the blocks of the diagonal is copied."""
    size = len(left)
    out, block = left.new_empty(size, size), BLOCK if size > 2 * BLOCK else size
    for start in range(0, size, block):
        end = min(size, start + block)
        part = out[start:end, :end]
        if plus is None:
            torch.mm(left[start:end], right[:, :end], out=part)
        else:
            torch.addmm(plus[start:end, :end], left[start:end], right[:, :end], beta=beta, alpha=alpha, out=part)
        out[:start, start:end] = out[start:end, :start].T
    return out


def trunk(cooldown: float) -> Callable[[int, int, float], float]:
    """A schedule: a linear rise, a constant rate, and over the last `cooldown` of the steps a linear fall to 0.

    Trainings of different length then share their beginning (Haegele et al. 2024).
    """

    def rate_at(step: int, total: int, warmup: float) -> float:
        rising = max(1, round(total * warmup))
        falling = max(1, round(total * cooldown))
        return min(1.0, (step + 1) / rising, max(0.0, (total - step) / falling))

    return rate_at
