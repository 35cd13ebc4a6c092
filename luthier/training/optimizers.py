"""Optimizers for training from nothing, and schedules of the learning rate beside the loop's own.

adamw   AdamW on every parameter (Loshchilov and Hutter 2019); weight decay on matrices alone
muon    Muon on the matrices inside the blocks (Jordan et al. 2024), scaled to AdamW's updates (Liu et al. 2025), so
        that one learning rate serves both; AdamW on embeddings, the output layer, norms and biases

torch.optim.Muon computes the same steps. At width 512 they took a quarter of a training step of 4,096 tokens, most
of it for the products of a Newton-Schulz iteration. `orthogonal` needs a third fewer (docs/decisions/0039-muon.md).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
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
TOGETHER = 2**20  # numbers of the matrices of one shape whose products are made together


class Muon(torch.optim.Muon):
    """torch's Muon with its state and settings, of which it reads `lr`, `weight_decay` and `momentum`."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Moves each matrix that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            moved = [p for p in group["params"] if p.grad is not None]
            for shape in dict.fromkeys(p.shape for p in moved):
                alike = [p for p in moved if p.shape == shape]
                together = max(1, TOGETHER // shape.numel())
                for start in range(0, len(alike), together):
                    self._move(alike[start : start + together], rate, momentum, group["weight_decay"])

    def _move(self, alike: list[Tensor], rate: float, momentum: float, weight_decay: float) -> None:
        """Moves matrices of one shape, whose products are made together: alone, small ones do not fill two cores."""
        gradients = [p.grad for p in alike if p.grad is not None]
        for parameter, gradient in zip(alike, gradients, strict=True):
            if not self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(gradient)
        means = [self.state[parameter]["momentum_buffer"] for parameter in alike]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        updates = orthogonal(torch.stack(torch._foreach_lerp(gradients, means, momentum)))  # Nesterov's
        torch._foreach_mul_(alike, 1 - rate * weight_decay)
        size = 0.2 * max(alike[0].shape) ** 0.5  # Liu et al. 2025, equation 4
        torch._foreach_add_(alike, list(updates), alpha=-rate * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Newton-Schulz in bf16 of each of a stack (n, rows, columns): five times X <- (a + b S + c S^2) X with S = X X^T,
    from the matrix over its norm.

    Two things save products. S and all polynomials of it are symmetric, so half of each is computed. Where X is wide,
    two iterations are made at once, because S of the next X is a polynomial of S: (a + P) S (a + P) with
    P = b S + c S^2. So X is multiplied once where it would be twice. Three at once would lose too many digits.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    x = matrices.to(torch.bfloat16, memory_format=torch.contiguous_format)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    is_wide = x.shape[2] >= WIDE * x.shape[1] and x.shape[1] >= MANY
    for iterations in (2, 2, 1) if is_wide else (1, 1, 1, 1, 1):
        square = _symmetric(x, x.mT)
        p, scale = _symmetric(square, square, B, square, C), A
        if iterations == 2:
            half = _symmetric(p, square, A, square)
            square = _symmetric(half, p, A, half)
            second = _symmetric(square, square, B, square, C)
            p, scale = _symmetric(second, p, A, p + second), A * A
        x = torch.baddbmm(x, p, x, beta=scale)
    return x


def _symmetric(left: Tensor, right: Tensor, beta: float = 0, plus: Tensor | None = None, alpha: float = 1) -> Tensor:
    """beta plus + alpha left @ right, known to be symmetric: what is above the blocks of the diagonal is copied."""
    size = left.shape[1]
    if size <= 2 * BLOCK:
        return torch.bmm(left, right) if plus is None else torch.baddbmm(plus, left, right, beta=beta, alpha=alpha)
    out = left.new_empty(len(left), size, size)
    for number, start in product(range(len(left)), range(0, size, BLOCK)):
        end, whole = min(size, start + BLOCK), out[number]
        part, one, two = whole[start:end, :end], left[number, start:end], right[number, :, :end]
        if plus is None:
            torch.mm(one, two, out=part)
        else:
            torch.addmm(plus[number, start:end, :end], one, two, beta=beta, alpha=alpha, out=part)
        whole[:start, start:end] = whole[start:end, :start].T
    return out


def trunk(cooldown: float, longest: int | None = None) -> Callable[[int, int, float], float]:
    """A schedule: a linear rise, a constant rate, and over the last `cooldown` of the steps a linear fall to 0.

    Trainings of different length then share their beginning (Haegele et al. 2024), if all rise over as many steps: the
    share of the `longest` training's steps. Without `longest` the rise is a share of the training's own.
    """

    def rate_at(step: int, total: int, warmup: float) -> float:
        rising = max(1, round((longest or total) * warmup))
        falling = total - steps_before(cooldown, total)
        return min(1.0, (step + 1) / rising, max(0.0, (total - step) / falling))

    return rate_at


def steps_before(cooldown: float, total: int) -> int:
    """How many of the steps are made before the rate falls: those that longer trainings have, too."""
    return total - max(1, round(total * cooldown))
