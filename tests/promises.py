"""The table of promises: for each trained method, what its drawer claims. The tests of adapt/ hold every row to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from luthier.adapt.methods import METHODS, method
from luthier.decoding.answers import label_logprobs
from luthier.decoding.generate import fold, generate
from luthier.decoding.requests import Request
from luthier.model.model import Model, parameter_counts
from luthier.model.widths import quantize
from tests import tiny

WIDTH = 32  # of every tiny model
KINDS = ("decoder-chat", "gpt2", "t5-tied", "t5-untied", "bart", "bert")
BLOCKS = {"decoder-chat": 3, "gpt2": 2, "t5-tied": 2, "t5-untied": 2, "bart": 2, "bert": 2}  # that writes, or reads
HEAD = WIDTH * len(tiny.LABELS) + len(tiny.LABELS)  # an encoder's, which every method trains


@dataclass(frozen=True)
class Claim:
    """What one method claims of itself.

    `moves` is found in the name of every parameter that moves, and in no other; LAST stands for the last block's
    number. An encoder's head moves as well. `count(module, kind)` is the paper's formula. `added` says that what moves
    comes on top of the model, `frozen` how many times as much comes frozen.
    """

    moves: str
    count: Callable[[Any, str], int]
    settings: dict[str, Any] = field(default_factory=dict)
    identity: bool = True
    added: bool = True
    frozen: int = 0
    virtual: int = 0  # learned positions in front of the text's logits
    in_peft: bool = True
    merges: bool = False
    width: str | None = None  # of the base that it trains on
    refused: dict[str, str] = field(default_factory=dict)  # kind -> what the refusal says


def linear(module: Any) -> list[tuple[int, int]]:
    """(d_in, d_out) of each linear layer but the one that makes the logits."""
    head, found = getattr(module, "classifier", None) or module.get_output_embeddings(), []
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and layer is not head:
            found.append((layer.in_features, layer.out_features))
        if isinstance(layer, Conv1D):
            found.append((layer.nx, layer.nf))
    return found


def low_rank(module: Any, kind: str) -> int:
    return sum(4 * (d_in + d_out) for d_in, d_out in linear(module))


def last_block(module: Any, kind: str) -> int:
    stack = {
        "bert": "bert.encoder.layer",
        "gpt2": "transformer.h",
        "bart": "model.decoder.layers",
        "decoder-chat": "model.layers",
    }
    block = module.get_submodule(stack.get(kind, "decoder.block"))[-1]
    return sum(p.numel() for p in block.parameters())


def scales(module: Any, kind: str) -> int:
    """d_k + d_v for each attention and d_ff for each feed-forward layer; GPT-2 scales queries too, in one vector."""
    attention = {"decoder-chat": 3 * (16 + 16), "bert": 2 * (32 + 32), "gpt2": 2 * 3 * 32, "bart": 6 * (32 + 32)}.get(
        kind, 6 * (32 + 32)
    )
    # peft's table means BERT's attention output by the same name.
    inner = {"decoder-chat": 3 * 48, "bert": 2 * (48 + 32), "gpt2": 2 * 128, "bart": 4 * 48}.get(kind, 4 * 48)
    return attention + inner


def sublayers(kind: str) -> int:
    """Attention and feed-forward sub-layers: the decoders' 2 a block, 2 + 3 where there is an encoder."""
    return BLOCKS[kind] * (2 if kind in tiny.DECODERS else 5)


def key_width(kind: str) -> int:
    return 16 if kind == "decoder-chat" else WIDTH  # 2 of 4 heads keep keys: grouped queries


LOW_RANK: dict[str, Any] = {"moves": "lora_", "count": low_rank, "settings": {"rank": 4}, "merges": True}
NO_BIASES = dict.fromkeys(("decoder-chat", "t5-tied", "t5-untied"), "this model has no biases")
LAST_BLOCK = r"(^model\.layers|transformer\.h|encoder\.layer|decoder\.(block|layers))\.LAST\."

CLAIMS: dict[str, Claim] = {
    "full": Claim("", lambda m, kind: parameter_counts(m)[1], added=False, in_peft=False),
    "domain": Claim("", lambda m, kind: parameter_counts(m)[1], added=False, in_peft=False),
    "select": Claim(LAST_BLOCK, last_block, {"layers": 1}, added=False, in_peft=False),
    "bitfit": Claim(
        "bias",
        lambda m, kind: sum(
            p.numel() for name, p in m.named_parameters() if name.endswith("bias") or name.startswith("classifier")
        ),
        added=False, in_peft=False, refused=NO_BIASES,
    ),
    "head": Claim("^classifier", lambda m, kind: HEAD, added=False, in_peft=False),
    "tokens": Claim(
        "trainable_tokens", lambda m, kind: 2 * WIDTH, {"tokens": "<|im_end|>,</s>"}, merges=True,
        refused={"t5-untied": "an output matrix of its own"},
    ),
    "lora": Claim(**LOW_RANK),
    "qlora": Claim(**LOW_RANK, identity=False, width="nf4"),  # it starts as the narrow base, not as the whole one
    "rslora": Claim(**LOW_RANK),
    "dora": Claim(**LOW_RANK | {"count": lambda m, kind: low_rank(m, kind) + sum(d_out for _, d_out in linear(m))}),
    "pissa": Claim(**LOW_RANK | {"moves": r"lora_[AB]\.default", "frozen": 1}),
    "lora-plus": Claim(**LOW_RANK),
    "ia3": Claim("ia3_", scales, merges=True),
    "bottleneck": Claim(
        "bottleneck", lambda m, kind: sublayers(kind) * (2 * 4 * WIDTH + WIDTH + 4), {"width": 4}, in_peft=False
    ),
    "soft": Claim("prompt_encoder", lambda m, kind: 5 * WIDTH, {"tokens": 5}, identity=False, virtual=5),
    "p-tuning": Claim(
        "prompt_encoder",
        lambda m, kind: 5 * WIDTH + (WIDTH * 8 + 8) + (8 * 8 + 8) + (8 * WIDTH + WIDTH),
        {"tokens": 5, "hidden": 8}, identity=False, virtual=5,
    ),
    "prefix": Claim(
        "prompt_encoder", lambda m, kind: 5 * 2 * BLOCKS[kind] * key_width(kind), {"tokens": 5}, identity=False
    ),
}  # fmt: skip
CASES = [
    (name, kind)
    for name, claim in CLAIMS.items()
    for kind in KINDS
    if kind not in claim.refused and METHODS[name].adapts("encoder" if kind in tiny.ENCODERS else "decoder")
]
SECOND = ("decoder-plain", "t5-untied", "bart")  # families beside which another one of the same kind stands


def first_of_a_kind(cases: Iterable[tuple[str, ...]]) -> list[Any]:
    """The cases (method, family, ...); those of a kind's second families are slow."""
    return [pytest.param(*case, marks=[pytest.mark.slow] if case[1] in SECOND else []) for case in cases]


PEFT_CASES = [(name, kind) for name, kind in CASES if CLAIMS[name].in_peft]


def moving(name: str, kind: str, parameters: Iterable[str]) -> set[str]:
    """Which of the parameters the method claims to move."""
    pattern = CLAIMS[name].moves.replace("LAST", str(BLOCKS[kind] - 1))
    if kind in tiny.ENCODERS:
        pattern += r"|^classifier\.|\.modules_to_save\."
    return {parameter for parameter in parameters if re.search(pattern, parameter)}


def settings_of(name: str, **more: Any) -> Any:
    return METHODS[name].settings(**{**CLAIMS[name].settings, **more})


def applied(folder: Path, name: str, precision: str = "fp32", **more: Any) -> tuple[Model, Any]:
    """A fresh tiny model, and the module that the method makes of it."""
    model = tiny.fresh(folder, precision)
    return model, method(name).apply(model, settings_of(name, **more), 0)


def base_of(folder: Path, name: str, precision: str = "fp32") -> Model:
    """A fresh tiny model at the width of the base that the method trains on."""
    model, width = tiny.fresh(folder, precision), CLAIMS[name].width
    return quantize(model, width) if width else model


def expected_count(name: str, base: Any, kind: str) -> int:
    """The paper's formula, and the head where it comes on top of it."""
    count = CLAIMS[name].count(base, kind)
    return count + HEAD if kind in tiny.ENCODERS and name not in ("full", "head", "bitfit") else count


def requests_of(model: Model, count: int = 4, limit: int = 8) -> list[Any]:
    prompts = [model.renderer.prompt(example, tiny.PLAIN, room=limit) for example in tiny.examples(count)]
    if model.family == "encoder":
        return prompts
    return [Request(p.id, p.prompt_ids, limit) for p in prompts]


def answers(model: Model, requests: list[Any] | None = None) -> dict[str, tuple[Any, ...]]:
    """The tokens of each answer; of an encoder the log-probabilities of its labels, to two digits."""
    asked = requests_of(model) if requests is None else requests
    if model.family == "encoder":
        found = label_logprobs(model, asked)
        return {p.id: tuple(round(value, 2) for value in row) for p, row in zip(asked, found, strict=True)}
    return {answer.id: answer.tokens for answer in fold(generate(model, asked), model.tokenizer)}


def losses(module: Any, model: Model, virtual: int = 0) -> torch.Tensor:
    """The summed loss of three rows, each read alone."""
    with torch.no_grad():
        return torch.stack(
            [tiny.reference_loss(module, p, model.family, virtual) for p in tiny.train_prompts(model, 3)]
        )
