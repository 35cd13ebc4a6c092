"""Summed loss over supervised tokens, and the count to divide by.

Two rules. A mean of means is wrong as soon as batches hold different numbers of supervised tokens, so loss travels as
(sum, count) and is divided once. And logits are formed at the supervised positions alone (logits.py). The model itself
is called through its root, because under prompt tuning the adapter lives there, and a tied T5 or BART puts a scale or a
bias behind its backbone.

    shapes: B rows, T padded tokens, S supervised tokens of the batch, V vocabulary, D width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.errors import PromptError
from luthier.model.logits import positions_only
from luthier.model.shared import Layout, flat, laid_out, shared_length, supported
from luthier.records import Prompt

IGNORE = -100  # the label of a position that is not supervised, as everywhere in PyTorch


def decoder_start(module: Any) -> int:
    """The token with which an encoder-decoder begins to write."""
    config = module.config
    start = getattr(config, "decoder_start_token_id", None)
    return int(config.pad_token_id if start is None else start)


@dataclass(frozen=True)
class Batch:
    """Padded prompts of one micro-batch: inputs for the model and the labels that its logits are held to.

    Labels are tokens (B, T), or for an encoder with a head classes (B,).
    """

    inputs: dict[str, Any]  # tensors; a cache too, where a learned prefix comes first
    labels_BT: Tensor
    tokens: int  # real tokens, padding left out; a shared beginning counts once for each row that it stands in
    layout: Layout | None = None  # rows in one sequence behind their shared beginning (shared.py)


def collate(prompts: Sequence[Prompt], module: nn.Module, family: str, *, apart: bool = False) -> Batch:
    """Prompts with targets -> one padded batch on the module's device; `apart` keeps each row a row of its own.

    Decoders are padded on the right and need no mask: a causal model never looks to its right, so real tokens do not
    see padding. Raises PromptError for a prompt without a supervised token.
    """
    if family == "encoder":
        return _classes(prompts, module)
    for prompt in prompts:
        if not prompt.target_ids:
            raise PromptError(f"example '{prompt.id}' has no supervised token, so nothing can be learned from it")
    device = next(module.parameters()).device
    tokens = sum(len(p.prompt_ids) + len(p.target_ids or ()) for p in prompts)
    if family == "decoder":
        rows = [[*p.prompt_ids, *(p.target_ids or ())] for p in prompts]
        # The label of a position is the token behind it; the prompt's own tokens are not supervised.
        labels = [[IGNORE] * (len(p.prompt_ids) - 1) + list(p.target_ids or ()) + [IGNORE] for p in prompts]
        if supported(module) and not apart:
            return _in_one_sequence(rows, labels, shared_length([p.prompt_ids for p in prompts]), tokens)
        return Batch({"input_ids": _right(rows, 0, device)}, _right(labels, IGNORE, device), tokens)
    start = decoder_start(module)
    mask = [[1] * len(p.prompt_ids) for p in prompts]
    written = [[start, *(p.target_ids or ())[:-1]] for p in prompts]
    inputs = {
        "input_ids": _right([list(p.prompt_ids) for p in prompts], 0, device),
        "attention_mask": _right(mask, 0, device),
        "decoder_input_ids": _right(written, 0, device),
    }
    return Batch(inputs, _right([list(p.target_ids or ()) for p in prompts], IGNORE, device), tokens)


def with_prefix(batch: Batch, module: Any, prefix_PD: Tensor) -> Batch:
    """A batch of rows apart, with a learned prompt (P embeddings of width D) in front of each, for a model without one.

    Padding stays on the right, behind both, and labels are counted from the right, so they stay as they are.
    """
    inputs = dict(batch.inputs)
    embeds_BTD = module.get_input_embeddings()(inputs.pop("input_ids"))
    front_BPD = prefix_PD.to(embeds_BTD).expand(len(embeds_BTD), -1, -1)
    inputs["inputs_embeds"] = torch.cat([front_BPD, embeds_BTD], 1)
    if "attention_mask" in inputs:
        seen_BP = inputs["attention_mask"].new_ones(front_BPD.shape[:2])
        inputs["attention_mask"] = torch.cat([seen_BP, inputs["attention_mask"]], 1)
    return replace(batch, inputs=inputs)


def supervised_loss(module: nn.Module, batch: Batch) -> tuple[Tensor, int]:
    """(summed cross-entropy in nats, number of supervised tokens or rows) of one batch, by one call of the model."""
    if batch.labels_BT.dim() == 1:
        logits_BC, labels_B = class_logits(module, batch), batch.labels_BT
        return F.cross_entropy(logits_BC, labels_B, reduction="sum"), len(labels_B)
    logits_SV, targets_S = _supervised_logits(module, batch)
    return F.cross_entropy(logits_SV, targets_S, reduction="sum"), int(targets_S.numel())


def class_logits(module: nn.Module, batch: Batch) -> Tensor:
    """(B, C) fp32 logits of an encoder's head over C classes."""
    logits_BC: Tensor = module(**batch.inputs).logits
    return logits_BC.float()


def row_losses(module: nn.Module, batch: Batch) -> Tensor:
    """(B,): the summed cross-entropy in nats of each row; together they are `supervised_loss`."""
    logits_SV, targets_S = _supervised_logits(module, batch)
    nats_S = F.cross_entropy(logits_SV, targets_S, reduction="none").double()
    nats_BT = torch.zeros_like(batch.labels_BT, dtype=nats_S.dtype).masked_scatter(batch.labels_BT != IGNORE, nats_S)
    if batch.layout is not None:  # one sequence: nothing is supervised in its shared beginning
        nats_BT = nats_BT[0, batch.layout.shared :].view(batch.layout.rows, batch.layout.width)
    return nats_BT.sum(1)


def _supervised_logits(module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """fp32 logits (S, V) where a token is supervised, and those tokens (S,)."""
    labels_BT = batch.labels_BT
    wanted_BT = labels_BT != IGNORE
    targets_S = labels_BT[wanted_BT]

    def supervised(hidden: Tensor) -> Tensor:
        # A learned prompt adds positions in front, so the text's positions are counted from the right.
        return hidden[:, -labels_BT.shape[1] :][wanted_BT]

    with positions_only(module, supervised), laid_out(batch.layout):
        logits_SV = module(**batch.inputs, use_cache=False).logits
    return logits_SV.float(), targets_S


def _classes(prompts: Sequence[Prompt], module: nn.Module) -> Batch:
    """An encoder's batch: rows padded on the right, the mask (B, T) that hides padding, and a class for each row.

    Rows without a label, which are only asked, have IGNORE.
    """
    device = next(module.parameters()).device
    rows = [list(p.prompt_ids) for p in prompts]
    pad = int(getattr(module.config, "pad_token_id", None) or 0)  # RoBERTa counts positions from it
    mask = _right([[1] * len(row) for row in rows], 0, device)
    labels_B = torch.tensor([IGNORE if p.label is None else p.label for p in prompts], device=device)
    inputs = {"input_ids": _right(rows, pad, device), "attention_mask": mask}
    return Batch(inputs, labels_B, sum(map(len, rows)))


def _in_one_sequence(rows: list[list[int]], labels: list[list[int]], shared: int, tokens: int) -> Batch:
    """One sequence (1, P + B T): what all rows begin with, then the rest of each row, padded on its right."""
    layout = Layout(shared, len(rows), max(map(len, rows)) - shared)
    places = [*range(shared), *list(range(shared, shared + layout.width)) * layout.rows]
    inputs = {
        "input_ids": torch.tensor([flat(rows, layout, 0)], dtype=torch.long),
        "position_ids": torch.tensor([places], dtype=torch.long),
    }
    return Batch(inputs, torch.tensor([flat(labels, layout, IGNORE)], dtype=torch.long), tokens, layout)


def _right(rows: list[list[int]], fill: int, device: torch.device) -> Tensor:
    """Rows padded on the right with `fill` to one (B, T) tensor."""
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows], dtype=torch.long, device=device)
