"""The types of a row of the METHODS table: Baseline, Prompting, Tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from luthier.adapt.settings import FORMS
from luthier.model.model import Model
from luthier.records import Answer, Example
from luthier.settings import Settings
from luthier.training.settings import Training


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to answer a task: a Baseline, a way of Prompting, or a way of Tuning. FORMS has its settings, and whether
    it asks a model and trains."""

    name: str
    summary: str
    labels: bool = False  # whether it answers only labels
    default_template: str | None = None  # None: the task's default

    @property
    def settings(self) -> type[Settings]:
        return FORMS[self.name].settings

    @property
    def asks_model(self) -> bool:
        return FORMS[self.name].asks_model

    @property
    def trains(self) -> bool:
        return FORMS[self.name].trains

    @property
    def dial(self) -> str | None:
        return FORMS[self.name].dial

    @property
    def dial_prefix(self) -> str:
        return FORMS[self.name].dial_prefix

    def adapts(self, family: str) -> bool:
        """Whether it works with a model of this family."""
        return family in FORMS[self.name].families

    @property
    def leaves_whole_weights(self) -> bool:
        """Whether the arm's model can be one plain model, which can then be made narrow."""
        return FORMS[self.name].whole


@dataclass(frozen=True, kw_only=True)
class Baseline(Method):
    """Answers without any model: `given` makes them from settings, train examples and the examples to answer."""

    given: Callable[[Any, Sequence[Example], Sequence[Example]], list[Answer]]


@dataclass(frozen=True, kw_only=True)
class Prompting(Method):
    """Asks the unchanged model; only the prompt differs."""


@dataclass(frozen=True, kw_only=True)
class Tuning(Method):
    """Trains some parameters of a model, or some beside it.

    `apply` turns the base model into the module to train; exactly its trainable parameters require a gradient.
    `answering` turns the trained module into the model to ask. `save` writes the trained parameters into a folder, and
    `load` puts them on a fresh base. `merge` puts them into the base's own weights, if the method can. `scale_saved`
    rewrites a folder that `save` wrote so that it holds so much of the change from the base: 0 is the base's bits, 1
    leaves the file's numbers as they are. `sweep` maps the
    main setting to the values that tuning tries; tuning always tries the learning rate. `rates` maps parameter names to
    multiples of the learning rate.
    """

    training: Training  # its defaults
    on_encoder: Training | None = None  # the defaults for an encoder with a head; None: it adapts no encoder
    apply: Callable[[Model, Any, int], nn.Module]
    answering: Callable[[Model, nn.Module], Model]
    save: Callable[[nn.Module, Path], None]
    load: Callable[[Model, Path], Model]
    merge: Callable[[Model, Path], Model] | None = None
    scale_saved: Callable[[Model, Path, float], None] | None = None
    shipped: Literal["adapter", "weights"] = "adapter"  # the folder inside the arm's; 'weights' is a whole model
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    reads: Literal["examples", "texts"] = "examples"  # what it trains on: the task's train split, or texts
    rates: Callable[[Any, nn.Module], Mapping[str, float]] | None = None  # None: all move at the learning rate


def freeze(module: nn.Module) -> None:
    """Makes no parameter of `module` require a gradient."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def float_trainable(module: nn.Module) -> None:
    """Casts trainable parameters to fp32, because small updates vanish in bf16's 8 bits of mantissa."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
