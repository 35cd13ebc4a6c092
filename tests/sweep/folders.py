"""The folder of a tiny random model of any architecture, and what is right for it by the plainest way.

Right is what the model itself says of one row alone: the whole row read in one pass, without a cache, without padding
and without another row. Everything that is faster has to agree with that.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from luthier.model.quiet import quiet
from luthier.records import Prompt
from tests import tiny
from tests.sweep.configs import architectures, tiny_config

MOST_PARAMETERS = 6_000_000
CLASSES = {
    "decoder": "AutoModelForCausalLM", "encoder-decoder": "AutoModelForSeq2SeqLM",
    "encoder": "AutoModelForMaskedLM", "other": "AutoModelForImageTextToText",
}  # fmt: skip
CLOSE = 2e-4  # of the largest logit: two orders of the same sums


class Unmade(Exception):
    """No tiny model of an architecture can be made: a reason."""


def make(model_type: str, folder: Path) -> Path:
    """Writes the architecture's tiny model and a tokenizer. Raises Unmade where its configuration cannot be guessed."""
    family = architectures()[model_type]
    torch.manual_seed(0)
    try:
        config = tiny_config(model_type)
        with quiet():
            module = _built(family, config)
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()
        raise Unmade(" ".join(said)[:150]) from error
    widen(module)
    tokens = tiny.tokenizer(ends_prompts=family in ("encoder-decoder", "encoder"))
    with quiet():
        module.save_pretrained(folder)
        tokens.save_pretrained(folder)
    return folder


def stub(model_type: str, folder: Path) -> Path:
    """A folder whose config.json is the architecture's own, with weights that are none: for what is refused by type."""
    config = CONFIG_MAPPING[model_type]()
    with quiet():
        config.save_pretrained(folder)
        tiny.tokenizer().save_pretrained(folder)
    save_file({f"weight.{number}": torch.zeros(1) for number in range(200)}, folder / "model.safetensors")
    return folder


def _built(family: str, config: Any) -> Any:
    loader = getattr(transformers, CLASSES[family])
    if family == "encoder" and type(config) not in loader._model_mapping:
        loader = transformers.AutoModelForSequenceClassification
    with torch.device("meta"):
        if (count := sum(p.numel() for p in loader.from_config(config).parameters())) > MOST_PARAMETERS:
            raise Unmade(f"its smallest has {count:,} parameters")
    return loader.from_config(config).eval()


def widen(module: nn.Module) -> None:
    """Matrices of a size that makes answers differ: with the usual small ones, the last token is repeated for ever."""
    dice = torch.Generator().manual_seed(0)
    embeddings = {id(one.weight) for one in module.modules() if isinstance(one, nn.Embedding)}
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            if parameter.dim() < 2 or not name.endswith(("weight", "proj", "kernel")) or "norm" in name:
                continue
            scale = 0.3 if id(parameter) in embeddings else 1.5 / math.sqrt(parameter.shape[-1])
            parameter.copy_(torch.randn(parameter.shape, generator=dice) * scale)
        for one in module.modules():
            if isinstance(one, nn.Embedding) and one.padding_idx is not None:
                one.weight[one.padding_idx] = 0  # as in every model that was trained


@torch.no_grad()
def plain_logits(module: Any, family: str, prompt: Sequence[int], written: Sequence[int]) -> torch.Tensor:
    """(T, V) logits behind the prompt and behind each written token but the last: one row, one pass, no cache."""
    if family == "decoder":
        logits = module(input_ids=torch.tensor([[*prompt, *written]]), use_cache=False).logits
        return logits[0, len(prompt) - 1 : len(prompt) + len(written)].float()
    ids, start = torch.tensor([list(prompt)]), module.config.decoder_start_token_id
    mask, said = torch.ones_like(ids), torch.tensor([[start, *written]])
    logits = module(input_ids=ids, attention_mask=mask, decoder_input_ids=said, use_cache=False).logits
    return logits[0].float()


def not_greedy(
    module: Any, family: str, prompt: Sequence[int], said: Sequence[int], limit: int, ends: Collection[int]
) -> str:
    """What is wrong with greedy tokens; '' for nothing. Each is the likeliest behind those before it, but for ties."""
    if not said or len(said) > limit or (len(said) < limit and said[-1] not in ends):
        return f"{len(said)} tokens under a limit of {limit}"
    for place, token in enumerate(said):
        row = plain_logits(module, family, prompt, said[:place])[-1]
        if row.max() - row[token] > CLOSE * row.abs().max():
            return f"token {place + 1} of {len(said)} is {token}, not {int(row.argmax())}"
    return ""


def plain_nats(module: Any, family: str, prompt: Prompt) -> float:
    """The summed cross-entropy of a prompt's target."""
    target = torch.tensor(prompt.target_ids)
    logits = plain_logits(module, family, prompt.prompt_ids, prompt.target_ids or ())[: len(target)]
    return float(nn.functional.cross_entropy(logits, target, reduction="sum"))
