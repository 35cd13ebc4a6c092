"""The generator: requests -> events. It decodes greedily or by sampling, streams, and takes learned prompts.

A request holds prompt ids, its own generation settings, a seed and an id. An event is one token of one request and its
log-probability; the last event of a request says why it stopped. `fold` makes answers of events, so a screen, a file
and a server can read the same stream.

Every row of a batch is independent: its positions count from its own first token, and its random numbers come from its
own seed. `plan` alone decides which requests share a batch, so a resumed study repeats the batches.

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

from luthier.decoding.ragged import RaggedDecoder, supported
from luthier.decoding.sampling import GREEDY, Candidate, Generation, candidates, choose, penalized
from luthier.decoding.speculative import NgramTable, SpeculativeDecoder
from luthier.errors import ModelError
from luthier.model.forward import decoder_start
from luthier.model.kv_cache import GrowingLayer, fill_prefix, growing_cache, two_sided_cache
from luthier.model.logits import last_position_only
from luthier.model.model import Model
from luthier.model.prepacked import LaidOut, laid_out_weights
from luthier.model.shared import shared_length
from luthier.records import Answer

FEWEST_SHARED_TOKENS = 16  # a shorter beginning is read with each row


@dataclass(frozen=True)
class Request:
    """One prompt to answer. `limit` is the most new tokens. `seed` alone decides its samples, whatever its batch.

    Every event names the `top` most likely tokens; 0 names none.
    """

    id: str
    prompt_ids: tuple[int, ...]
    limit: int
    generation: Generation = GREEDY
    seed: int = 0
    top: int = 0


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
        _refuse_overflow(model, request)
    if requests:
        weights = laid_out_weights(model.module, rows=len(requests) if lay_out else 0)
        yield from _decode(model, list(requests), ngrams, weights)


def _refuse_overflow(model: Model, request: Request) -> None:
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


@torch.inference_mode()
def _decode(model: Model, requests: list[Request], ngrams: NgramTable | None, weights: LaidOut) -> Iterator[Event]:
    """The decoding loop: one forward pass a token for the rows that are still open.

    Context managers surround each forward pass alone, so none is open while the caller handles an event.
    """
    open_requests = list(range(len(requests)))  # which request each row of the batch answers
    counts = [0] * len(requests)
    sampled = [i for i, request in enumerate(requests) if request.generation.temperature > 0]
    generators = {i: torch.Generator().manual_seed(requests[i].seed) for i in sampled}
    written = [list(r.prompt_ids) if model.family == "decoder" else [decoder_start(model.module)] for r in requests]
    with weights.in_use():
        decoder = _decoder_for(model, requests, ngrams)
        logits_BV = decoder.start()
    while True:
        settings = [requests[i].generation for i in open_requests]
        logits_BV = logits_BV.float()
        scores_BV = penalized(logits_BV, settings, [written[i] for i in open_requests])
        tokens, logprobs = choose(logits_BV, scores_BV, settings, [generators.get(i) for i in open_requests])
        open_rows = []
        for row, i in enumerate(open_requests):
            counts[i] += 1
            written[i].append(tokens[row])
            ended = tokens[row] in model.end_ids
            stop = "end" if ended else "length" if counts[i] >= requests[i].limit else None
            named = candidates(logits_BV[row], scores_BV[row], settings[row], requests[i].top)
            yield Event(requests[i].id, tokens[row], logprobs[row], stop, named)
            if stop is None:
                open_rows.append(row)
            elif ngrams is not None:
                ngrams.add(written[i], start=len(written[i]) - counts[i])
        if not open_rows:
            return
        if len(open_rows) < len(open_requests):
            open_requests = [open_requests[row] for row in open_rows]
            tokens = [tokens[row] for row in open_rows]
            decoder.keep(torch.tensor(open_rows, device=model.device))
        with weights.in_use():
            logits_BV = decoder.step(torch.tensor(tokens, device=model.device))


class Decoding(Protocol):
    """What decodes a batch: `start` reads the prompts, `step` takes a token of every row, `keep` drops rows.

    The first two return logits (B, V) of the next token.
    """

    def start(self) -> Tensor: ...
    def step(self, tokens_B: Tensor) -> Tensor: ...
    def keep(self, rows: Tensor) -> None: ...


@runtime_checkable
class DecodesItself(Protocol):
    """A module that is not transformers' and brings its own decoding, with whatever state it keeps."""

    def decoding(self, prompts: list[tuple[int, ...]]) -> Decoding: ...


def _decoder_for(model: Model, requests: list[Request], ngrams: NgramTable | None) -> Decoding:
    """A decoder before its first pass."""
    prompts = [request.prompt_ids for request in requests]
    if isinstance(model.module, DecodesItself):
        return model.module.decoding(prompts)
    if model.family == "encoder-decoder":
        return _EncoderDecoder(model, prompts)
    if not supported(model):
        return _Decoder(model, prompts)
    return SpeculativeDecoder(RaggedDecoder(model, prompts), prompts, [r.limit for r in requests], ngrams)


def _padded(model: Model, prompts: list[tuple[int, ...]], side: str) -> tuple[dict[str, Tensor], Tensor]:
    """Model inputs of shape (B, P) or (B, P, D) and the mask (B, P). A learned prompt stands before each text.

    Padding stands outside both, so a row reads the same in every batch.
    """
    device = model.device
    prefix_length = 0 if model.prefix is None else len(model.prefix)
    lengths = [prefix_length + len(ids) for ids in prompts]
    width = max(lengths)
    starts = [width - n if side == "left" else 0 for n in lengths]
    mask_BP = torch.zeros(len(prompts), width, dtype=torch.long, device=device)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        mask_BP[row, start : start + length] = 1
    ids_BP = torch.zeros_like(mask_BP)  # id 0 where masked: it is never read
    for row, (start, ids) in enumerate(zip(starts, prompts, strict=True)):
        ids_BP[row, start + prefix_length : start + prefix_length + len(ids)] = torch.tensor(ids, device=device)
    if model.prefix is None:
        return {"input_ids": ids_BP}, mask_BP
    module: Any = model.module
    embeds_BPD = module.get_input_embeddings()(ids_BP)
    for row, start in enumerate(starts):
        embeds_BPD[row, start : start + prefix_length] = model.prefix.to(embeds_BPD)
    return {"inputs_embeds": embeds_BPD}, mask_BP


class _Decoder:
    """A causal model. It reads the prompt once into the cache, then one token at a time.

    It reads what all prompts begin with (shots, a system message) once for all rows. Padding stands between that and
    the rest of each row.
    """

    def __init__(self, model: Model, prompts: list[tuple[int, ...]]) -> None:
        self.module: Any = model.module
        self.cache = growing_cache(self.module.config)
        self.shared = prompts[0][: _shared_length(model, prompts)]
        self.inputs, mask_BP = _padded(model, [ids[len(self.shared) :] for ids in prompts], "left")
        self.learned = fill_prefix(self.cache, model, rows=1)
        common = self.learned + len(self.shared)  # positions that all rows have in common
        self.mask_BP = torch.cat([mask_BP.new_ones(len(prompts), common), mask_BP], 1)
        self.position_B = self.mask_BP.sum(-1)

    def start(self) -> Tensor:
        common = self.learned + len(self.shared)
        position_BP = (self.mask_BP.cumsum(-1) - 1).clamp(min=0)
        if self.shared:
            shared_1P = torch.tensor([self.shared], device=self.mask_BP.device)
            self._forward(None, input_ids=shared_1P, position_ids=position_BP[:1, self.learned : common])
        if common:
            self.cache.batch_repeat_interleave(len(self.mask_BP))
        return self._forward(self.mask_BP, position_ids=position_BP[:, common:], **self.inputs)

    def step(self, tokens_B: Tensor) -> Tensor:
        self.mask_BP = torch.cat([self.mask_BP, self.mask_BP.new_ones(len(tokens_B), 1)], 1)
        position_B1 = self.position_B[:, None]
        self.position_B = self.position_B + 1
        return self._forward(self.mask_BP, input_ids=tokens_B[:, None], position_ids=position_B1)

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask_BP, self.position_B = self.mask_BP[rows], self.position_B[rows]

    def _forward(self, mask_BP: Tensor | None, **inputs: Tensor) -> Tensor:
        mask_BP = None if mask_BP is None or bool(mask_BP.all()) else mask_BP
        with last_position_only(self.module):
            output = self.module(attention_mask=mask_BP, past_key_values=self.cache, use_cache=True, **inputs)
        return output.logits[:, -1]


def _shared_length(model: Model, prompts: list[tuple[int, ...]]) -> int:
    """How many first tokens all prompts share, at most one less than the shortest has.

    0 for fewer than FEWEST_SHARED_TOKENS, for a model with a learned prompt, which stands in front of every row, and
    for a cache with sliding or recurrent layers.
    """
    if len(prompts) < 2 or model.prefix is not None:
        return 0
    if not all(isinstance(layer, GrowingLayer) for layer in growing_cache(model.module.config).layers):
        return 0
    length = shared_length(prompts)
    return length if length >= FEWEST_SHARED_TOKENS else 0


class _EncoderDecoder:
    """An encoder-decoder. The encoder reads the prompt once, the decoder starts from its start token."""

    def __init__(self, model: Model, prompts: list[tuple[int, ...]]) -> None:
        module: Any = model.module
        self.module = module
        inputs, self.mask_BP = _padded(model, prompts, "right")
        self.encoded = module.get_encoder()(attention_mask=self.mask_BP, return_dict=True, **inputs)
        self.cache = two_sided_cache(model, rows=len(prompts))

    def start(self) -> Tensor:
        start = decoder_start(self.module)
        return self.step(torch.full((len(self.mask_BP),), start, device=self.mask_BP.device))

    def step(self, tokens_B: Tensor) -> Tensor:
        with last_position_only(self.module):
            output = self.module(
                encoder_outputs=self.encoded,
                attention_mask=self.mask_BP,
                decoder_input_ids=tokens_B[:, None],
                past_key_values=self.cache,
                use_cache=True,
            )
        return output.logits[:, -1]

    def keep(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask_BP = self.mask_BP[rows]
        self.encoded.last_hidden_state = self.encoded.last_hidden_state[rows]
