"""The engine: one thread that owns the models and drives the generator for all who ask at the same time.

    submit(works) --waiting--> join a lane's batch --step by step--> each work's `deliver(event)`

A lane is a batch of one served name. Where the model's rows can join (decoding/generate.py) its batch stays open, and
a newcomer waits for one step; elsewhere a batch is answered to its end before the next begins. The queue is bounded. An
answer never depends on who else asks, and nobody who reads slowly stops the thread: `deliver` must not block.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from luthier.decoding.batch import Batch
from luthier.decoding.beam import SearchBatch
from luthier.decoding.consensus import ConsensusBatch
from luthier.decoding.decoders import can_join
from luthier.decoding.generate import batch_of
from luthier.decoding.requests import Event, Request
from luthier.decoding.settings import ONE_BY_ONE
from luthier.errors import LuthierError
from luthier.model.prepacked import LaidOut, laid_out_weights
from luthier.serving.served import Served

MOST_STREAMS = 48  # answers that are written at the same time
MOST_WAITING = 256  # requests that wait for a place


class Full(Exception):
    """The queue is full; come again."""


class TooMany(Full):
    """This client has as many answers, written or waiting, as one may have; come again when one has ended."""


class Closed(Exception):
    """The engine takes nothing more: it is ending, or it is dead."""


@dataclass(frozen=True, eq=False)
class Work:
    """One answer to make: a `request` to the generator, or a `call` whose result is the only event.

    `deliver` gets each Event, or the call's result, or the exception that ended it. `client` is the address that asked.
    """

    served: Served
    deliver: Callable[[Any], None]
    request: Request | None = None
    call: Callable[[], Any] | None = None
    client: str = ""


@dataclass
class Counts:
    """What the engine did since it was started."""

    requests: int = 0
    tokens: int = 0
    finished: int = 0
    cancelled: int = 0
    refused: int = 0
    failed: int = 0
    steps: int = 0
    longest_step_seconds: float = 0.0


def joins(served: Served, way: str) -> bool:
    """Whether requests whose answers come about in this way can join others that are being answered."""
    return way == ONE_BY_ONE and can_join(served.model)


@dataclass
class _Lane:
    """The batch of one served name, and of one beginning of its prompts."""

    served: Served
    beginning: tuple[int, ...]
    way: str  # how its answers come about
    weights: LaidOut
    most_rows: int  # sequences of a batch; an answer may have more alone
    works: dict[str, Work] = field(default_factory=dict)  # those in the batch
    waiting: list[Work] = field(default_factory=list)  # for the next batch, where nobody can join
    batch: Batch | SearchBatch | ConsensusBatch | None = None

    @property
    def joins(self) -> bool:
        return joins(self.served, self.way)

    def admit(self, work: Work) -> None:
        if not self.joins:
            self.waiting.append(work)
            return
        if self.batch is None:
            ngrams = self.served.ngrams()
            self.batch = Batch(self.served.model, ngrams=ngrams, weights=self.weights, beginning=self.beginning)
        assert work.request is not None and isinstance(self.batch, Batch)
        self.batch.join(work.request)
        self.works[work.request.id] = work

    @property
    def is_open(self) -> bool:
        return bool(self.works or self.waiting)

    def cancel(self, work: Work) -> bool:
        """Whether it was here."""
        if work in self.waiting:
            self.waiting.remove(work)
            return True
        id = work.request.id if work.request else ""
        if self.works.get(id) is not work:
            return False
        del self.works[id]
        if isinstance(self.batch, Batch) and self.batch.joins:
            self.batch.leave(id)
        return True

    def step(self) -> list[tuple[Work, Event]]:
        """One token for every row."""
        if self.batch is None:
            requests = self._next_requests()
            works, self.waiting = self.waiting[: len(requests)], self.waiting[len(requests) :]
            self.works = {request.id: work for request, work in zip(requests, works, strict=True)}
            self.batch = batch_of(self.served.model, requests, weights=self.weights)
        made = [(self.works[event.id], event) for event in self.batch.step() if event.id in self.works]
        for _, event in made:
            if event.stop is not None:
                del self.works[event.id]
        if not self.joins and not (self.batch.is_open and self.works):
            self.batch, self.works = None, {}  # whoever is left in it has gone away
        return made

    def _next_requests(self) -> list[Request]:
        """The first that wait, so many as have room in one batch: beams and samples take memory as answers do."""
        requests = [work.request for work in self.waiting if work.request]
        rows = accumulate(request.generation.rows for request in requests)
        return requests[: max(1, sum(row <= self.most_rows for row in rows))]


class Engine:
    """Answers works from any thread in one thread of its own. `start` it once; `close` ends it.

    per_client: answers that one client may have, written or waiting; None: as many as there is room for.
    """

    def __init__(
        self, *, streams: int = MOST_STREAMS, waiting: int = MOST_WAITING, per_client: int | None = None
    ) -> None:
        self.streams, self.most_waiting, self.per_client, self.counts = streams, waiting, per_client, Counts()
        self.error: BaseException | None = None
        self._weights: dict[int, LaidOut] = {}
        self._lanes: dict[tuple[str, tuple[int, ...], str], _Lane] = {}
        self._waiting: deque[Work] = deque()
        self._leaving: set[Work] = set()
        self._open: set[Work] = set()
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive() and self.error is None

    @property
    def is_closing(self) -> bool:
        return self._closing

    @property
    def load(self) -> tuple[int, int]:
        """(answers that are being written, requests that wait)."""
        return len(self._open), len(self._waiting)

    def refuse_when_full(self, more: int = 1, client: str = "") -> None:
        """Raises Full when `more` requests have no place, TooMany when this client may not have them, Closed when
        nothing is taken any more.
        """
        if not self.is_alive or self._closing:
            raise Closed
        with self._changed:
            if self.per_client is not None:
                own = sum(work.client == client for work in (*self._open, *self._waiting))
                if own + more > self.per_client:
                    self.counts.refused += 1
                    raise TooMany
            if len(self._waiting) + more > self.most_waiting + max(0, self.streams - len(self._open)):
                self.counts.refused += 1
                raise Full

    def submit(self, works: Sequence[Work]) -> None:
        """Takes all of them or none. Raises Full or Closed."""
        with self._changed:
            self.refuse_when_full(len(works), works[0].client)
            self._waiting.extend(works)
            self.counts.requests += len(works)
            self._changed.notify()

    def cancel(self, works: Sequence[Work]) -> None:
        """Nobody wants these any more; those that are finished are left alone."""
        with self._changed:
            self._leaving.update(work for work in works if work in self._open or work in self._waiting)
            self._changed.notify()

    def close(self, seconds: float) -> bool:
        """Takes nothing new, finishes what is open, and ends. Returns whether that was done within `seconds`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # ------------------------------------------------------------------------------------------ the thread's own

    def _run(self) -> None:
        try:
            while self._take():
                for lane in [lane for lane in self._lanes.values() if lane.is_open]:
                    self._step(lane)
        except BaseException as error:  # whatever it was: those who wait are told, and /health says it
            self.error = error
            with self._changed:
                lost = [*self._open, *self._waiting]
            for work in lost:
                work.deliver(Closed())

    def _take(self) -> bool:
        """Waits for something to do, lets works leave and come; False when all is done and nothing will come."""
        with self._changed:
            while not (self._waiting or self._leaving or self._is_busy()):
                if self._closing:
                    return False
                self._changed.wait()
            leaving, self._leaving = self._leaving, set()
            self._waiting = deque(work for work in self._waiting if work not in leaving)
            self._open -= leaving
            coming = [self._waiting.popleft() for _ in range(min(self.streams - len(self._open), len(self._waiting)))]
            self._open.update(coming)
        self.counts.cancelled += len(leaving)
        for work in leaving:
            any(lane.cancel(work) for lane in self._lanes.values())
        for work in coming:
            self._begin(work)
        return True

    def _is_busy(self) -> bool:
        return any(lane.is_open for lane in self._lanes.values())

    def _begin(self, work: Work) -> None:
        """Puts a work into its lane, or makes its call. An error about a work is that work's alone."""
        try:
            if work.call is None:
                self._lane_of(work).admit(work)
            else:
                self._finish(work, work.call())
        except LuthierError as problem:
            self.counts.failed += 1
            self._finish(work, problem)

    def _lane_of(self, work: Work) -> _Lane:
        served, prompt = work.served, work.request.prompt_ids if work.request else ()
        beginning = served.beginning
        if prompt[: len(beginning)] != beginning or len(prompt) <= len(beginning):
            beginning = ()
        way = work.request.generation.way if work.request else ONE_BY_ONE
        key = (served.id, beginning, way)
        if key not in self._lanes:
            module = served.model.module
            if id(module) not in self._weights:
                self._weights[id(module)] = laid_out_weights(module, rows=self.streams)
            self._lanes[key] = _Lane(served, beginning, way, self._weights[id(module)], self.streams)
        return self._lanes[key]

    def _step(self, lane: _Lane) -> None:
        began = time.monotonic()
        made = lane.step()
        for work, event in made:
            if event.stop is None:
                work.deliver(event)
            else:
                self._finish(work, event)
        self.counts.tokens += len(made)
        self.counts.steps += 1
        self.counts.longest_step_seconds = max(self.counts.longest_step_seconds, time.monotonic() - began)

    def _finish(self, work: Work, last: Any) -> None:
        """Frees the work's place and delivers its last event."""
        with self._changed:
            self._open.discard(work)
        self.counts.finished += 1
        work.deliver(last)
