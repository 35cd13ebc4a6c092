"""What every drawer has to offer: one row of the METHODS table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from luthier.model.model import Model
from luthier.records import Answer, Example
from luthier.settings import Settings
from luthier.training.loop import Training


class NoSettings(Settings):
    """A method without settings of its own."""


def _unchanged(model: Model, settings: Any, seed: int) -> nn.Module:
    return model.module


def _nothing(module: nn.Module, folder: Path) -> None:
    return None


def _as_is(model: Model, folder: Path) -> Model:
    return model


def _one_rate(settings: Any, module: nn.Module) -> dict[str, float]:
    return {}


def _itself(model: Model, module: nn.Module) -> Model:
    return model.adapted(module)


@dataclass(frozen=True)
class Method:
    """One way to adapt.

    `dial` is the setting that an arm's short form may name (`few-shot-3`, `lora-r16`). `apply` turns the base model
    into the module to train, with exactly the parameters that may move requiring a gradient. `answering` turns the
    trained module into the model to ask. `save` writes what moved into a folder, `load` puts it on a fresh base.
    `sweep` names the main dial among the settings and the values that tuning tries; the learning rate is always tried.
    `rates` names the parameters that move at a multiple of the learning rate. `merge` does what `load` does, into the
    base's own weights, where the method can. `given` makes answers without any model, from settings, train examples
    and the examples to answer: a baseline. `labels` says that it answers labels and nothing else.
    `on_encoder` are the training defaults for an encoder with a head; without them it adapts none.
    """

    name: str
    summary: str
    settings: type[Settings] = NoSettings
    dial: str | None = None
    dial_prefix: str = ""  # 'r' in lora-r16
    training: Training | None = None  # defaults of a method that trains; None: nothing moves
    default_template: str | None = None  # None: the task's default
    given: Callable[[Any, Sequence[Example], Sequence[Example]], list[Answer]] | None = None
    labels: bool = False
    shipped: str = "adapter"  # folder name inside the arm: 'adapter' or 'weights'
    apply: Callable[[Model, Any, int], nn.Module] = _unchanged
    answering: Callable[[Model, nn.Module], Model] = _itself
    save: Callable[[nn.Module, Path], None] = _nothing
    load: Callable[[Model, Path], Model] = _as_is
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    merge: Callable[[Model, Path], Model] | None = None
    rates: Callable[[Any, nn.Module], Mapping[str, float]] = _one_rate
    on_encoder: Training | None = None
    writers: bool = True  # False: adapts encoders alone

    @property
    def asks_model(self) -> bool:
        return self.given is None

    def adapts(self, family: str) -> bool:
        """Whether it can be an arm of a model of this family; an encoder without a trained head answers nothing."""
        return self.on_encoder is not None if family == "encoder" else self.writers

    @property
    def trains(self) -> bool:
        return self.training is not None


def freeze(module: nn.Module) -> None:
    """No parameter of `module` may move."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def float_trainable(module: nn.Module) -> None:
    """Parameters that move are kept in fp32: small updates vanish in bf16's 8 bits of mantissa."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
