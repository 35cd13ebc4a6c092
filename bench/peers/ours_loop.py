"""luthier's training of given prompts, as luthier/studies/fit.py calls it; `ours_train` and `ours_scaling` time it."""

from __future__ import annotations

from luthier import machine

machine.keep_freed_memory()  # as `luthier study` does

from luthier.adapt.methods import METHODS  # noqa: E402
from luthier.model.forward import collate, supervised_loss  # noqa: E402
from luthier.model.model import load  # noqa: E402
from luthier.training.batches import Batches  # noqa: E402
from luthier.training.loop import train  # noqa: E402
from luthier.training.memory import NO_BOUND, micro_tokens  # noqa: E402


class Ours:
    """A base model with one method applied, and one pass of training over prompts."""

    def __init__(self, order):
        self.model = load(order["model"], precision=order.get("precision", "auto"))
        self.method = METHODS[order["method"]]
        self.choice = self.method.settings()
        self.module = self.method.apply(self.model, self.choice, 0)

    def loss(self, micro_batch):
        batch = collate(micro_batch, self.module, self.model.family)
        return (*supervised_loss(self.module, batch), batch.tokens)

    def train(self, prompts, batch_size, folder):
        """What the loop returns; its own clock counts finished optimizer steps, as the clocks of the peers do."""
        settings = self.method.training.model_copy(update={"batch_size": batch_size})
        cut = micro_tokens(self.module, lambda rows: self.loss(rows)[0], prompts, NO_BOUND)
        batches = Batches(prompts, batch_size=batch_size, micro_tokens=cut, epochs=1, seed=0)
        rates = self.method.rates(self.choice, self.module) if self.method.rates else None
        return train(self.module, self.loss, batches, settings, folder, rates=rates)
