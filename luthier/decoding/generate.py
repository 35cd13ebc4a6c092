"""The generator: requests -> events. It decodes greedily, by sampling, by beam search or by consensus of samples.

A request holds prompt ids, its own generation settings, a seed and an id. An event is one token of one request and its
log-probability; the last event of a request says why it stopped. `fold` makes answers of events, so a screen, a file
and a server can read the same stream.

Every row of a batch is independent: its positions count from its own first token, and its random numbers come from its
own seed. `requests.plan` alone decides which requests share a batch, so a resumed study repeats the batches. A server
keeps one `Batch` open, which requests join and leave between two tokens. An answer that is chosen among several is
known only at its end; then all of its events come at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from luthier.decoding.batch import Batch
from luthier.decoding.beam import SearchBatch
from luthier.decoding.consensus import ConsensusBatch
from luthier.decoding.requests import Event, Request, refuse_overflow
from luthier.decoding.speculative import NgramTable
from luthier.model.model import Model
from luthier.model.prepacked import LaidOut, laid_out_weights
from luthier.records import Answer


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
    rows = sum(request.generation.rows for request in requests)
    weights = laid_out_weights(model.module, rows=rows if lay_out else 0) if rows else None
    for _, alike in groupby(sorted(requests, key=_way), key=_way):
        batch = batch_of(model, list(alike), ngrams=ngrams, weights=weights)
        while batch.is_open:
            yield from batch.step()


def batch_of(
    model: Model, requests: Sequence[Request], ngrams: NgramTable | None = None, weights: LaidOut | None = None
) -> Batch | SearchBatch | ConsensusBatch:
    """The batch that answers these requests, whose generation has the same `way`."""
    way = requests[0].generation.way
    if way == "search":
        return SearchBatch(model, requests, weights=weights)
    if way == "consensus":
        return ConsensusBatch(model, requests, weights=weights)
    return Batch(model, requests, ngrams=ngrams, weights=weights)


def _way(request: Request) -> str:
    return request.generation.way


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


def answered(model: Model, requests: Sequence[Request]) -> list[Answer]:
    """The answers to one batch, in the order of its requests. Raises ModelError as `generate` does."""
    found = {answer.id: answer for answer in fold(generate(model, requests), model.tokenizer)}
    return [found[request.id] for request in requests]


def shorten(answer: Answer, limit: int, tokenizer: Any) -> Answer:
    """The answer under a smaller limit on new tokens. It is a prefix of `answer`, greedy or sampled."""
    if len(answer.tokens) <= limit:
        return answer
    kept = answer.tokens[:limit]
    text = tokenizer.decode(kept, skip_special_tokens=True).strip()
    return replace(answer, text=text, tokens=kept, stop="length", logprob=None)
