"""What the generator is asked, and what it says: requests, events, and which requests share a batch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.decoding.sampling import Candidate
from luthier.decoding.settings import GREEDY, Generation
from luthier.errors import ModelError
from luthier.model.model import Model
from luthier.planning.budget import READ_TOKENS, ROWS_AT_ONCE


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
    batch_size: int = ROWS_AT_ONCE,
    batch_tokens: int = READ_TOKENS,
    shared: int = 0,
    most_tokens: int | None = None,
) -> list[list[Request]]:
    """Batches of requests of similar length: at most `batch_size` rows and `batch_tokens` padded prompt tokens each.

    The first `shared` tokens of a prompt stand in memory once for all rows, so they do not count. `most_tokens` bounds
    all tokens in memory: shared ones, prompts and answers. An answer that is chosen among several takes several rows,
    but its prompt is read once. Batches are as few and as even as possible, because one
    product of many rows takes less time than two of fewer.
    """
    batches: list[list[Request]] = []
    rows = sum(request.generation.rows for request in requests)
    batch_size = math.ceil(rows / max(1, math.ceil(rows / batch_size)))
    for request in sorted(requests, key=lambda r: (r.generation.way, len(r.prompt_ids), r.id)):
        last = batches[-1] if batches else None
        own, rows = len(request.prompt_ids) - shared, request.generation.rows
        rows += sum(other.generation.rows for other in last or ())
        fits = last and rows <= batch_size and (len(last) + 1) * own <= batch_tokens
        if last and most_tokens is not None:
            fits = fits and shared + rows * (own + request.limit) <= most_tokens
        if last is not None and fits and last[0].generation.way == request.generation.way:
            last.append(request)
        else:
            batches.append([request])
    return batches


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
