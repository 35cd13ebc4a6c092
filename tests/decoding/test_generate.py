"""The generator says what transformers and peft say, token for token, whatever else is in the batch."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
)

from luthier.adapt.methods import method
from luthier.decoding.generate import answered, fold, generate, shorten
from luthier.decoding.requests import Event, Request, plan, seed_of
from luthier.decoding.settings import Generation
from luthier.errors import ModelError
from luthier.model.model import Model
from tests import tiny

SAMPLED = Generation(temperature=1.3, top_k=40, top_p=0.95)


def requests_of(model: Model, count: int, limit: int = 12, generation: Generation | None = None) -> list[Request]:
    prompts = [model.renderer.prompt(example, tiny.PLAIN, room=limit) for example in tiny.examples(count)]
    return [Request(p.id, p.prompt_ids, limit, generation or Generation(), seed_of(0, p.id)) for p in prompts]


def answers(model: Model, requests: Sequence[Request]) -> dict[str, tuple[int, ...]]:
    return {answer.id: answer.tokens for answer in fold(generate(model, requests), model.tokenizer)}


def transformers_greedy(module: Any, request: Request, end_ids: Any) -> tuple[int, ...]:
    """What transformers' own generate says to one unpadded prompt."""
    ids = torch.tensor([request.prompt_ids])
    module.generation_config.forced_eos_token_id = None
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=request.limit,
        repetition_penalty=request.generation.repetition_penalty, eos_token_id=sorted(end_ids), pad_token_id=0,
        decoder_start_token_id=getattr(module.config, "decoder_start_token_id", None),
    )  # fmt: skip
    said = module.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)[0].tolist()
    return tuple(said[1:] if module.config.is_encoder_decoder else said[len(request.prompt_ids) :])


def adapted(folder: Path, name: str, **settings: Any) -> tuple[Model, Any]:
    """A tiny model under a method whose parameters are far from their start, and peft's own module."""
    model = tiny.fresh(folder)
    module = method(name).apply(model, method(name).settings(**settings), 0)
    tiny.scramble(module, scale=0.5)
    return method(name).answering(model, module.eval()), module


# --- greedy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_greedy_equals_transformers_whatever_the_padding(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = requests_of(model, 8, limit=80)  # beyond the 64 tokens by which the cache grows
    expected = {r.id: transformers_greedy(model.module, r, model.end_ids) for r in requests}
    lengths = [len(r.prompt_ids) for r in requests]
    assert max(lengths) > 4 * min(lengths)  # one batch with very much padding
    assert len(set(expected.values())) > 4
    assert answers(model, requests) == expected
    for request in requests[:3]:
        assert answers(model, [request])[request.id] == expected[request.id]


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_rows_that_end_leave_and_change_no_other(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = requests_of(model, 6, limit=20)
    whole = answers(model, requests)
    uneven = [Request(r.id, r.prompt_ids, limit) for r, limit in zip(requests, (3, 20, 1, 7, 20, 12), strict=True)]
    said = answers(model, uneven)
    assert said == {r.id: whole[r.id][: r.limit] for r in uneven}


@pytest.mark.slow
def test_greedy_equals_transformers_on_the_packaged_model(smollm2: str) -> None:
    from luthier.model.model import load

    model = load(smollm2, precision="fp32", device="cpu")
    requests = requests_of(model, 4, limit=16)
    expected = {r.id: transformers_greedy(model.module, r, model.end_ids) for r in requests}
    assert answers(model, requests) == expected
    assert len(set(expected.values())) == 4


# --- repetition ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_repetition_penalty_is_that_of_transformers(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """Token for token, also where rows of one batch have penalties of their own."""
    model = tiny.fresh(tiny_folder(kind))
    plain, penalties = requests_of(model, 6, limit=30), (1.0, 1.3, 5.0, 0.8, 1.0, 2.0)
    requests = [replace(r, generation=Generation(repetition_penalty=p)) for r, p in zip(plain, penalties, strict=True)]
    expected = {r.id: transformers_greedy(model.module, r, model.end_ids) for r in requests}
    assert answers(model, requests) == expected
    unpenalized = answers(model, plain)
    assert expected["e0"] == unpenalized["e0"] and expected["e4"] == unpenalized["e4"]
    assert sum(expected[r.id] != unpenalized[r.id] for r in plain) >= 2


def test_candidates_say_what_the_filters_did(tiny_folder: Callable[[str], Path]) -> None:
    """Their shares before are the model's, after those of transformers' processors in the same order."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    setting = Generation(temperature=0.7, top_k=3, repetition_penalty=1.4)
    (request,) = requests_of(model, 1, limit=4, generation=setting)
    events = list(generate(model, [replace(request, top=6)]))
    ids = torch.tensor([request.prompt_ids])
    for event in events:
        with torch.no_grad():
            logits = model.module(input_ids=ids, use_cache=False).logits[:, -1]
        kept = RepetitionPenaltyLogitsProcessor(1.4)(ids, logits.clone())
        kept = TopKLogitsWarper(3)(ids, TemperatureLogitsWarper(0.7)(ids, kept)).softmax(-1)[0]
        named = event.candidates
        assert [c.token for c in named] == logits[0].topk(6).indices.tolist()
        assert [c.before for c in named] == pytest.approx(
            [float(logits.softmax(-1)[0, c.token]) for c in named], abs=1e-5
        )
        assert [c.after for c in named] == pytest.approx([float(kept[c.token]) for c in named], abs=1e-5)
        ids = torch.cat([ids, torch.tensor([[event.token]])], 1)
    assert [replace(e, candidates=()) for e in events] == list(generate(model, [request]))  # naming changes nothing
    greedy = next(generate(model, [replace(request, generation=Generation(), top=2)]))
    assert [c.after for c in greedy.candidates] == [1.0, 0.0]
    assert next(generate(model, [request])).candidates == ()


# --- learned prompts and adapters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_soft_prompt_answers_alone_as_in_any_batch_and_as_peft(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model, module = adapted(tiny_folder(kind), "soft", tokens=6)
    requests = requests_of(model, 6)
    alone = {r.id: answers(model, [r])[r.id] for r in requests}
    plain = tiny.fresh(tiny_folder(kind))
    assert alone != answers(plain, requests)  # the prompt matters
    for size in (2, 3, 6):
        for together in itertools.combinations(requests, size):
            if size < 6 and requests[0] not in together:
                continue
            assert answers(model, together) == {r.id: alone[r.id] for r in together}
    for request in requests:
        said = tiny.slow_greedy(module, request.prompt_ids, model.family, request.limit, model.end_ids)
        assert tuple(said) == alone[request.id]


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_lora_answers_as_peft(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model, module = adapted(tiny_folder(kind), "lora", rank=4)
    requests = requests_of(model, 6)
    said = answers(model, requests)
    assert said != answers(tiny.fresh(tiny_folder(kind)), requests)
    for request in requests:
        own = tiny.slow_greedy(module, request.prompt_ids, model.family, request.limit, model.end_ids)
        assert tuple(own) == said[request.id]


# --- sampling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["decoder-chat", "t5-untied"])
def test_a_seed_gives_the_same_sample_in_any_batch(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = requests_of(model, 6, generation=SAMPLED)
    alone = {r.id: answers(model, [r])[r.id] for r in requests}
    assert answers(model, requests) == alone == answers(model, requests[::-1])
    greedy = requests_of(model, 6)
    mixed = answers(model, [requests[0], *greedy[1:]])
    assert mixed == {**answers(model, greedy), "e0": alone["e0"]}
    other = [Request(r.id, r.prompt_ids, r.limit, r.generation, r.seed + 1) for r in requests]
    assert answers(model, other) != alone


def test_the_one_most_likely_token_is_greedy(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    greedy = answers(model, requests_of(model, 4))
    assert answers(model, requests_of(model, 4, generation=Generation(temperature=2.0, top_k=1))) == greedy
    assert answers(model, requests_of(model, 4, generation=Generation(temperature=2.0, top_p=1e-6))) == greedy


# --- events, answers, plans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", [Generation(), SAMPLED])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_log_probabilities_are_those_of_a_plain_forward_pass(
    kind: str, generation: Generation, tiny_folder: Callable[[str], Path]
) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = requests_of(model, 4, limit=6, generation=generation)
    events = list(generate(model, requests))
    for request in requests:
        own = [event for event in events if event.id == request.id]
        said = tuple(event.token for event in own)
        with torch.no_grad():
            for i, event in enumerate(own):
                prompt = tiny.Prompt(request.id, "", request.prompt_ids, (*said[:i], event.token))
                before = tiny.Prompt(request.id, "", request.prompt_ids, said[:i]) if i else None
                loss = tiny.reference_loss(model.module, prompt, model.family)
                less = tiny.reference_loss(model.module, before, model.family) if before else 0.0
                assert event.logprob == pytest.approx(float(less - loss), abs=2e-3)
        assert [event.stop for event in own[:-1]] == [None] * (len(own) - 1)
        assert own[-1].stop == ("end" if own[-1].token in model.end_ids else "length")
    folded = {answer.id: answer for answer in fold(events, model.tokenizer)}
    total = sum(event.logprob for event in events if event.id == "e0")
    assert folded["e0"].logprob == pytest.approx(total, abs=1e-4)


def test_answers_stand_in_the_order_of_their_requests(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    requests = [replace(one, limit=limit) for one, limit in zip(requests_of(model, 4), (9, 3, 6, 1), strict=True)]
    ended = fold(generate(model, requests), model.tokenizer)
    assert [answer.id for answer in ended] != [request.id for request in requests]
    said = answered(model, requests)
    assert [answer.id for answer in said] == [request.id for request in requests]
    assert {answer.id: answer for answer in said} == {answer.id: answer for answer in ended}


def test_a_shortened_answer_is_what_the_smaller_limit_gives(tiny_folder: Callable[[str], Path]) -> None:
    ended = 0
    for kind, generation in itertools.product(("decoder-chat", "t5-tied"), (Generation(), SAMPLED)):
        model = tiny.fresh(tiny_folder(kind))
        longest = {a.id: a for a in fold(generate(model, requests_of(model, 6, 24, generation)), model.tokenizer)}
        ended += sum(a.stop == "end" for a in longest.values())
        for limit in (1, 2, 6, 7, 23, 24):
            asked = fold(generate(model, requests_of(model, 6, limit, generation)), model.tokenizer)
            for answer in asked:
                short = shorten(longest[answer.id], limit, model.tokenizer)
                assert (short.tokens, short.text, short.stop) == (answer.tokens, answer.text, answer.stop)
    assert ended  # answers that stop by themselves are among them


def test_shortening_at_the_end_token_keeps_the_reason() -> None:
    tokenizer = tiny.tokenizer()
    ids = tuple(tokenizer("one two", add_special_tokens=False)["input_ids"])
    events = [Event("a", token, -1.0) for token in ids] + [Event("a", 1, -1.0, "end")]
    (answer,) = fold(events, tokenizer)
    assert (answer.text, answer.stop, answer.logprob) == ("one two", "end", -len(events))
    assert shorten(answer, len(events), tokenizer) is answer
    cut = shorten(answer, len(ids), tokenizer)
    assert (cut.text, cut.stop, cut.tokens, cut.logprob) == ("one two", "length", ids, None)


@pytest.mark.parametrize("kind", ["decoder-chat", "t5-tied", "bart"])
def test_what_does_not_fit_into_the_window_is_refused(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    window = model.window
    long = tuple(itertools.islice(itertools.cycle(range(5, 300)), window + 1))
    too_long = [Request("a", long, 5), Request("b", long[:20], window + 1)]
    if model.family == "decoder":
        too_long.append(Request("c", long[:-5], 5))
        fits = Request("d", long[:-6], 5)
    else:
        fits = Request("d", long[:-1], 5)
    for request in too_long:
        with pytest.raises(ModelError, match=rf"request '{request.id}'.*window of {window}"):
            next(generate(model, [fits, request]))
    assert len(answers(model, [fits])["d"]) <= 5


def test_a_learned_prompt_takes_its_part_of_the_window(tiny_folder: Callable[[str], Path]) -> None:
    model, _ = adapted(tiny_folder("decoder-chat"), "soft", tokens=6)
    with pytest.raises(ModelError, match="window of 506"):
        next(generate(model, [Request("a", (5,) * 502, 5)]))


@pytest.mark.parametrize("kind", ["decoder-chat", "t5-tied"])
@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0, "top_p": 0.9}, {"beams": 2}], ids=str)
def test_logits_that_are_no_numbers_are_refused_in_a_sentence(
    kind: str, settings: dict[str, Any], tiny_folder: Callable[[str], Path]
) -> None:
    model = tiny.fresh(tiny_folder(kind))
    with torch.no_grad():
        next(model.module.parameters())[9] = float("inf")
    with pytest.raises(ModelError, match="logits that are no numbers, so it cannot answer"):
        list(generate(model, [Request("a", (9, 9, 9), 5, Generation(**settings))]))


def test_no_request_gives_no_event(tiny_folder: Callable[[str], Path]) -> None:
    assert list(generate(tiny.fresh(tiny_folder("decoder-chat")), [])) == []


@given(
    lengths=st.lists(st.integers(1, 500), max_size=60),
    shared=st.integers(0, 3000),
    size=st.integers(1, 9),
    tokens=st.integers(1, 2000),
)
def test_a_plan_is_the_requests_alone_and_within_its_limits(
    lengths: list[int], shared: int, size: int, tokens: int
) -> None:
    requests = [Request(f"r{i}", (0,) * (shared + n), 5) for i, n in enumerate(lengths)]
    shuffled = random.Random(1).sample(requests, len(requests))
    batches = plan(requests, batch_size=size, batch_tokens=tokens, shared=shared)
    assert batches == plan(shuffled, batch_size=size, batch_tokens=tokens, shared=shared)
    assert Counter(r.id for batch in batches for r in batch) == Counter(r.id for r in requests)
    for batch in batches:
        assert len(batch) <= size
        assert len(batch) == 1 or len(batch) * max(len(r.prompt_ids) - shared for r in batch) <= tokens


def test_a_seed_is_the_same_in_every_process() -> None:
    assert seed_of(0, "e1") == 6146034674759583701
    assert len({seed_of(a, b) for a in range(20) for b in "abc"}) == 60
    assert all(0 <= seed_of(a) < 2**63 for a in range(100))
