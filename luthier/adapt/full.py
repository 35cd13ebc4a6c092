"""Full fine-tuning: every parameter trains, and the arm ships the whole model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from luthier.adapt.method import Tuning
from luthier.errors import ModelError
from luthier.model.dither import rounded
from luthier.model.model import Model
from luthier.model.quiet import quiet
from luthier.settings import Settings
from luthier.training.fused import fuse
from luthier.training.settings import PASSES, Training


def apply(model: Model, settings: Settings, seed: int) -> nn.Module:
    """The module itself, in its own precision: weights narrower than fp32 have masters (training/masters.py)."""
    for parameter in model.module.parameters():
        parameter.requires_grad_(True)
    return fuse(model.module)


def answering(model: Model, module: nn.Module) -> Model:
    """The model itself: its own weights moved."""
    return model


def save(module: Any, folder: Path) -> None:
    """A complete model in transformers' format (safetensors)."""
    with quiet():
        module.save_pretrained(folder)


def load(model: Model, folder: Path) -> Model:
    """The base model with the saved weights in its place. Raises ModelError when they do not fit."""
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights |= load_file(path)
    own_weights = model.module.state_dict()
    # A tied weight is stored once, under one of its names.
    filled = {own_weights[name].data_ptr() for name in weights if name in own_weights}
    fits = all(name in own_weights and own_weights[name].shape == weight.shape for name, weight in weights.items())
    if not fits or any(weight.data_ptr() not in filled for weight in own_weights.values()):
        raise ModelError(f"{folder}: these weights are not of {model.name}; load them with the model they were made of")
    model.module.load_state_dict(weights, strict=False)
    return model


def scale_saved(model: Model, folder: Path, scale: float) -> None:
    """Every saved tensor moved `scale` of the way from the base's (linear interpolation, exact at both ends).

    Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3 (WiSE-FT).
    """
    from safetensors.torch import load_file, save_file

    base = model.module.state_dict()
    for path in sorted(folder.glob("*.safetensors")):
        moved = {
            name: rounded(torch.lerp(base[name].float().cpu(), value.float(), scale), value.dtype).contiguous()
            for name, value in load_file(path).items()
        }
        save_file(moved, path, {"format": "pt"})


METHOD = Tuning(
    name="full",
    summary="every parameter moves",
    training=Training(learning_rate=2e-5, weight_decay=0.01),
    on_encoder=Training(learning_rate=2e-4, weight_decay=0.01, most_epochs=PASSES),
    shipped="weights",
    apply=apply,
    answering=answering,
    save=save,
    load=load,
    scale_saved=scale_saved,
)
