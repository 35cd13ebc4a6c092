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
    taken: list[Document] = []
    total = 0
    for document in documents:
        total += document.bytes
        if taken and total > most_bytes:
            break
        taken.append(document)
    return taken


class HeldOut:
    """Documents, cut into rows once and read with a causal model as often as asked.

    `encode` makes ids of a text, `end` stands before the first token and behind the last, `row` is the most of a row.
    """

    def __init__(self, documents: Sequence[Document], encode: Callable[[str], list[int]], end: int, row: int) -> None:
        self.documents, self.bytes = documents, [document.bytes for document in documents]
        rows = [(number, one) for number, text in enumerate(documents) for one in _rows(encode(text.text), end, row)]
        self._rows = sorted(rows, key=lambda pair: len(pair[1].ids))

    @torch.no_grad()
    def nats(self, module: nn.Module) -> list[float]:
        """Of each document, summed over its tokens and its end."""
        sums = [0.0] * len(self.documents)
        device = next(module.parameters()).device
        for start in range(0, len(self._rows), ROWS_AT_ONCE):
            some = self._rows[start : start + ROWS_AT_ONCE]
            inputs, targets_BT = inputs_of([row for _, row in some], device)
            logits_BTV = module(**inputs).float()
            nats_BT = nn.functional.cross_entropy(
                logits_BTV.transpose(1, 2), targets_BT, reduction="none", ignore_index=IGNORE
            )
            for (number, _), nats in zip(some, nats_BT.double().sum(1).tolist(), strict=True):
                sums[number] += nats
        return sums

    def bits(self, module: nn.Module) -> float:
        """Bits a byte of all documents together."""
        return sum(self.nats(module)) / math.log(2) / sum(self.bytes)

    def judged(self, module: nn.Module) -> BitsPerByte:
        """Bits a byte with its interval over documents, and those of xz and bzip2."""
        sums = np.array([(n / math.log(2), size) for n, size in zip(self.nats(module), self.bytes, strict=True)])
        texts = [document.text.encode() for document in self.documents]
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


def _rows(ids: list[int], end: int, length: int) -> list[Row]:
    """A document's rows: each token is asked from those before it in its row."""
    read, wanted = [end, *ids], [*ids, end]
    pairs = [(read[at : at + length], wanted[at : at + length]) for at in range(0, len(read), length)]
    return [Row(tuple(some), (0,) * len(some), tuple(targets)) for some, targets in pairs]
