"""(IA)^3 (Liu et al. 2022, section 3.3): learned vectors that scale keys, values and the inner activations.

Trainable parameters: d_k + d_v for each attention, d_ff for each feed-forward layer. All start at 1, the identity.
peft's table says which layers of an architecture these are. BART's scales queries instead of keys, which is the same,
because attention uses only their product.
"""

from __future__ import annotations

import peft
from peft.utils import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from torch import nn

from luthier.adapt import lora, peft_format
from luthier.adapt.method import Tuning
from luthier.adapt.settings import IA3
from luthier.errors import SettingsError
from luthier.model.model import Model
from luthier.training.settings import PASSES, Training


def apply(model: Model, settings: IA3, seed: int) -> nn.Module:
    """The model wrapped by peft; only the vectors require a gradient.

    Raises SettingsError for a module that is not there, or an architecture that peft's table does not know.
    """
    outputs, inputs = _places(model, settings)
    config = peft.IA3Config(
        task_type=peft_format.task_type(model), target_modules=outputs + inputs, feedforward_modules=inputs
    )
    return peft_format.wrap(model, config, seed)


def _places(model: Model, settings: IA3) -> tuple[list[str], list[str]]:
    """(modules whose outputs are scaled, modules whose inputs are scaled)."""
    if settings.outputs is None and settings.inputs is None:
        kind = str(getattr(model.module.config, "model_type", ""))
        every = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(kind)
        if every is None:
            raise SettingsError(f"ia3: for a {kind} name the layers: ia3+outputs=k_proj,v_proj+inputs=down_proj")
        inputs = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[kind]
        return [name for name in every if name not in inputs], list(inputs)
    named = [peft_format.targets(model, text, "ia3") if text else [] for text in (settings.outputs, settings.inputs)]
    if any(isinstance(names, str) for names in named):
        raise SettingsError("ia3: 'all-linear' does not say which inputs and which outputs; name the layers")
    return list(named[0]), list(named[1])


METHOD = Tuning(
    name="ia3",
    summary="learned scales of keys, values and inner activations",
    training=Training(learning_rate=3e-3),
    on_encoder=Training(learning_rate=1e-2, most_epochs=PASSES),
    apply=apply,
    answering=lora.answering,
    save=peft_format.save,
    load=peft_format.load,
    merge=peft_format.merge,
    scale_saved=peft_format.scale_ia3,
)
