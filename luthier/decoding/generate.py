"""The generator: requests -> events. Greedy or sampled, streaming, any left padding, learned prompts in front.

A request holds prompt ids, its own generation settings, a seed and an id. An event is one token of one request, its
log-probability, and on the last token why it stopped. Answers are folded from events, so a screen, a file and a
server can read the same stream.

Every row of a batch is independent: its positions are counted from its own first token, and its random numbers come
from its own seed. Which requests share a batch comes from `plan` alone, so a resumed study repeats it.

    shapes: B rows, P padded prompt length, V vocabulary, D width
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from luthier.decoding.ragged import RaggedDecoder, supported
from luthier.decoding.sampling import GREEDY as GREEDY
from luthier.decoding.sampling import Candidate, candidates, choose, penalized
from luthier.decoding.sampling import Generation as Generation
from luthier.decoding.speculative import Followers, SpeculativeDecoder
from luthier.errors import ModelError
from luthier.model.forward import decoder_start
from luthier.model.kv_cache import GrowingLayer, fill_prefix, growing_cache, two_sided_cache
from luthier.model.logits import last_position_only
from luthier.model.model import Model
from luthier.model.prepacked import LaidOut, laid_out_weights
from luthier.model.shared import shared_length
from luthier.records import Answer


@dataclass(frozen=True)
class Request:
    """One prompt to answer: `limit` is the most new tokens, `seed` decides its samples whatever its batch.

    With `top`, every event names that many of the most likely tokens.
    """

    id: str
    prompt_ids: tuple[int, ...]
    limit: int
    generation: Generation = GREEDY
    seed: int = 0
    top: int = 0


@dataclass(frozen=True)
class Event:
    """One new token of request `id`; `logprob` in nats, before temperature and filters; the last one has a `stop`."""

    id: str
    token: int
    logprob: float
    stop: str | None = None
    candidates: tuple[Candidate, ...] = ()  # the most likely tokens, if the request asked for them


def seed_of(*parts: Any) -> int:
    """A 63-bit sampling seed from study seed and example id, the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def plan(
    requests: Sequence[Request],
    batch_size: int = 64,
    batch_tokens: int = 24_576,
    shared: int = 0,
    most_tokens: int | None = None,
) -> list[list[Request]]:
    """Batches of requests of like length: at most `batch_size` rows and `batch_tokens` padded prompt tokens each.

    The first `shared` tokens of a prompt stand in memory once for all rows, so only the others count. `most_tokens` are
    those that memory has room for, the shared ones and the answers' counted in. As few batches as there can be, and as
    even: a product of 64 rows takes less time than those of 48 and of 16.
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
    model: Model, requests: Sequence[Request], known: Followers | None = None, *, lay_out: bool = True
) -> Iterator[Event]:
    """Answers one batch together, token by token; rows that are done leave the batch.

    `known` are texts of this kind: a single row is written faster where it goes on as they did, and what is answered is
    added to them. `lay_out`: whether memory has room for laid-out weights (prepacked.py). Several threads may ask one
    model, and an answer may be left unfinished. Raises ModelError when a prompt and its answer are longer than the
    model's context window.
    """
    for request in requests:
        _refuse_overflow(model, request)
    if requests:
        weights = laid_out_weights(model.module, rows=len(requests) if lay_out else 0)
        yield from _decode(model, list(requests), known, weights)


def _refuse_overflow(model: Model, request: Request) -> None:
    """A decoder's prompt and answer share its window; an encoder and its decoder have one each."""
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
    """The answer that a smaller limit on new tokens would have given: greedy or seeded, a shorter one is a prefix."""
    if len(answer.tokens) <= limit:
        return answer
    kept = answer.tokens[:limit]
    text = tokenizer.decode(kept, skip_special_tokens=True).strip()
    return replace(answer, text=text, tokens=kept, stop="length", logprob=None)


@torch.inference_mode()
def _decode(model: Model, requests: list[Request], known: Followers | None, weights: LaidOut) -> Iterator[Event]:
    """The decoding loop: one forward pass a token for the rows that are still open.

    What a pass is told beyond its inputs is said around it alone, so nothing is open while an event is handed out.
    """
    rows = list(range(len(requests)))  # which request each row of the batch answers
    counts = [0] * len(requests)
    dice = {i: torch.Generator().manual_seed(r.seed) for i, r in enumerate(requests) if r.generation.temperature > 0}
    written = [list(r.prompt_ids) if model.family == "decoder" else [decoder_start(model.module)] for r in requests]
    with weights.in_use():
        state = _state(model, requests, known)
        logits_BV = state.start()
    while True:
        settings = [requests[i].generation for i in rows]
        logits_BV = logits_BV.float()
        scores_BV = penalized(logits_BV, settings, [written[i] for i in rows])
        tokens, logprobs = choose(logits_BV, scores_BV, settings, [dice.get(i) for i in rows])
        open_rows = []
        for place, i in enumerate(rows):
            counts[i] += 1
            written[i].append(tokens[place])
            ended = tokens[place] in model.end_ids
            stop = "end" if ended else "length" if counts[i] >= requests[i].limit else None
            named = candidates(logits_BV[place], scores_BV[place], settings[place], requests[i].top)
            yield Event(requests[i].id, tokens[place], logprobs[place], stop, named)
            if stop is None:
                open_rows.append(place)
            elif known is not None:
                known.learn(written[i], start=len(written[i]) - counts[i])
        if not open_rows:
            return
        if len(open_rows) < len(rows):
            rows = [rows[place] for place in open_rows]
            tokens = [tokens[place] for place in open_rows]
            state.keep(torch.tensor(open_rows, device=model.device))
        with weights.in_use():
            logits_BV = state.step(torch.tensor(tokens, device=model.device))


def _state(
    model: Model, requests: list[Request], known: Followers | None
) -> _Decoder | _EncoderDecoder | SpeculativeDecoder:
    """What has read nothing yet: `start` reads the prompts, `step` takes a token of every row, `keep` drops rows."""
    prompts = [request.prompt_ids for request in requests]
    if model.family == "encoder-decoder":
        return _EncoderDecoder(model, prompts)
    if not supported(model):
        return _Decoder(model, prompts)
    return SpeculativeDecoder(RaggedDecoder(model, prompts), prompts, [r.limit for r in requests], known)


def _padded(model: Model, prompts: list[tuple[int, ...]], side: str) -> tuple[dict[str, Tensor], Tensor]:
    """Model inputs of shape (B, P) or (B, P, D) and the mask (B, P); a learned prompt stands before each text.

    Padding goes outside both, so that a row reads the same whatever else is in its batch.
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
    """A causal model: the prompt is read once into the cache, then one token at a time.

    What all prompts of the batch begin with (shots, a system message) is read once for all rows; padding stands
    between it and the rest of each row.
    """

    def __init__(self, model: Model, prompts: list[tuple[int, ...]]) -> None:
        self.module: Any = model.module
        self.cache = growing_cache(self.module.config)
        self.shared = prompts[0][: _shared_length(model, prompts)]
        self.inputs, mask_BP = _padded(model, [ids[len(self.shared) :] for ids in prompts], "left")
        self.learned = fill_prefix(self.cache, model, rows=1)
        begun = self.learned + len(self.shared)  # positions that all rows have in common
        self.mask_BP = torch.cat([mask_BP.new_ones(len(prompts), begun), mask_BP], 1)
        self.position_B = self.mask_BP.sum(-1)

    def start(self) -> Tensor:
        begun = self.learned + len(self.shared)
        position_BP = (self.mask_BP.cumsum(-1) - 1).clamp(min=0)
        if self.shared:
            shared_1P = torch.tensor([self.shared], device=self.mask_BP.device)
            self._forward(None, input_ids=shared_1P, position_ids=position_BP[:1, self.learned : begun])
        if begun:
            self.cache.batch_repeat_interleave(len(self.mask_BP))
        return self._forward(self.mask_BP, position_ids=position_BP[:, begun:], **self.inputs)

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


def _shared_length(model: Model, prompts: list[tuple[int, ...]], least: int = 16) -> int:
    """How many tokens all prompts begin with, one short of the shortest; 0 where it would not pay.

    A learned prompt stands in front of every row already, and a cache of sliding or recurrent layers is left alone.
    """
    if len(prompts) < 2 or model.prefix is not None:
        return 0
    if not all(isinstance(layer, GrowingLayer) for layer in growing_cache(model.module.config).layers):
        return 0
    length = shared_length(prompts)
    return length if length >= least else 0


class _EncoderDecoder:
    """An encoder-decoder: the encoder reads the prompt once, the decoder starts from its start token."""

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
