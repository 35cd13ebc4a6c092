"""Summed loss over supervised tokens, and the count to divide by.

A mean of means is wrong when batches hold different numbers of supervised tokens. So loss is returned as a sum and a
count, and divided once. Logits are computed at the supervised positions alone (logits.py). The whole model is called,
not its backbone: under prompt tuning the adapter wraps it, and a tied T5 or BART applies a scale or a bias behind the
backbone.

    shapes: B rows, T padded tokens, S supervised tokens of the batch, V vocabulary, D width
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luthier.errors import ModelError, PromptError
from luthier.model.kv_cache import behind
from luthier.model.logits import chooses, positions_only
from luthier.model.shared import Layout, flat, laid_out, supported
from luthier.model.together import decoder_start, padded_alike
from luthier.records import Prompt
from luthier.task.prompt import shared_length

IGNORE = -100  # the label of a position that is not supervised, as everywhere in PyTorch


@dataclass(frozen=True)
class Batch:
    """Padded prompts of one micro-batch: inputs of the model, and the labels for its logits.

    Labels are tokens (B, T), or classes (B,) for an encoder with a head.
    """

    inputs: dict[str, Any]  # tensors, and a cache if there is a learned prefix
    labels_BT: Tensor
    tokens: int  # without padding; a shared beginning counts once for each row
    layout: Layout | None = None  # rows in one sequence behind their shared beginning (shared.py)
    alone: tuple[Batch, ...] = ()  # instead of all that, each row in a batch of its own (together.py)


def collate(prompts: Sequence[Prompt], module: nn.Module, family: str, *, apart: bool = False) -> Batch:
    """Prompts with targets -> one padded batch on the module's device. `apart` prevents one sequence for all rows.

    Decoders are padded on the right and need no mask, because a causal model does not look to the right. Raises
    PromptError for a prompt without a supervised token.
    """
    if len(prompts) > 1 and not _are_together(module, family, apart):
        alone = tuple(collate([prompt], module, family, apart=apart) for prompt in prompts)
        return Batch({}, torch.empty(0, 0), sum(row.tokens for row in alone), alone=alone)
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
    """A batch of separate rows with a learned prompt (P, D) in front of each, for a module without one.

    Padding stays on the right. Labels count from the right, so they do not change.
    """
    if batch.alone:
        return replace(batch, alone=tuple(with_prefix(row, module, prefix_PD) for row in batch.alone))
    inputs = dict(batch.inputs)
    embeds_BTD = module.get_input_embeddings()(inputs.pop("input_ids"))
    front_BPD = prefix_PD.to(embeds_BTD).expand(len(embeds_BTD), -1, -1)
    inputs["inputs_embeds"] = torch.cat([front_BPD, embeds_BTD], 1)
    if "attention_mask" in inputs:
        seen_BP = inputs["attention_mask"].new_ones(front_BPD.shape[:2])
        inputs["attention_mask"] = torch.cat([seen_BP, inputs["attention_mask"]], 1)
    return replace(batch, inputs=inputs)


def with_cache(batch: Batch, module: nn.Module, cache: Callable[[int], Any]) -> Batch:
    """A batch of separate rows behind what `cache(rows)` makes for them."""
    if batch.alone:
        return replace(batch, alone=tuple(with_cache(row, module, cache) for row in batch.alone))
    return replace(batch, inputs=batch.inputs | {**behind(module, cache(len(batch.labels_BT))), "use_cache": False})


def supervised_loss(module: nn.Module, batch: Batch) -> tuple[Tensor, int]:
    """(summed cross-entropy in nats, number of supervised tokens or rows) of one batch, by one call of the model.

    Rows that cannot stand in one batch take a call each.
    """
    if batch.alone:
        losses, counts = zip(*(supervised_loss(module, row) for row in batch.alone), strict=True)
        return torch.stack(losses).sum(), sum(counts)
    if batch.labels_BT.dim() == 1:
        logits_BC, labels_B = class_logits(module, batch), batch.labels_BT
        return F.cross_entropy(logits_BC, labels_B, reduction="sum"), len(labels_B)
    logits_SV, targets_S = supervised_logits(module, batch)
    return F.cross_entropy(logits_SV, targets_S, reduction="sum"), int(targets_S.numel())


def class_logits(module: nn.Module, batch: Batch) -> Tensor:
    """(B, C) fp32 logits of an encoder's head over C classes."""
    if batch.alone:
        return torch.cat([class_logits(module, row) for row in batch.alone])
    logits_BC: Tensor = _call(module, **batch.inputs)
    return logits_BC.float()


def row_losses(module: nn.Module, batch: Batch) -> Tensor:
    """(B,): the summed cross-entropy in nats of each row. Their sum is that of `supervised_loss`."""
    if batch.alone:
        return torch.cat([row_losses(module, row) for row in batch.alone])
    logits_SV, targets_S = supervised_logits(module, batch)
    nats_S = F.cross_entropy(logits_SV, targets_S, reduction="none").double()
    nats_BT = torch.zeros_like(batch.labels_BT, dtype=nats_S.dtype).masked_scatter(batch.labels_BT != IGNORE, nats_S)
    if batch.layout is not None:  # one sequence: nothing is supervised in its shared beginning
        nats_BT = nats_BT[0, batch.layout.shared :].view(batch.layout.rows, batch.layout.width)
    return nats_BT.sum(1)


def supervised_logits(module: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """fp32 logits (S, V) at the supervised positions, row after row, and the supervised tokens (S,)."""
    if batch.alone:
        logits, targets = zip(*(supervised_logits(module, row) for row in batch.alone), strict=True)
        return torch.cat(logits), torch.cat(targets)
    labels_BT = batch.labels_BT
    wanted_BT = labels_BT != IGNORE
    targets_S = labels_BT[wanted_BT]

    def supervised(hidden: Tensor) -> Tensor:
        # A learned prompt adds positions in front, so the text's positions are counted from the right.
        return hidden[:, -labels_BT.shape[1] :][wanted_BT]

    with positions_only(module, supervised), laid_out(batch.layout):
        logits_SV = _call(module, **{"use_cache": False} | batch.inputs)
    if not chooses(module):
        logits_SV = supervised(logits_SV)
    return logits_SV.float(), targets_S


def _are_together(module: nn.Module, family: str, apart: bool) -> bool:
    """Whether rows may stand in one batch: in one sequence, or padded."""
    in_one_sequence = family == "decoder" and not apart and supported(module)
    return in_one_sequence or padded_alike(module, family)


def _call(module: Any, **inputs: Any) -> Tensor:
    """Logits of one call. Raises ModelError for rows that the architecture refuses, as Reformer does in training."""
    try:
        logits: Tensor = module(**inputs).logits
    except (ValueError, NotImplementedError, AssertionError) as error:
        said = " ".join(str(error).split())[:200]
        raise ModelError(
            f"a model of type '{module.config.model_type}' does not take these rows ({said}); choose another model"
        ) from error
    return logits


def _classes(prompts: Sequence[Prompt], module: nn.Module) -> Batch:
    """An encoder's batch: rows padded on the right, the mask (B, T) that hides padding, and a class for each row.

    Rows without a label have the class IGNORE.
    """
    device = next(module.parameters()).device
    rows = [list(p.prompt_ids) for p in prompts]
    pad = int(getattr(module.config, "pad_token_id", None) or 0)  # RoBERTa counts positions from it
    mask = _right([[1] * len(row) for row in rows], 0, device)
    labels_B = torch.tensor([IGNORE if p.label is None else p.label for p in prompts], device=device)
    inputs = {"input_ids": _right(rows, pad, device), "attention_mask": mask}
    return Batch(inputs, labels_B, sum(map(len, rows)))


def _in_one_sequence(rows: list[list[int]], labels: list[list[int]], shared: int, tokens: int) -> Batch:
    """One sequence (1, P + B T): the shared beginning, then the rest of each row, padded on its right."""
    layout = Layout(shared, len(rows), max(map(len, rows)) - shared)
    positions = [*range(shared), *list(range(shared, shared + layout.width)) * layout.rows]
    inputs = {
        "input_ids": torch.tensor([flat(rows, layout, 0)], dtype=torch.long),
        "position_ids": torch.tensor([positions], dtype=torch.long),
    }
    return Batch(inputs, torch.tensor([flat(labels, layout, IGNORE)], dtype=torch.long), tokens, layout)


def _right(rows: list[list[int]], fill: int, device: torch.device) -> Tensor:
    """Rows padded on the right with `fill` to one (B, T) tensor."""
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows], dtype=torch.long, device=device)
