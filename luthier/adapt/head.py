"""A frozen encoder under a trained head: what the body knows already, read off by one linear layer.

Trainable parameters: width * classes + classes. The cheapest way to a classifier, and what shows whether moving the
body is worth its price (a linear probe: Alain and Bengio 2016).
"""

from __future__ import annotations

from torch import nn

from luthier.adapt import full, select
from luthier.adapt.method import Tuning
from luthier.adapt.settings import NoSettings
from luthier.model.encoder import head_parameters
from luthier.model.model import Model
from luthier.training.fused import fuse
from luthier.training.settings import PASSES, Training


def apply(model: Model, settings: NoSettings, seed: int) -> nn.Module:
    """The module, of which only the head requires a gradient. It is fp32 already, so it learns on the body as it is."""
    module = model.module
    head = head_parameters(module, model.head)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in head)
    return fuse(module)


METHOD = Tuning(
    name="head",
    summary="a frozen encoder under a trained head",
    training=Training(learning_rate=1e-2),
    on_encoder=Training(learning_rate=1e-2, most_epochs=PASSES),
    labels=True,
    apply=apply,
    answering=full.answering,
    save=select.save,
    load=select.load,
)
