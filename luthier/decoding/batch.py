"""Requests that are answered together, token by token; others may join them and leave.

shapes: B rows, V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from luthier.decoding.decoders import decoder_for, open_decoder
from luthier.decoding.requests import Event, Request, refuse_overflow
from luthier.decoding.sampling import candidates, choose, penalized, refuse_no_numbers
from luthier.decoding.speculative import NgramTable
from luthier.model.forward import decoder_start
from luthier.model.model import Model
from luthier.model.prepacked import LaidOut

JOIN_TOKENS = 384  # of new prompts, read in the pass that writes others: so long they wait, and most prompts fit


@dataclass
class _Row:
    """An answer in the making."""

    request: Request
    written: list[int]  # of a decoder the prompt too
    generator: torch.Generator | None
    tokens: int = 0
    stop: str | None = None


class Batch:
    """Requests that are answered together: each `step` gives every open row its next token.

    With a `beginning` the batch stays open: requests whose prompts begin with it `join` and `leave` between two steps,
    and a step also reads at most JOIN_TOKENS of new prompts in its pass.
    `ngrams` then stays as it is: a table of all answers would grow for ever. Raises ModelError where the model's rows
    cannot join (`can_join`).

    `copies`: neighbours with the same prompt, for each prompt how many; it is then read once for them.
    """

    def __init__(
        self,
        model: Model,
        requests: Sequence[Request] = (),
        *,
        ngrams: NgramTable | None = None,
        weights: LaidOut | None = None,
        beginning: tuple[int, ...] | None = None,
        copies: Sequence[int] | None = None,
    ) -> None:
        self.copies = None if copies is None else torch.tensor(copies)
        self.model, self.ngrams, self.weights = model, ngrams, weights or LaidOut([])
        self.rows: list[_Row] = []  # in the decoder's order
        self.coming = [self._row(request) for request in requests]  # whose prompts are not read yet
        self.decoder: Any
        with torch.inference_mode(), self.weights.in_use():
            if beginning is None:
                firsts = requests if copies is None else [requests[i] for i in accumulate(copies[:-1], initial=0)]
                self.decoder = decoder_for(model, list(firsts), ngrams)
            else:
                self.decoder = open_decoder(model, beginning, ngrams)
        self.joins = beginning is not None

    @property
    def is_open(self) -> bool:
        """Whether an answer is not finished."""
        return bool(self.rows or self.coming)

    def join(self, request: Request) -> None:
        """One more request. Its prompt has the batch's beginning and a token behind it."""
        refuse_overflow(self.model, request)
        self.decoder.join(request.prompt_ids, request.limit)
        self.coming.append(self._row(request))

    @torch.inference_mode()
    def leave(self, id: str) -> None:
        """Forgets the request `id`, if it is not finished."""
        for place, row in enumerate(self.coming):
            if row.request.id == id:
                self.decoder.forget(place)
                del self.coming[place]
                return
        for row in self.rows:
            if row.request.id == id:
                row.stop = "left"
        self._drop_finished()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """The next token of every open row, and the first one of those whose prompts are read now.

        Context managers surround each forward pass alone, so none is open while the caller handles an event.
        """
        if not self.is_open:
            return []
        with self.weights.in_use():
            logits_BV, places, logits_RV = self._pass()
        new, self.coming = self.coming[: len(places)], self.coming[len(places) :]
        events = self._choose(self.rows, logits_BV) + self._choose(new, logits_RV)
        for place, row in zip(places, new, strict=True):
            self.rows.insert(place, row)
        self._drop_finished()
        return events

    def _row(self, request: Request) -> _Row:
        model, drawn = self.model, request.generation.temperature > 0
        written = list(request.prompt_ids) if model.family == "decoder" else [decoder_start(model.module)]
        return _Row(request, written, torch.Generator().manual_seed(request.seed) if drawn else None)

    def _pass(self) -> tuple[Tensor, list[int], Tensor]:
        """Logits (B, V) of the open rows, the places of those whose prompts are read now, and their logits (R, V)."""
        if self.coming and not self.joins:
            logits_RV = self.decoder.start()
            if self.copies is not None:
                rows = torch.arange(len(self.copies)).repeat_interleave(self.copies).to(logits_RV.device)
                self.decoder.rearrange(rows)
                logits_RV = logits_RV[rows]
            return logits_RV[:0], list(range(len(self.coming))), logits_RV
        last_B = torch.tensor([row.written[-1] for row in self.rows], dtype=torch.long, device=self.model.device)
        if not self.coming:
            logits_BV = self.decoder.step(last_B)
            return logits_BV, [], logits_BV[:0]
        return self.decoder.step_and_read(last_B, JOIN_TOKENS)

    def _choose(self, rows: Sequence[_Row], logits_BV: Tensor) -> list[Event]:
        """The next token of each row, and why those that are finished stopped."""
        if not rows:
            return []
        settings = [row.request.generation for row in rows]
        logits_BV = logits_BV.float()
        scores_BV = penalized(logits_BV, settings, [row.written for row in rows])
        tokens, logprobs = choose(logits_BV, scores_BV, settings, [row.generator for row in rows])
        refuse_no_numbers(self.model.name, logprobs)
        events = []
        for i, row in enumerate(rows):
            request, token = row.request, tokens[i]
            row.tokens += 1
            row.written.append(token)
            ended = request.ends and token in self.model.end_ids
            row.stop = "end" if ended else "length" if row.tokens >= request.limit else None
            named = candidates(logits_BV[i], scores_BV[i], settings[i], request.top)
            events.append(Event(request.id, token, logprobs[i], row.stop, named))
            if row.stop is not None and self.ngrams is not None and not self.joins:
                self.ngrams.add(row.written, start=len(row.written) - row.tokens)
        return events

    def _drop_finished(self) -> None:
        kept = [place for place, row in enumerate(self.rows) if row.stop is None]
        if len(kept) == len(self.rows):
            return
        order = kept
        if kept or self.joins:
            order = self.decoder.keep(torch.tensor(kept, dtype=torch.long, device=self.model.device))
        self.rows = [self.rows[place] for place in order]
