"""Bottleneck adapters: x + up(gelu(down(x))) behind a sub-layer, before its skip connection.

    both          behind attention and behind feed-forward (Houlsby et al. 2019, section 2.1)
    feed-forward  behind feed-forward alone (Pfeiffer et al. 2020)

Trainable parameters: 2 m d + d + m for each adapter of width m. `up` starts at zero, so an adapter starts as the
identity. In the paper the layer norms train too; here they do not. peft has no such method, so the format is our own:
the adapters' tensors, and their settings beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luthier.adapt.method import Tuning, freeze
from luthier.adapt.settings import BottleneckSettings
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import write_text
from luthier.model.model import Model
from luthier.planning.moving import ATTENTION_OUTPUTS, FEED_FORWARD_OUTPUTS
from luthier.settings import read_settings, toml_of
from luthier.training.settings import Training

FILE, NOTE = "bottleneck.safetensors", "bottleneck.toml"


class Bottleneck(nn.Module):
    """x -> x + up(gelu(down(x))), in fp32 inside; `up` starts at zero."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.normal_(self.down.weight, std=width**-0.5)
        for start in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.up(F.gelu(self.down(hidden.float()))).to(hidden.dtype)


def apply(model: Model, settings: BottleneckSettings, seed: int) -> nn.Module:
    """The module with an adapter behind each sub-layer; only the adapters require a gradient.

    An adapter is a child module of the layer before it, and a hook runs it. So the base's own parameters keep their
    names. Raises SettingsError for an architecture with unknown sub-layers.
    """
    freeze(model.module)
    torch.manual_seed(seed)
    for layer in _outputs(model, settings.place):
        layer.bottleneck = Bottleneck(_width(layer), settings.width).to(model.device)
        layer.register_forward_hook(lambda layer, _, output: layer.bottleneck(output))
    model.module.bottleneck_settings = settings  # type: ignore[assignment]
    return model.module


def _outputs(model: Model, place: str) -> list[Any]:
    """The layers that get an adapter behind them, in the module's order."""
    ends = FEED_FORWARD_OUTPUTS + (ATTENTION_OUTPUTS if place == "both" else ())
    layers = [
        layer for name, layer in model.module.named_modules() if f".{name}".endswith(tuple(f".{e}" for e in ends))
    ]
    if not layers:
        raise SettingsError(f"bottleneck: the sub-layers of {model.name} are not known here; choose lora")
    return layers


def _width(layer: Any) -> int:
    """The output's width; GPT-2's Conv1D keeps it in `nf`."""
    return int(layer.nf if hasattr(layer, "nf") else layer.out_features)


def save(module: nn.Module, folder: Path) -> None:
    """The adapters' tensors, by their names in the model, and the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    moved = {name: p.detach().contiguous() for name, p in module.named_parameters() if ".bottleneck." in name}
    save_file(moved, folder / FILE, metadata={"format": "pt"})
    settings: Any = module.bottleneck_settings
    write_text(folder / NOTE, toml_of(settings))


def load(model: Model, folder: Path) -> Model:
    """The saved adapters in a fresh base. Raises ModelError when they do not fit."""
    module = apply(model, read_settings(BottleneckSettings, folder / NOTE, FolderError), seed=0)
    parameters, saved = dict(module.named_parameters()), load_file(folder / FILE)
    own = {name: parameter.shape for name, parameter in parameters.items() if ".bottleneck." in name}
    if own != {name: tensor.shape for name, tensor in saved.items()}:
        raise ModelError(
            f"{folder}: these adapters are not of {model.name}; load them with the model they were made of"
        )
    module.load_state_dict(saved, strict=False)
    return answering(model, module)


def answering(model: Model, module: nn.Module) -> Model:
    """The module as it was trained: its adapters are part of its layers."""
    return model.adapted(module)


METHOD = Tuning(
    name="bottleneck",
    summary="small networks behind the sub-layers",
    training=Training(learning_rate=1e-3),
    apply=apply,
    answering=answering,
    save=save,
    load=load,
)
