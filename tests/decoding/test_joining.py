"""Requests that join and leave an open batch say what each says alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.adapt.methods import method
from luthier.decoding import batch as batch_module
from luthier.decoding.batch import Batch
from luthier.decoding.decoders import can_join
from luthier.decoding.generate import fold, generate
from luthier.decoding.ragged import LEAST_SHARED, RaggedDecoder
from luthier.decoding.requests import Event, Request
from luthier.decoding.rows import BLOCK, GROUP, MOST_GAP
from luthier.decoding.settings import Generation
from luthier.decoding.speculative import NgramTable
from luthier.errors import ModelError
from luthier.model.model import Model
from luthier.model.prepacked import laid_out_weights
from tests import tiny

SAMPLED = Generation(temperature=0.9, top_k=30)


def requests_of(count: int, beginning: int, seed: int = 0, longest: int = 150) -> list[Request]:
    """Prompts of very unlike length with a common beginning, answers of unlike length, some of them sampled."""
    dice = random.Random(seed)
    first = tuple(dice.randrange(5, 300) for _ in range(beginning))
    made = []
    for i in range(count):
        own = tuple(dice.randrange(5, 300) for _ in range(dice.choice([1, 2, 7, 30, longest])))
        setting = SAMPLED if i % 3 == 0 else Generation()
        made.append(
            Request(
                f"r{i}",
                first + own,
                dice.choice([1, 3, 20, 20, BLOCK + 9 if i % 8 == 0 else 5]),
                setting,
                seed=i,
                ends=i % 4 > 0,
            )
        )
    return made


def alone(model: Model, requests: list[Request]) -> dict[str, list[Event]]:
    return {r.id: list(generate(model, [r])) for r in requests}


def same(ours: list[Event], alone: list[Event]) -> bool:
    """Whether both say the same; after two tokens that are equally likely but for rounding anything may follow."""
    for one, other in zip(ours, alone, strict=False):
        if abs(one.logprob - other.logprob) > 1e-3:
            return False
        if one.token != other.token:
            return True
    return True


def driven(batch: Batch, requests: list[Request], dice: random.Random, leaving: set[str]) -> dict[str, list[Event]]:
    """Requests join at random moments; those in `leaving` leave after a few tokens, or before their first."""
    waiting, said = list(requests), {request.id: list[Event]() for request in requests}
    hidden = {id: dice.choice([0, 1, 4]) for id in leaving}
    while waiting or batch.is_open:
        for _ in range(dice.choice([0, 0, 1, 2, 20])):
            if waiting:
                batch.join(waiting.pop(0))
        for id in [id for id, count in hidden.items() if len(said[id]) >= count]:
            if any(row.request.id == id for row in [*batch.rows, *batch.coming]):
                batch.leave(id)
                del hidden[id]
        for event in batch.step() if batch.is_open else []:
            said[event.id].append(event)
    return said


@pytest.mark.parametrize("beginning", [0, 1, 40])
@pytest.mark.parametrize("kind", tiny.DECODERS)
def test_who_joins_and_leaves_says_what_he_says_alone(
    kind: str, beginning: int, tiny_folder: Callable[[str], Path]
) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = requests_of(GROUP + 9, beginning)
    expected, leaving = alone(model, requests), {f"r{i}" for i in range(0, len(requests), 5)}
    weights = laid_out_weights(model.module, rows=48)
    first = requests[0].prompt_ids[:beginning]
    batch = Batch(model, beginning=first, weights=weights, ngrams=NgramTable())
    for seed in range(2):  # the same batch again, after it was empty
        said = driven(batch, requests, random.Random(seed), leaving)
        for request in requests:
            events = said[request.id]
            assert same(events, expected[request.id]), request.id
            if request.id not in leaving:
                assert [event.stop is None for event in events] == [True] * (len(events) - 1) + [False]
    assert not batch.is_open and not batch.decoder.decoder.rows.groups


@pytest.mark.parametrize("name", ["lora", "soft", "prefix"])
def test_one_may_join_an_adapted_model(name: str, tiny_folder: Callable[[str], Path]) -> None:
    model, drawer = tiny.fresh(tiny_folder("decoder-chat")), method(name)
    module = drawer.apply(model, drawer.settings(), 0)
    tiny.scramble(module, scale=0.02)
    model = drawer.answering(model, module.eval())
    requests = requests_of(20, 5)
    expected = alone(model, requests)
    said = driven(Batch(model, beginning=requests[0].prompt_ids[:5]), requests, random.Random(1), set())
    assert all(same(said[id], expected[id]) and said[id] for id in expected)


def test_a_long_prompt_is_read_in_pieces_in_the_passes_that_write_others(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "JOIN_TOKENS", 100)
    model, passes = tiny.fresh(tiny_folder("decoder-chat")), list[int]()
    long = Request("long", tuple(5 + i % 290 for i in range(301)), 4, ends=False)
    short = Request("short", (7, 8, 9), 12, ends=False)
    batch, said = Batch(model, beginning=()), list[str]()
    model.module.register_forward_pre_hook(lambda *_: passes.append(len(said)))
    batch.join(short)
    said += [event.id for event in batch.step()]
    batch.join(long)
    while batch.is_open:
        said += [event.id for event in batch.step()]
    assert said[:5] == ["short"] * 5 and said[5] == "long", "one token of the open row for each piece of the prompt"
    assert said.count("long") == 4 and said.count("short") == 12
    assert len(passes) == 12


def test_the_answers_folded_are_those_of_the_generator(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    prompts = tiny.train_prompts(model, 12)
    requests = [Request(p.id, p.prompt_ids, 20) for p in prompts]
    batch, events = Batch(model, beginning=()), list[Event]()
    for request in requests:
        batch.join(request)
        events += batch.step()
    while batch.is_open:
        events += batch.step()

    def rounded(answers):
        return {a.id: (replace(a, logprob=None), pytest.approx(a.logprob, abs=1e-2)) for a in answers}

    assert rounded(fold(events, model.tokenizer)) == {
        a.id: (replace(a, logprob=None), a.logprob) for a in fold(generate(model, requests), model.tokenizer)
    }


@pytest.mark.parametrize("kind", ["t5-tied", "bart"])
def test_rows_of_other_models_join_nobody(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    assert not can_join(model)
    with pytest.raises(ModelError, match="cannot join others"):
        Batch(model, beginning=())


@pytest.mark.parametrize("shared", [LEAST_SHARED - 1, LEAST_SHARED, 60])
def test_what_a_newcomer_shares_with_an_open_row_is_not_read_again(
    shared: int, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the answer that it gets alone, whoever has left and whatever was written meanwhile."""
    model, dice = tiny.fresh(tiny_folder("decoder-chat")), random.Random(shared)
    common = tuple(dice.randrange(5, 290) for _ in range(shared))
    requests = [
        Request(f"r{i}", (*common, *(dice.randrange(5, 290) for _ in range(dice.choice([1, 4, 30])))), 9, ends=False)
        for i in range(12)
    ]  # fmt: skip
    expected, read = alone(model, requests), list[int]()
    reading = RaggedDecoder._read

    def counted(self: RaggedDecoder, spans: Any, tokens: Any, *more: Any) -> Any:
        read.append(sum(map(len, tokens)))
        return reading(self, spans, tokens, *more)

    monkeypatch.setattr(RaggedDecoder, "_read", counted)
    batch, said = Batch(model, beginning=()), dict[str, list[Any]]()
    for request in requests:
        batch.join(request)
        for event in (*batch.step(), *batch.step()):
            said.setdefault(event.id, []).append(event)
    while batch.is_open:
        for event in batch.step():
            said[event.id].append(event)
    assert all(same(said[id], expected[id]) for id in expected)
    again = 0 if shared >= LEAST_SHARED else shared
    assert sum(read) == shared + sum(len(r.prompt_ids) - shared for r in requests) + again * (len(requests) - 1)


def test_memory_does_not_grow_with_the_number_of_answers(tiny_folder: Callable[[str], Path]) -> None:
    """The columns of a group that never gets empty are freed again."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    batch, widest = Batch(model, beginning=()), 0
    for i in range(60):
        batch.join(Request(f"r{i}", (7, 8, 9 + i), 20, ends=False))
        for _ in range(7):
            batch.step()
        widest = max(widest, *(group.hidden_R11S.shape[-1] for group in batch.decoder.decoder.rows.groups))
    assert widest <= MOST_GAP + 3 * BLOCK
    with torch.inference_mode():
        assert all(group.rows <= GROUP for group in batch.decoder.decoder.rows.groups)
