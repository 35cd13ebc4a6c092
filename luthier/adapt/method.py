"""What every drawer has to offer: one row of the METHODS table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from luthier.model.model import Model
from luthier.records import Answer, Example
from luthier.settings import Settings
from luthier.training.loop import Training


class NoSettings(Settings):
    """A method without settings of its own."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to answer a task: a Baseline, a way of Prompting, or a way of Tuning.

    `dial` is the setting that an arm's short form may name (`few-shot-3`, `lora-r16`).
    """

    asks_model: ClassVar[bool] = True
    trains: ClassVar[bool] = False

    name: str
    summary: str
    settings: type[Settings] = NoSettings
    dial: str | None = None
    dial_prefix: str = ""  # 'r' in lora-r16
    labels: bool = False  # whether it answers labels and nothing else
    default_template: str | None = None  # None: the task's default

    def adapts(self, family: str) -> bool:
        """Whether it can be an arm of a model of this family; an encoder without a trained head answers nothing."""
        return family != "encoder"

    @property
    def leaves_whole_weights(self) -> bool:
        """Whether what answers can be one plain model, which may then be made narrow."""
        return False


@dataclass(frozen=True, kw_only=True)
class Baseline(Method):
    """Answers without any model: `given` makes them from settings, train examples and the examples to answer."""

    asks_model: ClassVar[bool] = False

    given: Callable[[Any, Sequence[Example], Sequence[Example]], list[Answer]]


@dataclass(frozen=True, kw_only=True)
class Prompting(Method):
    """Asks the model as it is; only the prompt differs."""

    @property
    def leaves_whole_weights(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Tuning(Method):
    """Trains some parameters of a model, or some beside it.

    `apply` turns the base model into the module to train, with exactly the parameters that may move requiring a
    gradient. `answering` turns the trained module into the model to ask. `save` writes what moved into a folder, `load`
    puts it on a fresh base. `merge` does what `load` does, into the base's own weights, where the method can. `sweep`
    names the main dial among the settings and the values that tuning tries; the learning rate is always tried. `rates`
    names the parameters that move at a multiple of the learning rate.
    """

    trains: ClassVar[bool] = True

    training: Training  # its defaults
    on_encoder: Training | None = None  # those for an encoder with a head; None: it adapts no encoder
    writers: bool = True  # False: it adapts encoders alone
    apply: Callable[[Model, Any, int], nn.Module]
    answering: Callable[[Model, nn.Module], Model]
    save: Callable[[nn.Module, Path], None]
    load: Callable[[Model, Path], Model]
    merge: Callable[[Model, Path], Model] | None = None
    shipped: Literal["adapter", "weights"] = "adapter"  # the folder inside the arm's; 'weights' is a whole model
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    rates: Callable[[Any, nn.Module], Mapping[str, float]] | None = None  # None: all move at the learning rate

    def adapts(self, family: str) -> bool:
        return self.on_encoder is not None if family == "encoder" else self.writers

    @property
    def leaves_whole_weights(self) -> bool:
        return self.merge is not None or self.shipped == "weights"


def freeze(module: nn.Module) -> None:
    """No parameter of `module` may move."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def float_trainable(module: nn.Module) -> None:
    """Parameters that move are kept in fp32: small updates vanish in bf16's 8 bits of mantissa."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
