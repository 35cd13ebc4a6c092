"""LoRA (Hu et al. 2021, section 4.1): W + (alpha / r) B A with W frozen, A random and B zero, so it starts as identity.

Trainable parameters: r * (d_in + d_out) for each adapted matrix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from pydantic import Field
from torch import nn

from luthier.adapt.method import Method, float_trainable
from luthier.loop import Training
from luthier.model import Model
from luthier.settings import Settings


class Lora(Settings):
    """LoRA's own dials. Why these defaults: docs/training.md."""

    rank: int = Field(16, ge=1, description="r, the inner width of the update")
    alpha: float | None = Field(None, gt=0, description="the update is scaled by alpha / r; None: alpha = 2 r")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    targets: str = Field(
        "all-linear", description="'all-linear', or module names joined by commas such as 'q_proj,v_proj'"
    )


def apply(model: Model, settings: Lora, seed: int) -> nn.Module:
    """The model wrapped by peft; only the A and B matrices require a gradient."""
    targets: Any = settings.targets if settings.targets == "all-linear" else settings.targets.split(",")
    config = peft.LoraConfig(
        task_type="SEQ_2_SEQ_LM" if model.family == "encoder-decoder" else "CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha or 2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules=targets,
    )
    config.base_model_name_or_path = model.name
    torch.manual_seed(seed)  # the start of A
    module = peft.get_peft_model(model.module, config)
    float_trainable(module)
    return module


def answering(model: Model, module: Any) -> Model:
    """The transformers module with LoRA inside its layers; peft's wrapper adds nothing while answering."""
    return model.adapted(module.get_base_model())


def save(module: Any, folder: Path) -> None:
    """PEFT's own format: adapter_config.json and adapter_model.safetensors."""
    module.save_pretrained(folder, safe_serialization=True)


def load(model: Model, folder: Path) -> Model:
    """The saved adapter on a fresh base."""
    return answering(model, peft.PeftModel.from_pretrained(model.module, folder).eval())


METHOD = Method(
    name="lora",
    summary="low-rank updates of the linear layers",
    settings=Lora,
    dial="rank",
    dial_prefix="r",
    training=Training(learning_rate=1e-3),
    apply=apply,
    answering=answering,
    save=save,
    load=load,
)
