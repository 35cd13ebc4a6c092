"""Each row by itself: for models whose rows cannot stand in one batch, and what faster decoders are held against.

A row is read whole for every token, without a cache, without padding and without another row. That is what a model
says by definition, and it is slow. Where the model's own cache gives the same for a row alone, it is used.

    shapes: B rows, T tokens, V vocabulary, D width
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from luthier.model.forward import decoder_start
from luthier.model.kv_cache import behind, cache_of
from luthier.model.logits import last_position_only
from luthier.model.model import Model


class AloneDecoder:
    """Rows one after the other. `whole`: each token reads its row anew; else the row's own cache is kept."""

    def __init__(self, model: Model, prompts: list[tuple[int, ...]], whole: bool = True) -> None:
        self.model, self.whole = model, whole
        self.module: Any = model.module
        self.prompts = [list(prompt) for prompt in prompts]
        self.written: list[list[int]] = [[] for _ in prompts]
        self.caches: list[Any] = [None if whole else cache_of(model, rows=1) for _ in prompts]

    def start(self) -> Tensor:
        """Logits (B, V) behind each prompt."""
        if self.model.family == "encoder-decoder":
            start = decoder_start(self.module)
            return self.step(torch.full((len(self.prompts),), start, device=self.model.device))
        return torch.cat([self._decoded(row, prompt, begins=True) for row, prompt in enumerate(self.prompts)])

    def step(self, tokens_B: Tensor) -> Tensor:
        """Logits (B, V) behind one more token of each row."""
        logits = []
        for row, token in enumerate(tokens_B.tolist()):
            self.written[row].append(token)
            if self.model.family == "encoder-decoder":
                logits.append(self._both_sides(row))
            elif self.whole:
                logits.append(self._decoded(row, [*self.prompts[row], *self.written[row]], begins=True))
            else:
                logits.append(self._decoded(row, [token], begins=False))
        return torch.cat(logits)

    def keep(self, rows: Tensor) -> list[int]:
        kept: list[int] = rows.tolist()
        self.prompts = [self.prompts[row] for row in kept]
        self.written = [self.written[row] for row in kept]
        self.caches = [self.caches[row] for row in kept]
        return kept

    def rearrange(self, rows: Tensor, columns: int | None = None) -> None:
        """Each place takes the row that `rows` names for it; a row may be taken several times, or not at all."""
        taken: list[int] = rows.tolist()
        self.prompts = [self.prompts[row] for row in taken]
        self.written = [list(self.written[row]) for row in taken]
        self.caches = [copy.deepcopy(self.caches[row]) for row in taken]

    def _decoded(self, row: int, ids: list[int], *, begins: bool) -> Tensor:
        """Logits (1, V) behind `ids`, at whose beginning a learned prompt stands."""
        cache = self.caches[row]
        if self.whole and self.model.prefix_states is not None:
            cache = cache_of(self.model, rows=1)
        kept = {"use_cache": False} if cache is None else behind(self.module, cache)
        with last_position_only(self.module):
            return self.module(**self._inputs(ids, learned=begins), **kept).logits[:, -1]

    def _both_sides(self, row: int) -> Tensor:
        """Logits (1, V) of an encoder-decoder: its encoder reads the prompt, its decoder what is written so far."""
        inputs = self._inputs(self.prompts[row], learned=True)
        mask = torch.ones(next(iter(inputs.values())).shape[:2], dtype=torch.long, device=self.model.device)
        said, kept = self.written[row], dict[str, Any](use_cache=False)
        if self.model.prefix_states is not None:
            kept = behind(self.module, cache_of(self.model, rows=1))
        with last_position_only(self.module):
            written = torch.tensor([said], device=self.model.device)
            return self.module(**inputs, attention_mask=mask, decoder_input_ids=written, **kept).logits[:, -1]

    def _inputs(self, ids: list[int], *, learned: bool) -> dict[str, Tensor]:
        """input_ids (1, T), or embeddings (1, T, D) behind a learned prompt."""
        ids_1T = torch.tensor([ids], device=self.model.device)
        if self.model.prefix is None or not learned:
            return {"input_ids": ids_1T}
        embeds_1TD = self.module.get_input_embeddings()(ids_1T)
        return {"inputs_embeds": torch.cat([self.model.prefix[None].to(embeds_1TD), embeds_1TD], 1)}
