"""An encoder with a head: a classifier whose body was trained before and whose head is new.

The module is transformers' own classifier of the architecture, so that its adapters load in every tool that reads
PEFT's format. Its head is what stands outside the body, and what the body's file lacks; it starts from a seed.

Which vector the head reads is the body's matter. BERT's classifier takes the first token's; sentence encoders were
trained to mean something by the *mean* over tokens, and say so in `1_Pooling/config.json` (Reimers and Gurevych 2019,
"Sentence-BERT", section 3). There the mean takes the first token's place: a frozen MiniLM with a linear head names 47 %
of the kinds of conversation by the mean and 32 % by BERT's pooler (docs/log.md). ModernBERT's configuration calls the
same choice `classifier_pooling`, and under that name it is kept, so a saved classifier is read again as it was trained.

From the vector that the head reads on, everything is fp32, whatever the body's precision. The head is what every method
trains, and what trains is kept in fp32; a head of the body's precision would be trained as one classifier and answer,
read from its file, as another. It has few weights and sees one vector a row, so that this takes no time. The modules of
the head turn what they are given into their own precision at their door, and need no more care by any method.

    shapes: B rows, T padded tokens, D width
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

POOLING = "1_Pooling/config.json"
PASSES = 10.0  # most passes over few train rows: a head starts from nothing, and a row says no more than one label


def load_encoder(
    folder: Path, config: Any, labels: Sequence[str], *, dtype: torch.dtype, **how: Any
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """(classifier of `labels`, the modules of its head, those of them that are new) from an encoder's folder.

    In the folder of a saved classifier nothing is new. `dtype` is the body's; the head is fp32.
    `how` goes to transformers' from_pretrained. Raises what that raises, and ValueError for weights that lack more
    than a head.
    """
    from transformers import AutoModelForSequenceClassification

    config.id2label = dict(enumerate(labels))
    config.label2id = {label: place for place, label in enumerate(labels)}
    if _means(folder):
        config.classifier_pooling = "mean"
    # In fp32 first: transformers would round the head of a saved classifier with the body.
    module, report = AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, output_loading_info=True, dtype=torch.float32, **how
    )
    pools = getattr(config, "classifier_pooling", None) == "mean" and getattr(_body(module), "pooler", None) is not None
    if pools:
        _body(module).pooler = None  # its weights would never be asked
        _body(module).register_forward_hook(mean_pooled, with_kwargs=True)
    places = dict(module.named_parameters())
    missing = {name for name in report["missing_keys"] if name in places}
    head = _head(module, missing)
    new = tuple(part for part in head if any(name.startswith(f"{part}.") for name in missing))
    if unknown := [name for name in missing if not name.startswith(tuple(f"{part}." for part in new) or ("-",))]:
        raise ValueError(f"the weights lack {min(unknown)}")
    if dtype != torch.float32:
        _narrow_body(module, dtype)
    return module, head, new


def _narrow_body(module: Any, dtype: torch.dtype) -> None:
    """Casts what stands before the vector that the head reads; what stands behind it stays fp32, and takes fp32."""
    behind = _behind_the_body(module)
    for name, parameter in module.named_parameters():  # no buffer: what positions are computed from is not rounded
        if not name.startswith(tuple(f"{part}." for part in behind)):
            parameter.data = parameter.data.to(dtype)
    module.config.dtype = dtype
    for part in behind:
        module.get_submodule(part).register_forward_pre_hook(in_own_precision, with_kwargs=True)


def in_own_precision(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    """A hook before a module: floating tensors that it is given take the precision of its weights."""
    own = next(layer.parameters()).dtype

    def cast(value: Any) -> Any:
        return value.to(own) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    return tuple(map(cast, inputs)), {name: cast(value) for name, value in named.items()}


def start_head(module: Any, head: Sequence[str], seed: int) -> None:
    """Random weights of the architecture's own scale in the head's linear layers, by `seed`; biases are zero."""
    dice = torch.Generator().manual_seed(seed)
    scale = float(getattr(module.config, "initializer_range", 0.02))
    with torch.no_grad():
        for name in head:
            for layer in module.get_submodule(name).modules():
                if isinstance(layer, nn.Linear):
                    layer.weight.copy_(torch.randn(layer.weight.shape, generator=dice) * scale)
                    if layer.bias is not None:
                        layer.bias.zero_()


def mean_pooled(body: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
    """A forward hook: the mean of the hidden states (B, T, D) over the tokens of each row is what the head reads.

    It is taken in fp32, where bf16 cannot even count more than 256 tokens.
    """
    hidden_BTD, mask_BT = output.last_hidden_state, named["attention_mask"]
    weight_BT1 = mask_BT[..., None].to(torch.promote_types(hidden_BTD.dtype, torch.float32))
    output.pooler_output = (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
    return output


def head_parameters(module: nn.Module, head: Sequence[str]) -> set[str]:
    """The names of the head's parameters, in a plain module or inside peft's wrapper."""
    every = [name for name, _ in module.named_parameters()]
    return {name for name in every if any(f".{part}." in f".{name}" for part in head)}


def _means(folder: Path) -> bool:
    """Whether the encoder's folder says that its sentence vectors are means over tokens."""
    file = folder / POOLING
    return bool(file.exists() and json.loads(file.read_text(encoding="utf-8")).get("pooling_mode_mean_tokens"))


def _body(module: Any) -> Any:
    return getattr(module, module.base_model_prefix)


def _head(module: Any, lacking: set[str]) -> tuple[str, ...]:
    """Modules with parameters outside the body, and those inside it that the file lacked (a pooler)."""
    pooler = _pooler(module)
    return (*_outside(module), *([pooler] if any(name.startswith(f"{pooler}.") for name in lacking) else []))


def _behind_the_body(module: Any) -> tuple[str, ...]:
    """Modules from the body's hidden states to the logits: those outside it, and its pooler, new or not."""
    pooler = getattr(_body(module), "pooler", None)
    has_weights = isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters())
    return (*_outside(module), *([_pooler(module)] if has_weights else []))


def _outside(module: Any) -> tuple[str, ...]:
    return tuple(
        name
        for name, child in module.named_children()
        if name != module.base_model_prefix and any(True for _ in child.parameters())
    )


def _pooler(module: Any) -> str:
    return f"{module.base_model_prefix}.pooler"
