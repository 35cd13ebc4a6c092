"""Training rows of a corpus under an objective, as batches whose position can be saved; and rows as tensors.

B rows    T tokens    S tokens of the source
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from luthier.scratch.fused import summed_nats
from luthier.scratch.objectives import (
    IGNORE,
    Row,
    Vocabulary,
    corrupted,
    masked,
    packed,
    tokens_for_inputs,
    with_prefix,
)

Encode = Callable[[str], list[int]]


class RowBatches:
    """The loop's batches: `rows_a_step` rows a step, in micro-batches of at most `micro_rows`, for `steps` steps.

    Each pass shuffles the documents by the seed. Rows of a step follow from seed and position alone, so a resumed
    training sees the same. A pass that is not read to its end is shuffled as far as it is read: by this training, or by
    one of `longest` steps, with which this one then has its first rows in common.
    """

    def __init__(
        self, texts: Sequence[str], encode: Encode, vocabulary: Vocabulary, *, objective: str, row: int, steps: int,
        rows_a_step: int, micro_rows: int, seed: int, longest: int | None = None,
    ) -> None:  # fmt: skip
        self.vocabulary, self.objective, self.seed = vocabulary, objective, seed
        self.steps, self.rows_a_step, self.micro_rows, self.position = steps, rows_a_step, micro_rows, 0
        drawn = self._plain_rows(texts, encode, row, (longest or steps) * rows_a_step)
        self.rows = list(islice(drawn, steps * rows_a_step))

    def _plain_rows(self, texts: Sequence[str], encode: Encode, length: int, wanted: int) -> Iterator[Row]:
        """So many rows, before the objective changes them, shuffled within a pass."""
        number = 0
        while wanted > 0:
            dice = random.Random(f"documents-{self.seed}-{number}")
            order = dice.sample(range(len(texts)), len(texts))
            documents = (encode(texts[index]) for index in order)
            made = pieces(documents, length) if self.objective == "spans" else packed(
                documents, length, self.vocabulary.end
            )  # fmt: skip
            rows = [row for row, _ in zip(made, range(wanted), strict=False)]
            dice.shuffle(rows)
            yield from rows
            wanted, number = wanted - len(rows), number + 1

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[list[Row]]]:
        while self.position < self.steps:
            first = self.position * self.rows_a_step
            rows = [self._row(index) for index in range(first, first + self.rows_a_step)]
            self.position += 1
            yield [rows[start : start + self.micro_rows] for start in range(0, len(rows), self.micro_rows)]

    def _row(self, index: int) -> Row:
        row, dice = self.rows[index], random.Random(f"row-{self.seed}-{index}")
        if self.objective == "masked":
            return masked(row, self.vocabulary, dice)
        if self.objective == "prefix":
            return with_prefix(row, dice)
        return corrupted(row.ids, self.vocabulary, dice) if self.objective == "spans" else row

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = int(state["position"])


def pieces(documents: Iterator[list[int]], inputs: int) -> Iterator[Row]:
    """Documents in pieces whose corrupted input has at most `inputs` positions; pieces of fewer than 8 are left out."""
    length = tokens_for_inputs(inputs)
    for document in documents:
        for start in range(0, len(document), length):
            part = tuple(document[start : start + length])
            if len(part) >= 8:
                yield Row(part, (0,) * len(part), part)


def inputs_of(rows: Sequence[Row], device: torch.device) -> tuple[dict[str, Any], Tensor]:
    """The arguments of a model's call, and the targets (B, T). Padding is document -1."""
    ids_BT = _right([row.ids for row in rows], 0, device)
    targets_BT = _right([row.targets for row in rows], IGNORE, device)
    inputs: dict[str, Any] = {"ids_BT": ids_BT, "documents_BT": _right([row.documents for row in rows], -1, device)}
    if all(len(row.ids) == ids_BT.shape[1] and set(row.documents) == {0} for row in rows):
        inputs["documents_BT"] = None
    if rows[0].source:
        inputs["source_BS"] = _right([row.source for row in rows], 0, device)
        inputs["source_documents_BS"] = _right([(0,) * len(row.source) for row in rows], -1, device)
    if rows[0].prefix:
        inputs["prefix_BT"] = _right([row.prefix for row in rows], False, device).bool()
    return inputs, targets_BT


def loss_of(module: nn.Module, rows: Sequence[Row], precision: str = "fp32") -> tuple[Tensor, int, int]:
    """(summed nats, supervised tokens, tokens read) of some rows: the loop's step.

    With 'bf16' products and attention round what they read to bf16; weights, norms and the loss stay in fp32
    (torch.autocast).
    """
    device = next(module.parameters()).device
    inputs, targets_BT = inputs_of(rows, device)
    wanted_BT = targets_BT != IGNORE
    supervised = int(wanted_BT.sum())
    # Where every position is supervised, nothing is to be picked.
    picked = {} if supervised == wanted_BT.numel() else {"wanted_BT": wanted_BT}
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = module(**inputs, **picked)
    loss = summed_nats(logits.flatten(0, -2), targets_BT[wanted_BT])
    return loss, supervised, sum(row.tokens for row in rows)


def _right(rows: Sequence[Sequence[int]], fill: int, device: torch.device) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], dtype=torch.long, device=device)
