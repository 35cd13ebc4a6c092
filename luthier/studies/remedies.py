"""Remedies against forgetting, as settings of a training: general rows among the task's, and penalties in the loss.

    replay   general rows that ship with luthier; `replay` is their share of all rows       (Robins 1995)
    kl       + kl * KL(base || model), summed over the supervised tokens
    anchor   + anchor / 2 * ||parameters - their start||^2, for each supervised token       (L2-SP, Li et al. 2018)

At 0 nothing of a remedy is computed, so a training without them is the same, byte for byte. The loss that is logged
stays the task's own; a penalty acts on the gradient alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.model.forward import Batch, collate, supervised_logits, supervised_loss
from luthier.model.model import Model
from luthier.records import Example, Prompt
from luthier.suites.texts import general
from luthier.task.prompt import Renderer
from luthier.training.masters import Masters
from luthier.training.memory import Bound
from luthier.training.settings import Training


def general_prompts(renderer: Renderer, training: Training, count: int, seed: int) -> list[Prompt]:
    """So many general rows that they are `replay` of `count` task rows and themselves; at least one.

    They are drawn by seed without repetition until all were drawn, then anew.
    """
    wanted = training.replayed(count)
    rows, drawn = general() if wanted else (), list[tuple[int, tuple[str, str]]]()
    while len(drawn) < wanted:
        order = list(enumerate(rows))
        random.Random(f"replay-{seed}-{len(drawn)}").shuffle(order)
        drawn += order
    return [
        renderer.prompt(Example(f"general-{i}-{number}", asked, (answer,)), "{input}", train=True)
        for i, (number, (asked, answer)) in enumerate(drawn[:wanted], 1)
    ]


@dataclass(frozen=True)
class Penalties:
    """The penalties of one training. `base` is a model that stays unchanged, or None where kl is 0."""

    training: Training
    base: Model | None
    start: Sequence[tuple[nn.Parameter, Tensor]]  # what trains, and a copy of its start

    @classmethod
    def of(cls, training: Training, masters: Masters, fresh: Callable[[], Model]) -> Penalties:
        """Before the training: `masters` are at their start; `fresh` loads the base once more, for kl."""
        moving = masters.moved.values() if training.anchor else ()
        return cls(training, fresh() if training.kl else None, [(p, p.detach().clone()) for p in moving])

    def loss(self, module: nn.Module, prompts: Sequence[Prompt], batch: Batch) -> tuple[Tensor, int]:
        """(loss, count) of a batch: the value of the task's loss, with the gradient of loss and penalties.

        Penalties are sums over the supervised tokens as the loss is, so that both are divided by one count.
        """
        if self.base is None and not self.start:
            return supervised_loss(module, batch)
        penalty: Any = 0.0
        if self.base is None:
            loss, count = supervised_loss(module, batch)
        else:
            logits_SV, targets_S = supervised_logits(module, batch)
            log_q_SV = logits_SV.log_softmax(-1)  # one for loss and divergence, because it is kept
            loss, count = F.nll_loss(log_q_SV, targets_S, reduction="sum"), int(targets_S.numel())
            penalty = self.training.kl * self._divergence(log_q_SV, prompts)
        if self.start:
            squared = sum(((parameter - start) ** 2).sum() for parameter, start in self.start)
            penalty = penalty + self.training.anchor / 2 * count * squared
        return loss + (penalty - penalty.detach()), count  # in this order the value is the loss to the bit

    def bound(self, bound: Bound, *beside: nn.Module) -> Bound:
        """The bound of this training, with what the penalties hold; `beside` are models that stay loaded anyway."""
        asked = [] if self.base is None else [self.base.module]
        return bound.while_training(*beside, *asked, anchored=bool(self.start))

    def _divergence(self, log_q_SV: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        assert self.base is not None
        with torch.no_grad():
            batch = collate(prompts, self.base.module, self.base.family)
            log_p_SV = supervised_logits(self.base.module, batch)[0].log_softmax(-1)
        return F.kl_div(log_q_SV, log_p_SV, reduction="sum", log_target=True)
