"""Bits a byte of held-out documents under a causal model, beside what xz and bzip2 make of them.

Nats are summed over all tokens of a document, its end included, and divided once by the document's UTF-8 bytes. So
models with different tokenizers can be compared. A document that is longer than a row is read in pieces, and nothing of
the piece before is seen.
"""

from __future__ import annotations

import bz2
import lzma
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from luthier.results.pretrain_record import BitsPerByte
from luthier.scratch.corpus import Document
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.rows import inputs_of
from luthier.stats.intervals import resampled_estimate, resampled_sums

ROWS_AT_ONCE = 32
LEVEL, RESAMPLES = 0.95, 2000


def sample_of(documents: Sequence[Document], most_bytes: int) -> list[Document]:
    """The first documents, at least one, whose bytes together stay below `most_bytes`."""
    taken, total = [], 0
    for document in documents:
        total += len(document.text.encode())
        if taken and total > most_bytes:
            break
        taken.append(document)
    return taken


class Judge:
    """Reads documents with a model. `causal`: whether the model gives every token a likelihood from those before it."""

    def __init__(self, encode: Callable[[str], list[int]], end: int, row: int, *, causal: bool) -> None:
        self.encode, self.end, self.row, self.causal = encode, end, row, causal

    @torch.no_grad()
    def nats(self, module: nn.Module, documents: Sequence[Document]) -> list[float]:
        """Of each document, summed over its tokens and its end."""
        rows = [(number, row) for number, document in enumerate(documents) for row in self._rows(document.text)]
        rows.sort(key=lambda pair: len(pair[1].ids))
        sums = [0.0] * len(documents)
        device = next(module.parameters()).device
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            inputs, targets_BT = inputs_of([row for _, row in some], device)
            logits_BTV = module(**inputs).float()
            nats_BT = nn.functional.cross_entropy(
                logits_BTV.transpose(1, 2), targets_BT, reduction="none", ignore_index=IGNORE
            )
            for (number, _), nats in zip(some, nats_BT.double().sum(1).tolist(), strict=True):
                sums[number] += nats
        return sums

    def _rows(self, text: str) -> list[Row]:
        ids = self.encode(text)
        read, wanted = [self.end, *ids], [*ids, self.end]
        return [
            Row(
                tuple(read[at : at + self.row]), (0,) * len(read[at : at + self.row]), tuple(wanted[at : at + self.row])
            )
            for at in range(0, len(read), self.row)
        ]

    def bits(self, module: nn.Module, documents: Sequence[Document]) -> float:
        """Bits a byte of all documents together."""
        count = sum(len(document.text.encode()) for document in documents)
        return sum(self.nats(module, documents)) / math.log(2) / count

    def judged(self, module: nn.Module, documents: Sequence[Document]) -> BitsPerByte:
        """Bits a byte with its interval over documents, and those of xz and bzip2."""
        texts = [document.text.encode() for document in documents]
        sums = np.array([(n / math.log(2), len(t)) for n, t in zip(self.nats(module, documents), texts, strict=True)])
        resampled = resampled_sums(sums, RESAMPLES, seed=0)
        value = float(sums[:, 0].sum() / sums[:, 1].sum())
        estimate = resampled_estimate(value, resampled[:, 0] / resampled[:, 1], len(texts), len(texts))
        low, high = estimate.interval(LEVEL) if len(texts) > 1 else (math.inf, math.inf)
        whole = b"".join(texts)
        return BitsPerByte(
            value=value,
            low=low if math.isfinite(low) else None,
            high=high if math.isfinite(high) else None,
            documents=len(texts),
            bytes=len(whole),
            xz=8 * len(lzma.compress(whole, preset=9 | lzma.PRESET_EXTREME)) / len(whole),
            bzip2=8 * len(bz2.compress(whole, 9)) / len(whole),
        )
