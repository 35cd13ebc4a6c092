"""Full fine-tuning: every parameter moves, and the whole model is what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from luthier.adapt.method import Method, NoSettings, float_trainable
from luthier.errors import ModelError
from luthier.loop import Training
from luthier.model import Model, quiet


def apply(model: Model, settings: NoSettings, seed: int) -> nn.Module:
    """Every parameter requires a gradient and is kept in fp32."""
    for parameter in model.module.parameters():
        parameter.requires_grad_(True)
    float_trainable(model.module)
    return model.module


def answering(model: Model, module: nn.Module) -> Model:
    """Answers are given at the precision of all other arms of the study."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return model.adapted(module)


def save(module: Any, folder: Path) -> None:
    """A complete model in transformers' format (safetensors)."""
    with quiet():
        module.save_pretrained(folder)


def load(model: Model, folder: Path) -> Model:
    """The base model with the saved weights in its place. Raises ModelError when they do not fit."""
    from safetensors.torch import load_file

    weights = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights |= load_file(path)
    missing, unexpected = model.module.load_state_dict(weights, strict=False)
    tied = set(getattr(model.module, "_tied_weights_keys", None) or ())
    if unexpected or set(missing) - tied:
        raise ModelError(f"{folder}: these weights are not of {model.name}; load them with the model they were made of")
    return model


METHOD = Method(
    name="full",
    summary="every parameter moves",
    training=Training(learning_rate=2e-5, weight_decay=0.01),
    shipped="weights",
    apply=apply,
    answering=answering,
    save=save,
    load=load,
)
