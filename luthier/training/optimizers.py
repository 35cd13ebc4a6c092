"""Optimizers for training from nothing, and schedules of the learning rate beside the loop's own.

adamw   AdamW on every parameter (Loshchilov and Hutter 2019); weight decay on matrices alone
muon    Muon on the matrices inside the blocks (Jordan et al. 2024), scaled to AdamW's updates (Liu et al. 2025), so
        that one learning rate serves both; AdamW on embeddings, the output layer, norms and biases
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

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
        muon = torch.optim.Muon(list(inside.values()), weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        return [muon, *([_adamw(rest, weight_decay)] if rest else [])]

    return make


def _adamw(parameters: Parameters, weight_decay: float) -> torch.optim.Optimizer:
    matrices = [p for p in parameters.values() if p.dim() > 1]
    vectors = [p for p in parameters.values() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.95), fused=True)


def trunk(cooldown: float) -> Callable[[int, int, float], float]:
    """A schedule: a linear rise, a constant rate, and over the last `cooldown` of the steps a linear fall to 0.

    Trainings of different length then share their beginning (Haegele et al. 2024).
    """

    def rate_at(step: int, total: int, warmup: float) -> float:
        rising = max(1, round(total * warmup))
        falling = max(1, round(total * cooldown))
        return min(1.0, (step + 1) / rising, max(0.0, (total - step) / falling))

    return rate_at
