"""Minimum Bayes risk decoding: of several drawn answers the one that agrees most with the others.

A sample's expected agreement is estimated by its mean agreement with the other samples (Eikema and Aziz 2020, "Is MAP
Decoding All You Need?", section 6; Kumar and Byrne 2004). The metric is symmetric, so each pair is compared once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

from luthier.decoding.batch import Batch
from luthier.decoding.requests import Event, Request, seed_of
from luthier.decoding.settings import Agreement
from luthier.model.model import Model
from luthier.model.prepacked import LaidOut
from luthier.scoring.bleu import corpus_counts
from luthier.scoring.rouge import rouge_values
from luthier.scoring.words import reading_for

_ROUGE = ("rouge1", "rouge2", "rougeL")


def most_agreed(texts: Sequence[str], agreement: Agreement) -> int:
    """The place of the text with the highest mean agreement with the others; of equals the first."""
    means = agreements(texts, agreement)
    return max(range(len(texts)), key=means.__getitem__)


def agreements(texts: Sequence[str], agreement: Agreement) -> list[float]:
    """The mean agreement, 0 to 1, of each text with the others. Texts that are equal agree fully."""
    alike = _metric(texts, agreement)
    known: dict[tuple[str, str], float] = {}
    values: list[list[float]] = [[] for _ in texts]
    for i, j in combinations(range(len(texts)), 2):
        one, other = sorted((texts[i], texts[j]))
        if (one, other) not in known:
            known[one, other] = 1.0 if one == other else alike(one, other)
        values[i].append(known[one, other])
        values[j].append(known[one, other])
    # Exact sums: those of equal texts are equal, in whatever order their values come.
    return [math.fsum(of_one) / max(1, len(texts) - 1) for of_one in values]


def _metric(texts: Sequence[str], agreement: Agreement) -> Callable[[str, str], float]:
    if agreement == "chrf":  # of both directions, since chrF weighs what a reference has more than what it has not
        return lambda one, other: (corpus_counts("chrf", one, [other])[1] + corpus_counts("chrf", other, [one])[1]) / 2
    words = reading_for(texts).words
    metrics = _ROUGE if agreement == "rouge" else (agreement,)

    def rouge(one: str, other: str) -> float:
        values = rouge_values(metrics, one, [other], "mean", words)
        return sum(values[metric] for metric in metrics) / len(metrics)

    return rouge


class ConsensusBatch:
    """Requests that are answered several times together; of each, the answer that agrees most is taken.

    A prompt is read once for its samples. Its events come when the last of them ends.
    """

    def __init__(self, model: Model, requests: Sequence[Request], *, weights: LaidOut | None = None) -> None:
        self.model, self.requests = model, {request.id: request for request in requests}
        self.drawn: dict[str, tuple[str, list[Event]]] = {}  # a sample's id -> its request's, and its events
        samples = [sample for request in requests for sample in self._samples(request)]
        self.batch = Batch(model, samples, weights=weights, copies=[request.generation.samples for request in requests])

    @property
    def is_open(self) -> bool:
        """Whether an answer is not finished."""
        return self.batch.is_open

    def step(self) -> list[Event]:
        """The next token of every sample; the events of the answers that are chosen now."""
        ended = []
        for event in self.batch.step():
            request, events = self.drawn[event.id]
            events.append(event)
            if event.stop is not None:
                ended.append(request)
        chosen = list[Event]()
        for id in dict.fromkeys(ended):
            samples = [events for request, events in self.drawn.values() if request == id]
            if all(events and events[-1].stop is not None for events in samples):
                best = most_agreed(list(map(self._text, samples)), self.requests[id].generation.agreement)
                chosen += [replace(event, id=id) for event in samples[best]]
        return chosen

    def _samples(self, request: Request) -> list[Request]:
        """The request once for each sample, each with a seed of its own."""
        samples = []
        for number in range(request.generation.samples):
            seed = seed_of(request.seed, number) if number else request.seed
            samples.append(replace(request, id=f"{request.id} {number}", seed=seed))
            self.drawn[samples[-1].id] = request.id, []
        return samples

    def _text(self, events: list[Event]) -> str:
        return str(self.model.tokenizer.decode([event.token for event in events], skip_special_tokens=True)).strip()
