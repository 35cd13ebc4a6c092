"""P-tuning (Liu et al. 2021, "GPT understands, too"): a learned prompt that a small network writes.

The network exists only in training. Its final output is saved as a prompt, as in soft. Its last layer starts so that
the network writes the embeddings of random words, where soft's prompt starts too (Lester et al. 2021, section 3.2). The
output of an untrained network is far from every word, and a few hundred rows do not correct that (docs/log.md).

Trainable parameters, n tokens of width d and a network of width h: n d for what the network reads, and for an MLP
(d h + h) + (h h + h) + (h d + d).
"""

from __future__ import annotations

from typing import Any

import peft
import torch
from torch import Tensor, nn

from luthier.adapt import peft_format, soft
from luthier.adapt.method import Tuning
from luthier.adapt.settings import PTuning
from luthier.model.model import Model
from luthier.training.settings import Training


def apply(model: Model, settings: PTuning, seed: int) -> nn.Module:
    """The model wrapped by peft; only the network and its input embeddings require a gradient."""
    hidden: Any = settings.hidden  # peft takes None for the model's own width
    config = peft.PromptEncoderConfig(
        task_type=peft_format.task_type(model),
        num_virtual_tokens=settings.tokens,
        encoder_reparameterization_type=settings.network.upper(),
        encoder_hidden_size=hidden,
        num_transformer_submodules=1,
    )
    module: Any = peft_format.wrap(model, config, seed)
    if settings.start == "vocabulary":
        words = torch.tensor(peft_format.random_words(model.tokenizer, settings.tokens, seed), device=model.device)
        base: Any = module.get_base_model()
        _write_at_first(module.prompt_encoder["default"], base.get_input_embeddings().weight.detach()[words].float())
    return module


@torch.no_grad()
def _write_at_first(network: Any, start_ND: Tensor) -> None:
    """Sets the last layer to the smallest weights with which the network writes these embeddings (N, D).

    A network that is narrower than the prompt is long writes the nearest embeddings that it can.
    """
    *inner, last = network.mlp_head
    read = network.embedding.weight
    if hasattr(network, "lstm_head"):
        read = network.lstm_head(read[None])[0][0]
    hidden_NH = nn.Sequential(*inner)(read)
    last.bias.copy_(start_ND.mean(0))
    last.weight.copy_((torch.linalg.pinv(hidden_NH.double()) @ (start_ND - last.bias).double()).T)


METHOD = Tuning(
    name="p-tuning",
    summary="a learned prompt, written by a small network",
    training=Training(learning_rate=1e-3),
    apply=apply,
    answering=soft.answering,
    save=peft_format.save,
    load=soft.load,
)
