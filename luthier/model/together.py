"""Whether rows of different length may stand in one padded batch: what each says must be what it says alone.

Most architectures hide padding from the other tokens. Some mix all positions of a row, padding with them, by a Fourier
transform (FNet), landmarks over the padded length (Nystromformer) or hashing (YOSO, Reformer). Rows of those are read
alone. Each model is tried on three short rows before its first batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from luthier.model.attention import Trials
from luthier.model.exact import as_alone, trial_tokens
from luthier.model.shared import without_dropout

LENGTHS = (9, 4, 12)  # of the rows of a trial

_TRIALS = Trials()


def padded_alike(module: nn.Module, family: str) -> bool:
    """Whether this model gives the same logits for padded rows and for each row alone. The first call tries it."""
    return _TRIALS.passed(module, lambda tried: _same_logits(tried, family))


def decoder_start(module: Any) -> int:
    """The first token of an encoder-decoder's decoder input."""
    config = module.config
    start = getattr(config, "decoder_start_token_id", None)
    return int(config.pad_token_id if start is None else start)


@torch.no_grad()
def _same_logits(module: Any, family: str) -> bool:
    size = module.get_input_embeddings().weight.shape[0]
    ids = iter(trial_tokens(size, range(1, sum(LENGTHS) + 1)))
    rows = [[next(ids) for _ in range(length)] for length in LENGTHS]

    def alone() -> Tensor:
        return torch.cat([_logits(module, family, [row]) for row in rows])

    with without_dropout(module):
        return as_alone(module, _logits(module, family, rows), alone(), alone)


def _logits(module: Any, family: str, rows: list[list[int]]) -> Tensor:
    """(N, V) logits behind every token of the rows, padded to one length; of an encoder (B, C)."""
    device, width = next(module.parameters()).device, max(map(len, rows))
    pad = 0 if family == "decoder" else int(getattr(module.config, "pad_token_id", None) or 0)
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    if family == "encoder":
        logits: Tensor = module(input_ids=ids, attention_mask=mask).logits
        return logits
    if family == "decoder":
        logits = module(input_ids=ids, use_cache=False).logits
    else:
        written = torch.cat([torch.full_like(ids[:, :1], decoder_start(module)), ids[:, :-1]], 1)
        logits = module(input_ids=ids, attention_mask=mask, decoder_input_ids=written, use_cache=False).logits
    logits = logits[:, -width:]  # a learned prompt stands in front
    return torch.cat([logits[number, : len(row)] for number, row in enumerate(rows)])
