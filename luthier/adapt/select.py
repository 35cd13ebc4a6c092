"""Selective fine-tuning: some of the model's own parameters train, and only these are saved.

    select    the last blocks, the norms, the biases, or modules by name
    bitfit    the biases alone (Ben Zaken et al. 2022, section 3)

Trainable parameters: those of the named parts, in the model's own precision. In bf16 they have fp32 masters while they
train (training/masters.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from luthier.adapt import full
from luthier.adapt.method import Tuning, freeze
from luthier.adapt.settings import NoSettings, Select
from luthier.errors import ModelError, SettingsError
from luthier.model.encoder import head_parameters
from luthier.model.model import Model
from luthier.training.settings import PASSES, Training

FILE = "selected.safetensors"


def apply(model: Model, settings: Select, seed: int) -> nn.Module:
    """The module itself. Only the parameters that `settings` names require a gradient.

    Raises SettingsError when the model has no such part.
    """
    names = set(_named(model, settings))
    module = full.apply(model, settings, seed)
    freeze(module)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in names)
    return module


def apply_bitfit(model: Model, settings: NoSettings, seed: int) -> nn.Module:
    """As `apply`, for the biases."""
    return apply(model, Select(parts="biases"), seed)


def _named(model: Model, settings: Select) -> Iterator[str]:
    """The names of the parameters that `settings` names, at least one."""
    module = model.module
    if settings.parts == "last":
        blocks = _last_blocks(model, settings.layers)
        chosen = {id(p) for block in blocks for p in block.parameters()}
    elif settings.parts == "biases":
        chosen = {id(p) for name, p in module.named_parameters() if name.endswith("bias")}
    elif settings.parts == "norms":
        norms = [layer for layer in module.modules() if "norm" in type(layer).__name__.lower()]
        chosen = {id(p) for norm in norms for p in norm.parameters(recurse=False)}
    else:
        chosen = {id(p) for target in settings.parts.split(",") for p in _of_module(model, target.strip())}
    if not chosen:
        raise SettingsError(f"{model.name}: this model has no {settings.parts}; choose select-last-2, or lora")
    head = head_parameters(module, model.head)  # a new head always trains
    return (name for name, parameter in module.named_parameters() if id(parameter) in chosen or name in head)


def _last_blocks(model: Model, count: int) -> list[nn.Module]:
    """The last `count` blocks of the decoder, or of an encoder's body."""
    module: Any = model.module
    stack = module.base_model if model.family == "encoder" else module.get_decoder()
    stacks = [layer for layer in stack.modules() if isinstance(layer, nn.ModuleList)]
    blocks = list(stacks[0]) if stacks else []
    if len(blocks) < count:
        raise SettingsError(f"{model.name}: has {len(blocks)} blocks, so the last {count} cannot move; name fewer")
    return blocks[-count:]


def _of_module(model: Model, target: str) -> list[nn.Parameter]:
    """The parameters of every module whose path is `target` or ends with it."""
    modules = [m for name, m in model.module.named_modules() if target and f".{name}".endswith(f".{target}")]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    if not parameters:
        with_own = {n.rpartition(".")[2] for n, m in model.module.named_modules() if any(True for _ in m.parameters())}
        known = ", ".join(sorted(name for name in with_own if name and not name.isdigit()))
        raise SettingsError(f"select: no module with parameters is called '{target}'; name some of {known}")
    return parameters


def save(module: nn.Module, folder: Path) -> None:
    """The moved tensors alone, by their names in the model, in the precision in which they answer."""
    folder.mkdir(parents=True, exist_ok=True)
    moved = {name: p.detach().contiguous() for name, p in module.named_parameters() if p.requires_grad}
    save_file(moved, folder / FILE, metadata={"format": "pt"})


def load(model: Model, folder: Path) -> Model:
    """A fresh base with the moved tensors in their places. Raises ModelError when they do not fit."""
    moved = load_file(folder / FILE)
    own_parameters: dict[str, torch.Tensor] = dict(model.module.named_parameters())
    if any(name not in own_parameters or own_parameters[name].shape != value.shape for name, value in moved.items()):
        raise ModelError(f"{folder}: these weights are not of {model.name}; load them with the model they were made of")
    with torch.no_grad():
        for name, value in moved.items():
            own_parameters[name].copy_(value)
    return model


METHODS = (
    Tuning(
        name="select",
        summary="some of the model's own parameters move",
        training=Training(learning_rate=1e-3),
        on_encoder=Training(learning_rate=5e-4, most_epochs=PASSES),
        apply=apply,
        answering=full.answering,
        save=save,
        load=load,
        scale_saved=full.scale_saved,
    ),
    Tuning(
        name="bitfit",
        summary="the biases move",
        training=Training(learning_rate=1e-3),
        on_encoder=Training(learning_rate=3e-3, most_epochs=PASSES),
        apply=apply_bitfit,
        answering=full.answering,
        save=save,
        load=load,
        scale_saved=full.scale_saved,
    ),
)
