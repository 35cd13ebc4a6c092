"""Soft prompts, or prompt tuning (Lester et al. 2021, section 2): n learned embeddings in front of the input.

Trainable parameters: n * d. On an encoder-decoder only the encoder gets a prompt (num_transformer_submodules=1): peft's
default allocates a second half for the decoder that is never used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from torch import nn

from luthier.adapt import peft_format
from luthier.adapt.method import Tuning
from luthier.adapt.settings import Soft
from luthier.model.model import Model
from luthier.training.settings import Training


def apply(model: Model, settings: Soft, seed: int) -> nn.Module:
    """The model wrapped by peft; only the learned prompt requires a gradient."""
    starts = {"vocabulary": "SAMPLE_VOCAB", "text": "TEXT", "random": "RANDOM"}
    config = peft.PromptTuningConfig(
        task_type=peft_format.task_type(model),
        num_virtual_tokens=settings.tokens,
        prompt_tuning_init=starts[settings.start],
        prompt_tuning_init_text=settings.text,
        tokenizer_name_or_path=str(model.folder) if settings.start == "text" else None,
        num_transformer_submodules=1,
    )
    module = peft_format.wrap(model, config, seed)
    if settings.start == "text":
        config.tokenizer_name_or_path = model.name  # as with the base, so that no folder of this machine is shipped
    return module


def answering(model: Model, module: Any) -> Model:
    """The untouched base with the learned prompt as the generator's prefix, computed once for all rows.

    peft's own forward would insert the prompt again at every decoding step.
    """
    with torch.inference_mode():
        prompt = module.get_prompt(batch_size=1)[0].detach().clone()
    return model.adapted(module.get_base_model(), prefix=prompt.to(model.dtype))


def load(model: Model, folder: Path) -> Model:
    """The saved prompt on a fresh base."""
    return answering(model, peft_format.read(model, folder))


METHOD = Tuning(
    name="soft",
    summary="a learned prompt in front of the input",
    training=Training(learning_rate=3e-2),
    apply=apply,
    answering=answering,
    save=peft_format.save,
    load=load,
    sweep={"tokens": (4, 8, 16, 32, 64)},
)
