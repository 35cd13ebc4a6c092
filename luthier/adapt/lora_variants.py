"""Variants of LoRA: another scale, another start, a separate magnitude, or two learning rates.

    rslora    Kalajdzievski 2023: the update is scaled by alpha / sqrt(r) instead of alpha / r
    dora      Liu et al. 2024: the update gives each output's weights their direction; lengths train separately
    pissa     Meng et al. 2024: A and B start as the r principal singular directions of W, the rest of W is frozen
    lora-plus Hayou et al. 2024: B learns at a multiple of A's rate

Trainable parameters: r * (d_in + d_out) for each adapted matrix; dora adds its d_out lengths. All four
save an adapter for the unmodified base, so every tool that reads PEFT's format can load it.
"""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import peft
import torch
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn

from luthier.adapt import lora, peft_format
from luthier.adapt.method import Tuning
from luthier.adapt.settings import Lora, LoraPlus, RsLora
from luthier.model.model import Model
from luthier.training.settings import PASSES, Training

START = "start"  # the frozen second adapter of pissa


def apply(model: Model, settings: Lora, seed: int, **more: Any) -> nn.Module:
    """The model wrapped by peft; `more` are the variant's own keys in peft's configuration."""
    return peft_format.wrap(model, lora.config(model, settings, **more), seed)


def apply_rslora(model: Model, settings: RsLora, seed: int) -> nn.Module:
    """As LoRA, with a scale that decreases more slowly with the rank."""
    return apply(model, settings, seed, use_rslora=True, lora_alpha=settings.alpha or 8.0)


def faster_b(settings: LoraPlus, module: nn.Module) -> dict[str, float]:
    """B's multiple of the learning rate, by parameter name."""
    return {name: settings.ratio for name, _ in module.named_parameters() if "lora_B" in name}


def apply_pissa(model: Model, settings: Lora, seed: int) -> nn.Module:
    """W' = W - s B0 A0 + s B A, where s B0 A0 is the best rank-r approximation of W and A, B start as A0, B0.

    peft subtracts s B0 A0 from the base. That rounds the base in bf16, and the adapter no longer fits the unmodified
    base. Here two adapters on the untouched W give the same sum: the trained one, and a frozen one with -B0 A0.
    """
    originals = {name: layer.weight.data for name, layer in model.module.named_modules() if hasattr(layer, "weight")}
    module: Any = peft_format.wrap(model, lora.config(model, settings, init_lora_weights="pissa"), seed)
    module.add_adapter(START, lora.config(model, settings, lora_dropout=0.0))
    for name, layer in _layers(module):
        layer.base_layer.weight.data = originals[name]
        layer.lora_A[START].weight.data = layer.lora_A["default"].weight.detach().clone()
        layer.lora_B[START].weight.data = -layer.lora_B["default"].weight.detach().clone()
    module.base_model.set_adapter(["default", START])
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(".default." in name)
    return module


def save_pissa(module: Any, folder: Path) -> None:
    """One plain LoRA of rank 2r for the unmodified base: [B | -B0] [A ; A0]."""
    trained, start = (
        get_peft_model_state_dict(module, adapter_name=name, save_embedding_layers=False) for name in ("default", START)
    )
    # A (r, d_in) gets more rows, B (d_out, r) gets more columns.
    joined = {
        key: torch.cat([trained[key], start[key]], dim=0 if "lora_A" in key else 1).contiguous() for key in trained
    }
    config = copy.deepcopy(module.peft_config["default"])
    config.r, config.lora_alpha = 2 * config.r, 2 * config.lora_alpha  # the scale alpha / r stays
    config.init_lora_weights, config.inference_mode = True, True
    folder.mkdir(parents=True, exist_ok=True)
    save_file(joined, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    peft_format.in_order(config)
    config.save_pretrained(folder)


def _layers(module: Any) -> list[tuple[str, Any]]:
    """(name in the base model, layer) of every layer that carries LoRA."""
    return [
        (name, layer)
        for name, layer in module.get_base_model().named_modules()
        if isinstance(layer, peft.tuners.lora.LoraLayer)
    ]


def _row(name: str, summary: str, **own: Any) -> Tuning:
    plain: dict[str, Any] = {
        "training": Training(learning_rate=1e-3),
        "on_encoder": Training(learning_rate=2e-3, most_epochs=PASSES),
        "apply": apply,
        "answering": lora.answering,
        "save": peft_format.save,
        "load": peft_format.load_added,
        "merge": peft_format.merge,
        "scale_saved": peft_format.scale_lora,
    }
    return Tuning(name=name, summary=summary, **(plain | own))


METHODS = (
    _row("rslora", "low-rank updates, scaled for any rank", apply=apply_rslora),
    _row("dora", "low-rank updates of direction, and lengths", apply=partial(apply, use_dora=True),
         scale_saved=None),  # its lengths follow from the directions, so no part of it is a change to scale

    _row("pissa", "low-rank updates from the principal directions", apply=apply_pissa, save=save_pissa,
         training=Training(learning_rate=1e-4), on_encoder=None),
    _row("lora-plus", "low-rank updates with a faster B", rates=faster_b,
         training=Training(learning_rate=2e-4), on_encoder=Training(learning_rate=4e-4, most_epochs=PASSES)),
)  # fmt: skip
