"""The embeddings of a few tokens train: markers that pretraining hardly saw, such as <|im_start|>.

Trainable parameters: tokens * d. The rows keep their values at the start. Where the output matrix is tied to the
embeddings, its rows change too; otherwise only the input side changes.
"""

from __future__ import annotations

from typing import Any

import peft
from torch import nn

from luthier.adapt import lora, peft_format
from luthier.adapt.method import Tuning
from luthier.adapt.settings import Tokens
from luthier.errors import ModelError, SettingsError
from luthier.model.model import Model
from luthier.training.settings import Training


def apply(model: Model, settings: Tokens, seed: int) -> nn.Module:
    """The model wrapped by peft; only the named rows require a gradient.

    Raises SettingsError for an unknown token. Raises ModelError for a model whose matrices differ although its
    configuration calls them tied, as FLAN-T5's does: peft would write the embeddings' rows into its output matrix.
    """
    module: Any = model.module
    apart = module.get_input_embeddings().weight is not module.get_output_embeddings().weight
    if apart and getattr(module.config, "tie_word_embeddings", False):
        raise ModelError(f"tokens: {model.name} has an output matrix of its own; choose select+parts=shared, or lora")
    config = peft.TrainableTokensConfig(
        task_type=peft_format.task_type(model), token_indices=_ids(model, settings.tokens)
    )
    return peft_format.wrap(model, config, seed)


def _ids(model: Model, named: str) -> list[int]:
    if named == "special":
        return sorted(set(model.tokenizer.all_special_ids))
    vocabulary, tokens = model.tokenizer.get_vocab(), [token.strip() for token in named.split(",")]
    if unknown := [token for token in tokens if token not in vocabulary]:
        special = ", ".join(model.tokenizer.all_special_tokens)
        raise SettingsError(f"tokens: {model.name} has no token '{unknown[0]}'; its special ones are {special}")
    return sorted({vocabulary[token] for token in tokens})


METHOD = Tuning(
    name="tokens",
    summary="the embeddings of a few tokens move",
    training=Training(learning_rate=1e-3),
    apply=apply,
    answering=lora.answering,
    save=peft_format.save,
    load=peft_format.load,
    merge=peft_format.merge,
)
