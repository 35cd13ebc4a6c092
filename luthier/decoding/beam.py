"""Beam search: of the continuations that are written side by side, the likeliest few go on, and the best one answers.

    b beams x V tokens --the best K by summed log-probability--> finished ones are kept, the best b others go on

An answer's score is its log-probability divided by its length to the power of `length_penalty` (Wu et al. 2016,
"Google's Neural Machine Translation System", section 7, without its constant 5). Which candidates are looked at, when
a search ends and how equal scores are ordered is as in transformers, so that answers are the same, token for token.

    shapes: b beams, K candidates, V vocabulary, B rows: the running paths of all requests
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from luthier.decoding.decoders import decoder_for
from luthier.decoding.requests import Event, Request
from luthier.decoding.sampling import Candidate, candidates, penalized, refuse_no_numbers
from luthier.model.forward import decoder_start
from luthier.model.model import Model
from luthier.model.prepacked import LaidOut

NEVER = -1e9  # the score of what may not be chosen


@dataclass(frozen=True)
class _Path:
    """A continuation: its tokens, the log-probability and the likeliest rivals of each, and its score."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    rivals: tuple[tuple[Candidate, ...], ...] = ()
    score: float = 0.0

    def with_next(self, token: int, logprob: float, rivals: tuple[Candidate, ...]) -> _Path:
        return _Path((*self.tokens, token), (*self.logprobs, logprob), (*self.rivals, rivals))


@dataclass
class Search:
    """The search for one answer. `begins` are tokens before it: a decoder's prompt, a decoder's start token."""

    request: Request
    begins: tuple[int, ...]
    ends: Collection[int]
    running: list[_Path] = field(default_factory=lambda: [_Path()])
    finished: list[_Path] = field(default_factory=list)  # the best first, at most as many as beams
    is_open: bool = True

    @property
    def written(self) -> list[list[int]]:
        """The tokens of each running path, what begins it included."""
        return [[*self.begins, *path.tokens] for path in self.running]

    def advance(self, logprobs: Tensor, scores: Tensor) -> tuple[list[int], list[int]]:
        """Goes on by one token; both (running paths, V): log-probabilities, and the same after penalties.

        Returns for each path that runs now the place of the one it continues, and its new token.
        """
        generation, beams, length = self.request.generation, self.request.generation.beams, len(self.running[0].tokens)
        so_far = torch.tensor([path.score for path in self.running], dtype=torch.float32, device=scores.device)
        total = scores.float() + so_far[:, None]
        if not length:  # as in transformers a path for each beam, since topk orders equals by where they stand
            total = torch.cat([total, (total + NEVER).expand(beams - 1, -1)])
        best = total.flatten().topk(min(beams * max(2, 1 + len(self.ends)), total.numel()))
        places, tokens = (best.indices // total.shape[1]).tolist(), (best.indices % total.shape[1]).tolist()
        places = places if length else [0] * len(places)
        values, at_the_end = best.values.cpu(), length + 1 >= self.request.limit
        stops = torch.tensor([at_the_end or token in self.ends for token in tokens])
        rivals = [candidates(*rows, generation, self.request.top) for rows in zip(logprobs, scores, strict=True)]
        longer = [
            self.running[place].with_next(token, float(logprobs[place, token]), rivals[place])
            for place, token in zip(places, tokens, strict=True)
        ]
        self._finish(longer, values / (length + 1) ** generation.length_penalty, stops)
        values = values + stops.float() * NEVER
        going_on = values.topk(min(beams, len(values))).indices.tolist()
        self.running = [replace(longer[k], score=float(values[k])) for k in going_on]
        self.is_open = not bool(stops.all()) and self._can_improve(values[going_on[0]], length + 1)
        return [places[k] for k in going_on], [tokens[k] for k in going_on]

    def events(self) -> list[Event]:
        """The best answer as events."""
        path = (self.finished or self.running)[0]  # nothing finishes where bans leave no token
        stop = "end" if path.tokens[-1] in self.ends else "length"
        last = len(path.tokens) - 1
        return [
            Event(self.request.id, token, logprob, stop if place == last else None, rivals)
            for place, (token, logprob, rivals) in enumerate(zip(path.tokens, path.logprobs, path.rivals, strict=True))
        ]

    def _finish(self, longer: list[_Path], scores: Tensor, stops: Tensor) -> None:
        """Keeps the best finished ones, as many as beams; of the `longer` ones only the first as many count."""
        beams = self.request.generation.beams
        worst = min(NEVER, 2 * float(scores.min()))  # where length is punished by a high power scores are lower
        before = torch.tensor([path.score for path in self.finished] + [worst] * (beams - len(self.finished)))
        stops = stops & (torch.arange(len(stops)) < beams)
        merged = torch.cat([before, torch.where(stops, scores, scores + worst)]).topk(beams)
        known = dict(enumerate(self.finished)) | {beams + k: longer[k] for k in stops.nonzero()[:, 0].tolist()}
        ranked = zip(merged.indices.tolist(), merged.values.tolist(), strict=True)
        self.finished = [replace(known[place], score=score) for place, score in ranked if place in known]

    def _can_improve(self, best: Tensor, length: int) -> bool:
        """Whether a running path may still become better than the worst finished one, by transformers' estimate."""
        generation = self.request.generation
        if len(self.finished) < generation.beams:
            return True
        if generation.early_stopping is True:
            return False
        to_the_end = generation.early_stopping == "never" and generation.length_penalty > 0
        possible = best / (self.request.limit if to_the_end else length) ** generation.length_penalty
        return float(possible) > self.finished[-1].score


class SearchBatch:
    """Requests that are searched for together: each `step` gives every running path its next token.

    A prompt is read once, and its paths share what was made of it; events come when a request's search ends.
    """

    def __init__(self, model: Model, requests: Sequence[Request], *, weights: LaidOut | None = None) -> None:
        self.model, self.weights, self.steps = model, weights or LaidOut([]), 0
        start = () if model.family == "decoder" else (decoder_start(model.module),)
        self.searches = [
            Search(request, start or request.prompt_ids, model.end_ids if request.ends else ()) for request in requests
        ]
        with torch.inference_mode(), self.weights.in_use():
            self.decoder = decoder_for(model, list(requests), None)
        self._next = torch.empty(0, dtype=torch.long)  # the new token of each row

    @property
    def is_open(self) -> bool:
        """Whether an answer is not finished."""
        return bool(self.searches)

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """The next token of every path; the events of the searches that end with it."""
        with self.weights.in_use():
            logits_BV = self.decoder.step(self._next) if self.steps else self.decoder.start()
        logprobs_BV = logits_BV.float().log_softmax(-1)
        refuse_no_numbers(self.model.name, logprobs_BV[:, 0].tolist())
        counts = [len(search.running) for search in self.searches]
        settings = [search.request.generation for search in self.searches for _ in search.running]
        scores_BV = penalized(logprobs_BV, settings, (row for search in self.searches for row in search.written))
        events, rows, tokens, first = list[Event](), list[int](), list[int](), 0
        for search, count in zip(self.searches, counts, strict=True):
            here = slice(first, first + count)
            places, new = search.advance(logprobs_BV[here], scores_BV[here])
            if search.is_open:
                rows += [first + place for place in places]
                tokens += new
            else:
                events += search.events()
            first += count
        self.searches = [search for search in self.searches if search.is_open]
        if rows:
            device = self.model.device
            self.decoder.rearrange(torch.tensor(rows, device=device), columns=self.steps or None)
            self._next = torch.tensor(tokens, device=device)
        self.steps += 1
        return events
