"""QLoRA (Dettmers et al. 2023, section 3): LoRA on a frozen base whose linear layers hold four bits a weight.

The adapter trains beside the rounded weights, so it learns to compensate the rounding. It answers on the same rounded
base. `lora@nf4` has the other order: it trains on whole weights, which are then rounded. Trainable parameters: as LoRA.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from luthier.adapt import lora, peft_format
from luthier.adapt.method import Tuning
from luthier.adapt.settings import QLora
from luthier.model.model import Model
from luthier.model.widths import quantize, rounded
from luthier.results.arm_record import BaseWidth
from luthier.training.settings import Training


def apply(model: Model, settings: QLora, seed: int) -> nn.Module:
    """The model made narrow and wrapped by peft; only A and B require a gradient, in fp32."""
    module = lora.apply(quantize(model, settings.width), settings, seed)
    module.base_width = settings.width  # type: ignore[assignment]
    return module


def save(module: Any, folder: Path) -> None:
    """Writes PEFT's own format, and the width of the base in a file beside it."""
    peft_format.save(module, folder)
    BaseWidth(width=module.base_width).write(folder)


def load(model: Model, folder: Path) -> Model:
    """The saved adapter beside the layers of a fresh base at the width that it was trained on."""
    return peft_format.load(quantize(model, BaseWidth.read(folder).width), folder)


def merge(model: Model, folder: Path) -> Model:
    """A plain model: the rounded weights in full precision, plus the update.

    The update added to whole weights would be a different model from the trained one.
    """
    return peft_format.merge(rounded(model, BaseWidth.read(folder).width), folder)


METHOD = Tuning(
    name="qlora",
    summary="low-rank updates, trained on a narrow base",
    training=Training(learning_rate=1e-3),
    apply=apply,
    answering=lora.answering,
    save=save,
    load=load,
    merge=merge,
    scale_saved=peft_format.scale_lora,
    sweep={"rank": (4, 8, 16, 32, 64)},
)
