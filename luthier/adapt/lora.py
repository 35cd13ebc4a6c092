"""LoRA (Hu et al. 2021, section 4.1): W + (alpha / r) B A with frozen W, random A and zero B, so it starts as W.

Trainable parameters: r * (d_in + d_out) for each adapted matrix.
"""

from __future__ import annotations

from typing import Any

import peft
from torch import nn

from luthier.adapt import peft_format
from luthier.adapt.method import Tuning
from luthier.adapt.settings import Lora
from luthier.model.model import Model
from luthier.training.settings import PASSES, Training


def apply(model: Model, settings: Lora, seed: int) -> nn.Module:
    """The model wrapped by peft; only A and B require a gradient. Raises SettingsError for a target it lacks."""
    return peft_format.wrap(model, config(model, settings), seed)


def config(model: Model, settings: Lora, **more: Any) -> peft.LoraConfig:
    """peft's configuration; `more` is what a variant of LoRA adds to it."""
    alpha: Any = settings.alpha or 2 * settings.rank
    plain: dict[str, Any] = {
        "task_type": peft_format.task_type(model),
        "r": settings.rank,
        "lora_alpha": alpha,
        "lora_dropout": settings.dropout,
        "target_modules": peft_format.targets(model, settings.targets, "lora"),
        "exclude_modules": peft_format.left_out(model) if settings.targets == "all-linear" else None,
    }
    return peft.LoraConfig(**(plain | more))


def answering(model: Model, module: Any) -> Model:
    """The transformers module with LoRA inside its layers; peft's wrapper adds nothing while answering."""
    return model.adapted(module.get_base_model())


METHOD = Tuning(
    name="lora",
    summary="low-rank updates of the linear layers",
    training=Training(learning_rate=1e-3),
    on_encoder=Training(learning_rate=2e-3, most_epochs=PASSES),
    apply=apply,
    answering=answering,
    save=peft_format.save,
    load=peft_format.load_added,
    merge=peft_format.merge,
    scale_saved=peft_format.scale_lora,
    sweep={"rank": (4, 8, 16, 32, 64)},
)
