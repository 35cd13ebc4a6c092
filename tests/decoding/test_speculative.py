"""Guessed tokens change how fast a single answer is written, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from luthier.decoding import speculative
from luthier.decoding.generate import generate
from luthier.decoding.ragged import RaggedDecoder
from luthier.decoding.requests import Event, Request
from luthier.decoding.rows import BLOCK
from luthier.decoding.settings import Generation
from luthier.decoding.speculative import GUESSES, NgramTable, SpeculativeDecoder
from luthier.model.model import Model
from tests import tiny
from tests.decoding.test_ragged import alone, rows_of

SETTINGS = [
    Generation(),
    Generation(temperature=1.3, top_k=40, top_p=0.95),
    Generation(repetition_penalty=1.5),
]


def written(model: Model, request: Request, ngrams: NgramTable | None = None) -> list[Event]:
    """Events, their log-probabilities rounded: three tokens at once are added up in another order than one."""
    return [replace(event, logprob=round(event.logprob, 3)) for event in generate(model, [request], ngrams)]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass over a single row has read."""
    counts: list[int] = []
    read_on = RaggedDecoder.read_on

    def counted(self: RaggedDecoder, tokens: list[int]) -> torch.Tensor:
        counts.append(len(tokens))
        return read_on(self, tokens)

    monkeypatch.setattr(RaggedDecoder, "read_on", counted)
    return counts


def test_an_ngram_table_remembers_what_came_last() -> None:
    table = NgramTable([[1, 2, 3, 4], [9, 3, 5]])
    assert table.next_token((1, 2, 3)) == 4
    assert table.next_token((3,)) == 5, "the later text"
    assert table.next_token((4,)) is None and table.next_token((2, 9)) is None
    table.add([1, 2, 3, 6, 7], start=4)
    assert table.next_token((3, 6)) == 7 and table.next_token((1, 2, 3)) == 4, "only what starts there"


@pytest.mark.parametrize("kind", tiny.DECODERS)
def test_tokens_read_together_say_what_they_say_alone(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """Also after some were taken back, and where the room for keys has to grow."""
    model, (row,) = tiny.fresh(tiny_folder(kind)), rows_of([12])
    with torch.inference_mode():
        decoder = RaggedDecoder(model, [row])
        decoder.start()
        while len(row) < BLOCK + 24:
            tokens = [7, len(row), 11]
            for place, said in enumerate(decoder.read_on(tokens), 1):
                torch.testing.assert_close(said, alone(model, row + tokens[:place]), rtol=1e-4, atol=1e-4)
            decoder.take_back(len(row) % 3)
            row = row + tokens[: 3 - len(row) % 3]


@pytest.mark.parametrize("generation", SETTINGS, ids=["greedy", "sampled", "penalty"])
@pytest.mark.parametrize("kind", tiny.DECODERS)
def test_answers_are_those_without_guesses(
    kind: str, generation: Generation, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = [Request(str(i), tuple(ids), 24, generation, seed=i) for i, ids in enumerate(rows_of([9, 20, 41]))]
    monkeypatch.setattr(speculative, "GUESSES", 0)
    plain = [written(model, request) for request in requests]
    monkeypatch.setattr(speculative, "GUESSES", GUESSES)
    ngrams = NgramTable()
    assert [written(model, request, ngrams) for request in requests] == plain
    assert [written(model, request, ngrams) for request in requests] == plain, "knowing all of them"


def test_a_known_answer_is_read_in_a_third_of_the_passes(tiny_folder: Callable[[str], Path], passes: list[int]) -> None:
    model, ngrams = tiny.fresh(tiny_folder("decoder-chat")), NgramTable()
    request = Request("a", tuple(rows_of([30])[0]), 1 + 3 * 8)
    model = replace(model, end_ids=frozenset())
    first = written(model, request, ngrams)
    passes.clear()
    assert written(model, request, ngrams) == first
    assert sum(passes) <= request.limit - 1, "nothing is read beyond the limit"
    assert len(passes) < request.limit / 2


def test_a_row_guesses_as_soon_as_it_is_the_last(tiny_folder: Callable[[str], Path], passes: list[int]) -> None:
    model = replace(tiny.fresh(tiny_folder("decoder-chat")), end_ids=frozenset())
    long, short = rows_of([30, 9])
    together = list(generate(model, [Request("short", tuple(short), 4), Request("long", tuple(long), 30)]))
    assert passes, "after four tokens"
    only = [event.token for event in together if event.id == "long"]
    assert only == [event.token for event in generate(model, [Request("long", tuple(long), 30)])]


def test_wrong_guesses_are_taken_back(tiny_folder: Callable[[str], Path]) -> None:
    """Every guess is wrong: what is said is still what the row says alone."""
    model, (row,) = tiny.fresh(tiny_folder("decoder-chat")), rows_of([12])
    with torch.inference_mode():
        decoder = SpeculativeDecoder(RaggedDecoder(model, [row]), [row], [40])
        decoder._next_token = lambda last: 5  # type: ignore[method-assign]
        logits = decoder.start()
        for _ in range(12):
            torch.testing.assert_close(logits[0], alone(model, row), rtol=1e-4, atol=1e-4)
            token = int(logits[0].topk(2).indices[1])
            token = token if token != 5 else 6
            row.append(token)
            logits = decoder.step(torch.tensor([token]))
