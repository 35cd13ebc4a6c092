"""An encoder with a head: a classifier with a pretrained body and a new head.

The module is transformers' own classifier of the architecture, so every tool that reads PEFT's format loads its
adapters. The head is the modules outside the body and those that the body's file lacks. A seed starts it.

The body decides which vector the head reads. BERT's classifier takes the first token's vector. Sentence encoders were
trained with the *mean* over tokens, and say so in `1_Pooling/config.json` (Reimers and Gurevych 2019, "Sentence-BERT",
section 3). For them the head reads the mean, which classifies better (docs/log.md). ModernBERT's configuration calls
this choice `classifier_pooling`. The same key is set here, so a saved classifier loads as it was trained.

The head is fp32, whatever the body's precision: every method trains it, and what is new to a model is fp32. A head in
the body's precision would be rounded when it is saved, and answer differently from the trained one. The head is small
and reads one vector a row, so fp32 costs hardly any time. Its modules cast their inputs to their own precision.

    shapes: B rows, T padded tokens, D width
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from luthier.model.weight_files import pools_by_mean


def load_encoder(
    folder: Path, config: Any, labels: Sequence[str], *, dtype: torch.dtype, **how: Any
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """(classifier of `labels`, names of its head's modules, names of the new ones) from an encoder's folder.

    A saved classifier has no new modules. `dtype` is the body's; the head is fp32.
    `how` goes to transformers' from_pretrained. Raises what that raises, and ValueError if weights
    outside the head are missing.
    """
    from transformers import AutoModelForSequenceClassification

    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    if pools_by_mean(folder):
        config.classifier_pooling = "mean"
    # In fp32 first: transformers would round the head of a saved classifier with the body.
    module, report = AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, output_loading_info=True, dtype=torch.float32, **how
    )
    pools = getattr(config, "classifier_pooling", None) == "mean" and getattr(_body(module), "pooler", None) is not None
    if pools:
        _body(module).pooler = None  # its output would never be read
        _body(module).register_forward_hook(mean_pooled, with_kwargs=True)
    parameters = dict(module.named_parameters())
    missing = {name for name in report["missing_keys"] if name in parameters}
    head = _head(module, missing)
    new = tuple(part for part in head if any(name.startswith(f"{part}.") for name in missing))
    if unknown := [name for name in missing if not name.startswith(tuple(f"{part}." for part in new) or ("-",))]:
        raise ValueError(f"the weights lack {min(unknown)}")
    if dtype != torch.float32:
        _narrow_body(module, dtype)
    return module, head, new


def _narrow_body(module: Any, dtype: torch.dtype) -> None:
    """Casts the body to `dtype`. The modules behind its hidden states stay fp32, and cast their inputs to fp32."""
    behind = _modules_behind_body(module)
    for name, parameter in module.named_parameters():  # no buffers, because positions are computed from some
        if not name.startswith(tuple(f"{part}." for part in behind)):
            parameter.data = parameter.data.to(dtype)
    module.config.dtype = dtype
    for part in behind:
        module.get_submodule(part).register_forward_pre_hook(in_own_precision, with_kwargs=True)


def in_own_precision(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    """A forward pre-hook that casts floating-point inputs to the precision of the module's weights."""
    own = next(layer.parameters()).dtype

    def cast(value: Any) -> Any:
        return value.to(own) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    return tuple(map(cast, inputs)), {name: cast(value) for name, value in named.items()}


def start_head(module: Any, head: Sequence[str], seed: int) -> None:
    """Fills the head's linear layers with random weights of the architecture's scale, by `seed`; biases become zero."""
    rng = torch.Generator().manual_seed(seed)
    scale = float(getattr(module.config, "initializer_range", 0.02))
    with torch.no_grad():
        for name in head:
            for layer in module.get_submodule(name).modules():
                if isinstance(layer, nn.Linear):
                    layer.weight.copy_(torch.randn(layer.weight.shape, generator=rng) * scale)
                    if layer.bias is not None:
                        layer.bias.zero_()


def mean_pooled(body: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
    """A forward hook that gives the head the mean (B, D) of the hidden states (B, T, D) over each row's tokens.

    The mean is computed in fp32, because bf16 cannot count more than 256 tokens.
    """
    hidden_BTD, mask_BT = output.last_hidden_state, named["attention_mask"]
    weight_BT1 = mask_BT[..., None].to(torch.promote_types(hidden_BTD.dtype, torch.float32))
    output.pooler_output = (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
    return output


def head_parameters(module: nn.Module, head: Sequence[str]) -> set[str]:
    """The names of the head's parameters, in a plain module or inside peft's wrapper."""
    every = [name for name, _ in module.named_parameters()]
    return {name for name in every if any(f".{part}." in f".{name}" for part in head)}


def _body(module: Any) -> Any:
    return getattr(module, module.base_model_prefix)


def _head(module: Any, missing: set[str]) -> tuple[str, ...]:
    """Names of the modules outside the body that have parameters, and of a pooler that the file lacked."""
    pooler = _pooler(module)
    return (
        *_modules_outside_body(module),
        *([pooler] if any(name.startswith(f"{pooler}.") for name in missing) else []),
    )


def _modules_behind_body(module: Any) -> tuple[str, ...]:
    """Names of the modules between the body's hidden states and the logits: those outside it, and its pooler."""
    pooler = getattr(_body(module), "pooler", None)
    has_weights = isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters())
    return (*_modules_outside_body(module), *([_pooler(module)] if has_weights else []))


def _modules_outside_body(module: Any) -> tuple[str, ...]:
    return tuple(
        name
        for name, child in module.named_children()
        if name != module.base_model_prefix and any(True for _ in child.parameters())
    )


def _pooler(module: Any) -> str:
    return f"{module.base_model_prefix}.pooler"
