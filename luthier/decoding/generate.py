"""The generator: requests -> events. It decodes greedily or by sampling, streams, and takes learned prompts.

A request holds prompt ids, its own generation settings, a seed and an id. An event is one token of one request and its
log-probability; the last event of a request says why it stopped. `fold` makes answers of events, so a screen, a file
and a server can read the same stream.

Every row of a batch is independent: its positions count from its own first token, and its random numbers come from its
own seed. `plan` alone decides which requests share a batch, so a resumed study repeats the batches. A server keeps one
`Batch` open, which requests join and leave between two tokens.

    shapes: B rows, P padded prompt length, V vocabulary, D width
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from luthier.decoding.alone import AloneDecoder
from luthier.decoding.padded import decoder_of
from luthier.decoding.ragged import READ_TOKENS, RaggedDecoder
from luthier.decoding.roads import road_of
from luthier.decoding.sampling import Candidate, candidates, choose, penalized
from luthier.decoding.settings import GREEDY, Generation
from luthier.decoding.speculative import NgramTable, SpeculativeDecoder
from luthier.errors import ModelError
from luthier.model.forward import decoder_start
from luthier.model.model import Model
from luthier.model.prepacked import LaidOut, laid_out_weights
from luthier.records import Answer

JOIN_TOKENS = 128  # of new prompts, read between two steps: so long others wait


@dataclass(frozen=True)
class Request:
    """One prompt to answer. `limit` is the most new tokens. `seed` alone decides its samples, whatever its batch.

    Every event names the `top` most likely tokens; 0 names none. `ends`: whether an end token ends the answer.
    """

    id: str
    prompt_ids: tuple[int, ...]
    limit: int
    generation: Generation = GREEDY
    seed: int = 0
    top: int = 0
    ends: bool = True


@dataclass(frozen=True)
class Event:
    """One new token of request `id`. `logprob` is in nats, before temperature and filters. The last has a `stop`."""

    id: str
    token: int
    logprob: float
    stop: str | None = None
    candidates: tuple[Candidate, ...] = ()  # the most likely tokens, if the request asked for them


def seed_of(*parts: Any) -> int:
    """A 63-bit sampling seed from `parts`, such as study seed and example id. It is the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def plan(
    requests: Sequence[Request],
    batch_size: int = 64,
    batch_tokens: int = 24_576,
    shared: int = 0,
    most_tokens: int | None = None,
) -> list[list[Request]]:
    """Batches of requests of similar length: at most `batch_size` rows and `batch_tokens` padded prompt tokens each.

    The first `shared` tokens of a prompt stand in memory once for all rows, so they do not count. `most_tokens` bounds
    all tokens in memory: shared ones, prompts and answers. Batches are as few and as even as possible, because one
    product of many rows takes less time than two of fewer.
    """
    batches: list[list[Request]] = []
    batch_size = math.ceil(len(requests) / max(1, math.ceil(len(requests) / batch_size)))
    for request in sorted(requests, key=lambda r: (len(r.prompt_ids), r.id)):
        last = batches[-1] if batches else None
        own = len(request.prompt_ids) - shared
        fits = last and len(last) < batch_size and (len(last) + 1) * own <= batch_tokens
        if last and most_tokens is not None:
            fits = fits and shared + (len(last) + 1) * (own + request.limit) <= most_tokens
        if last is not None and fits:
            last.append(request)
        else:
            batches.append([request])
    return batches


def generate(
    model: Model, requests: Sequence[Request], ngrams: NgramTable | None = None, *, lay_out: bool = True
) -> Iterator[Event]:
    """Answers one batch together, token by token. Rows that are done leave the batch.

    `ngrams` holds texts of this kind. A single row is written faster where it continues as they did. Answers are added
    to it. `lay_out`: whether memory has room for laid-out weights (prepacked.py). Several threads may ask one model.
    A caller may leave an answer unfinished. Raises ModelError when a prompt and its answer are longer than the
    model's context window.
    """
    for request in requests:
        refuse_overflow(model, request)
    if requests:
        weights = laid_out_weights(model.module, rows=len(requests) if lay_out else 0)
        batch = Batch(model, requests, ngrams=ngrams, weights=weights)
        while batch.is_open:
            yield from batch.step()


def refuse_overflow(model: Model, request: Request) -> None:
    """Raises ModelError for a request that exceeds the context window.

    A decoder's prompt and answer share its window; an encoder and its decoder have one each.
    """
    window, prompt, new = model.renderer.window, len(request.prompt_ids), request.limit
    if (prompt + new if model.family == "decoder" else max(prompt, new)) > window:
        raise ModelError(
            f"request '{request.id}': {prompt} prompt tokens and {new} new ones do not "
            f"fit into the context window of {window}; ask for fewer new tokens or shorten the prompt"
        )


def fold(events: Iterable[Event], tokenizer: Any) -> list[Answer]:
    """Answers from events, in the order in which the requests ended."""
    tokens: dict[str, list[int]] = {}
    logprobs: dict[str, float] = {}
    answers = []
    for event in events:
        tokens.setdefault(event.id, []).append(event.token)
        logprobs[event.id] = logprobs.get(event.id, 0.0) + event.logprob
        if event.stop is not None:
            answers.append(
                Answer(
                    id=event.id,
                    text=tokenizer.decode(tokens[event.id], skip_special_tokens=True).strip(),
                    tokens=tuple(tokens[event.id]),
                    stop=event.stop,
                    logprob=round(logprobs[event.id], 4),
                )
            )
    return answers


def shorten(answer: Answer, limit: int, tokenizer: Any) -> Answer:
    """The answer under a smaller limit on new tokens. It is a prefix of `answer`, greedy or sampled."""
    if len(answer.tokens) <= limit:
        return answer
    kept = answer.tokens[:limit]
    text = tokenizer.decode(kept, skip_special_tokens=True).strip()
    return replace(answer, text=text, tokens=kept, stop="length", logprob=None)


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
    and a step reads JOIN_TOKENS of new prompts while others are written, more where more come than are written.
    `ngrams` then stays as it is: a table of all answers would grow for ever. Raises ModelError where the model's rows
    cannot join (`can_join`).
    """

    def __init__(
        self,
        model: Model,
        requests: Sequence[Request] = (),
        *,
        ngrams: NgramTable | None = None,
        weights: LaidOut | None = None,
        beginning: tuple[int, ...] | None = None,
    ) -> None:
        self.model, self.ngrams, self.weights = model, ngrams, weights or LaidOut([])
        self.rows: list[_Row] = []  # in the decoder's order
        self.coming = [self._row(request) for request in requests]  # whose prompts are not read yet
        self.decoder: Any
        with torch.inference_mode(), self.weights.in_use():
            if beginning is None:
                self.decoder = _decoder_for(model, list(requests), ngrams)
            else:
                self.decoder = _open_decoder(model, beginning, ngrams)
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
        events = []
        if self.rows:
            last_B = torch.tensor([row.written[-1] for row in self.rows], device=self.model.device)
            with self.weights.in_use():
                logits_BV = self.decoder.step(last_B)
            events += self._choose(self.rows, logits_BV)
            self._drop_finished()
        if self.coming:
            with self.weights.in_use():
                places, logits_BV = self._read()
            new, self.coming = self.coming[: len(places)], self.coming[len(places) :]
            events += self._choose(new, logits_BV) if new else []
            for place, row in zip(places, new, strict=True):
                self.rows.insert(place, row)
            self._drop_finished()
        return events

    def _row(self, request: Request) -> _Row:
        model, drawn = self.model, request.generation.temperature > 0
        written = list(request.prompt_ids) if model.family == "decoder" else [decoder_start(model.module)]
        return _Row(request, written, torch.Generator().manual_seed(request.seed) if drawn else None)

    def _read(self) -> tuple[list[int], Tensor]:
        """The places of the rows whose prompts are read now, and logits (B, V) behind them."""
        if not self.joins:
            return list(range(len(self.coming))), self.decoder.start()
        # Few who write wait a little longer for many who come: else most steps would be of few rows.
        share = len(self.coming) // len(self.rows) if self.rows else READ_TOKENS
        places, logits_BV = self.decoder.read_some(min(READ_TOKENS, JOIN_TOKENS * max(1, share)))
        return places, logits_BV

    def _choose(self, rows: Sequence[_Row], logits_BV: Tensor) -> list[Event]:
        """The next token of each row, and why those that are finished stopped."""
        settings = [row.request.generation for row in rows]
        logits_BV = logits_BV.float()
        scores_BV = penalized(logits_BV, settings, [row.written for row in rows])
        tokens, logprobs = choose(logits_BV, scores_BV, settings, [row.generator for row in rows])
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


def can_join(model: Model) -> bool:
    """Whether requests can join others of this model that are being answered."""
    itself = isinstance(model.module, DecodesItself)
    return model.family == "decoder" and not itself and road_of(model) == "ragged"


def _open_decoder(model: Model, beginning: tuple[int, ...], ngrams: NgramTable | None) -> SpeculativeDecoder:
    """A decoder without rows, which has read what all that join begin with."""
    if not can_join(model):
        raise ModelError(f"{model.name}: rows of this model cannot join others; answer them in batches")
    ragged = RaggedDecoder(model, [], beginning=beginning)
    ragged.read_beginning()
    return SpeculativeDecoder(ragged, [], [], ngrams)


class Decoding(Protocol):
    """What decodes a batch: `start` reads the prompts, `step` takes a token of every row.

    Both return logits (B, V) of the next token. `keep` drops rows and returns which row stands where.
    """

    def start(self) -> Tensor: ...
    def step(self, tokens_B: Tensor) -> Tensor: ...
    def keep(self, rows: Tensor) -> list[int]: ...


@runtime_checkable
class DecodesItself(Protocol):
    """A module that is not transformers' and brings its own decoding, with whatever state it keeps."""

    def decoding(self, prompts: list[tuple[int, ...]]) -> Decoding: ...


def _decoder_for(model: Model, requests: list[Request], ngrams: NgramTable | None) -> Decoding:
    """A decoder before its first pass."""
    prompts = [request.prompt_ids for request in requests]
    if isinstance(model.module, DecodesItself):
        return model.module.decoding(prompts)
    if (road := road_of(model)) != "ragged":
        return decoder_of(model)(model, prompts) if road == "padded" else AloneDecoder(model, prompts, road == "whole")
    return SpeculativeDecoder(RaggedDecoder(model, prompts), prompts, [r.limit for r in requests], ngrams)
