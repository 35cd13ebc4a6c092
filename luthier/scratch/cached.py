"""How a decoder of this room writes through the one generator: it reads prompts into its cache, then token by token."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn


class State(Protocol):
    """What a model has read: keys and values, or a recurrent state."""

    def select(self, rows: Tensor) -> None: ...


class CachedDecoding:
    """One batch. Prompts are padded on the left, which no model of this room sees (document -1)."""

    def __init__(self, module: nn.Module, prompts: list[tuple[int, ...]], cache: State) -> None:
        self.module, self.prompts, self.cache = module, prompts, cache

    def start(self) -> Tensor:
        ids_BT, documents_BT = padded(self.prompts, next(self.module.parameters()).device)
        logits_BTV: Tensor = self.module(ids_BT, documents_BT, cache=self.cache)
        return logits_BTV[:, -1]

    def step(self, tokens_B: Tensor) -> Tensor:
        logits_BTV: Tensor = self.module(tokens_B[:, None], cache=self.cache)
        return logits_BTV[:, -1]

    def keep(self, rows: Tensor) -> list[int]:
        self.cache.select(rows)
        return rows.tolist()

    def rearrange(self, rows: Tensor, columns: int | None = None) -> None:
        """Each place takes the row that `rows` names for it."""
        self.cache.select(rows)


def padded(rows: list[tuple[int, ...]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(B, T) ids and documents: 0 where there is text, -1 where there is padding, on the left."""
    width = max(map(len, rows))
    ids = [[0] * (width - len(row)) + list(row) for row in rows]
    documents = [[-1] * (width - len(row)) + [0] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(documents, device=device)
