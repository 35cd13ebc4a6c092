"""What all methods built on peft share: how a model is wrapped, and PEFT's own format on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch

from luthier.adapt.method import float_trainable
from luthier.fused import fuse
from luthier.model import Model


def task_type(model: Model) -> str:
    """What peft calls the model's family."""
    return "SEQ_2_SEQ_LM" if model.family == "encoder-decoder" else "CAUSAL_LM"


def wrap(model: Model, config: peft.PeftConfig, seed: int) -> Any:
    """The model inside peft's wrapper, its adapter started by `seed`; only the adapter requires a gradient."""
    torch.manual_seed(seed)
    module: Any = peft.get_peft_model(model.module, config)
    config.base_model_name_or_path = model.name  # peft puts this machine's folder there
    float_trainable(module)
    return fuse(module)


def save(module: Any, folder: Path) -> None:
    """PEFT's own format: adapter_config.json and adapter_model.safetensors."""
    module.save_pretrained(folder, save_embedding_layers=False)  # left open, peft would ask the hub


def read(model: Model, folder: Path) -> Any:
    """The saved adapter around a fresh base."""
    return fuse(peft.PeftModel.from_pretrained(model.module, folder).eval())
