"""Beam search gives transformers' answers, token for token, whoever else is searched for."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from luthier.decoding.beam import Search
from luthier.decoding.generate import fold, generate
from luthier.decoding.requests import Request, plan
from luthier.decoding.settings import Generation
from luthier.errors import SettingsError
from luthier.model.model import Model
from luthier.settings import settings_from
from tests import tiny

SETTINGS: tuple[dict[str, Any], ...] = (
    {"beams": 2},
    {"beams": 4, "length_penalty": 2.0},
    {"beams": 4, "length_penalty": -1.0, "early_stopping": "never"},
    {"beams": 3, "length_penalty": 0.0, "early_stopping": True},
    {"beams": 5, "early_stopping": True, "no_repeat_ngram_size": 2},
    {"beams": 4, "early_stopping": "never", "repetition_penalty": 1.3},
    {"beams": 8, "no_repeat_ngram_size": 1},
)
FAMILIES = ("decoder-plain", "gpt2", "t5-tied", "bart")


def prompts_of(model: Model, count: int, seed: int) -> list[tuple[int, ...]]:
    chance = random.Random(seed)
    tokens = [token for token in range(4, len(model.tokenizer)) if token not in model.end_ids]
    return [tuple(chance.choices(tokens, k=chance.randint(3, 24))) for _ in range(count)]


def transformers_answer(model: Model, request: Request) -> tuple[int, ...]:
    """What transformers' own search says to one prompt without padding."""
    module: Any = model.module
    module.generation_config.forced_eos_token_id = None
    module.generation_config.forced_bos_token_id = None
    asked, ids = request.generation, torch.tensor([request.prompt_ids])
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=request.limit, num_beams=asked.beams, length_penalty=asked.length_penalty,
        early_stopping=asked.early_stopping, no_repeat_ngram_size=asked.no_repeat_ngram_size or None,
        repetition_penalty=asked.repetition_penalty, eos_token_id=sorted(model.end_ids), pad_token_id=0,
        decoder_start_token_id=getattr(module.config, "decoder_start_token_id", None),
    )  # fmt: skip
    said = module.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)[0].tolist()
    return tuple(said[1:] if module.config.is_encoder_decoder else said[len(request.prompt_ids) :])


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    made = tiny.fresh(tiny.save(request.param, tmp_path_factory.mktemp("models") / request.param))
    tiny.scramble(made.module, scale=0.5)  # else all tokens are about equally likely and no search ever ends
    return made


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "+".join(f"{k}={v}" for k, v in settings.items()))
def test_answers_are_those_of_transformers(model: Model, settings: dict[str, Any]) -> None:
    generation = Generation(**settings)
    requests = [
        Request(str(i), prompt, 4 + 3 * (i % 4), generation) for i, prompt in enumerate(prompts_of(model, 7, seed=3))
    ]
    answers = {answer.id: answer for answer in fold(generate(model, requests), model.tokenizer)}
    for request in requests:
        theirs = transformers_answer(model, request)
        assert answers[request.id].tokens == theirs
        assert answers[request.id].stop == ("end" if theirs[-1] in model.end_ids else "length")


@pytest.mark.slow
def test_two_hundred_prompts_have_the_answers_of_transformers(model: Model) -> None:
    chance = random.Random(9)
    requests = [
        Request(str(i), prompt, chance.randint(1, 20), Generation(**chance.choice(SETTINGS)))
        for i, prompt in enumerate(prompts_of(model, 200, seed=8))
    ]
    answers = {a.id: a for batch in plan(requests) for a in fold(generate(model, batch), model.tokenizer)}
    assert [r.id for r in requests if answers[r.id].tokens != transformers_answer(model, r)] == []


def test_an_answer_is_the_same_alone_and_beside_others(model: Model) -> None:
    settings = [Generation(**given) for given in (*SETTINGS, {}, {"temperature": 0.8, "top_k": 20})]
    requests = [
        Request(str(i), prompt, 6 + i % 5, settings[i % len(settings)], seed=i)
        for i, prompt in enumerate(prompts_of(model, 18, seed=5))
    ]
    together = {answer.id: answer for answer in fold(generate(model, requests), model.tokenizer)}
    for request in requests:
        (alone,) = fold(generate(model, [request]), model.tokenizer)
        assert together[request.id].tokens == alone.tokens


def test_log_probabilities_are_those_of_the_model(model: Model) -> None:
    (request,) = (Request("a", prompt, 9, Generation(beams=3)) for prompt in prompts_of(model, 1, seed=2))
    events = list(generate(model, [request]))
    written = torch.tensor([request.prompt_ids]) if model.family == "decoder" else None
    module: Any = model.module
    tokens = [event.token for event in events]
    if written is not None:
        logits = module(torch.cat([written, torch.tensor([tokens])], 1)).logits[0, len(request.prompt_ids) - 1 : -1]
    else:
        start = module.config.decoder_start_token_id
        logits = module(
            input_ids=torch.tensor([request.prompt_ids]), decoder_input_ids=torch.tensor([[start, *tokens[:-1]]])
        ).logits[0]
    expected = logits.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]
    assert torch.tensor([event.logprob for event in events]) == pytest.approx(expected.detach(), abs=1e-4)


def test_the_rivals_of_each_token_are_named(model: Model) -> None:
    (request,) = (Request("a", prompt, 6, Generation(beams=3), top=4) for prompt in prompts_of(model, 1, seed=2))
    for event in generate(model, [request]):
        named = {one.token: math.log(one.before) for one in event.candidates}
        assert len(named) == 4 and named.get(event.token, event.logprob) == pytest.approx(event.logprob, abs=1e-4)
        assert max(named.values()) >= event.logprob - 1e-4


def test_more_beams_find_likelier_answers(model: Model) -> None:
    """Not for every prompt, but in the sum over several; with as many beams as paths the likeliest is found."""
    prompts = prompts_of(model, 12, seed=4)

    def sums(beams: int) -> float:
        generation = Generation(beams=beams, length_penalty=0.0, early_stopping="never")
        requests = [replace(Request("", p, 5, generation), id=str(i)) for i, p in enumerate(prompts)]
        return sum(event.logprob for event in generate(model, requests))

    assert sums(1) < sums(8) <= sums(48) + 1e-3


def test_a_prompt_is_read_once_for_its_paths(model: Model) -> None:
    (prompt,) = prompts_of(model, 1, seed=1)
    seen: list[int] = []
    module: Any = model.module
    reader = module.get_input_embeddings() if model.family == "decoder" else module.get_encoder()
    handle = reader.register_forward_hook(
        lambda _module, ids, named, _out: seen.append((ids or (named["input_ids"],))[0].numel()), with_kwargs=True
    )
    try:
        list(generate(model, [Request("a", prompt, 4, Generation(beams=4))]))
    finally:
        handle.remove()
    assert seen[0] == len(prompt) and max(seen[1:], default=0) <= 4


@pytest.mark.parametrize("count", [2, 3])
def test_a_search_that_ends_at_its_first_token_leaves_the_others_as_they_are(model: Model, count: int) -> None:
    """Even where then as many paths go on as there were prompts."""
    first, *others = prompts_of(model, count, seed=7)
    asked = [Request("short", first, 1, Generation(beams=2))]
    asked += [Request(str(i), prompt, 8, Generation(beams=2)) for i, prompt in enumerate(others)]
    together = {answer.id: answer.tokens for answer in fold(generate(model, asked), model.tokenizer)}
    for request in asked:
        assert together[request.id] == transformers_answer(model, request)


def test_a_search_without_end_tokens_goes_to_its_limit(model: Model) -> None:
    request = Request("a", prompts_of(model, 1, seed=6)[0], 7, Generation(beams=3), ends=False)
    (answer,) = fold(generate(model, [request]), model.tokenizer)
    assert (len(answer.tokens), answer.stop) == (7, "length")


def test_the_paths_of_a_search_are_never_more_than_its_beams() -> None:
    request = Request("a", (5,), 3, Generation(beams=3))
    search = Search(request, request.prompt_ids, ends=(0,))
    scores = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    assert search.advance(scores, scores) == ([0, 0, 0], [1, 3, 2])
    assert search.written == [[5, 1], [5, 3], [5, 2]]
    assert [path.tokens for path in search.finished] == []  # the end token was not among the best three


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"beams": 4, "temperature": 0.5}, "beams is 4 and temperature 0.5"),
        ({"samples": 8}, "samples is 8 and temperature 0"),
        ({"beams": 0}, "beams"),
        ({"beams": 65}, "beams"),
        ({"early_stopping": "soon", "beams": 2}, "early_stopping"),
        ({"agreement": "meteor"}, "agreement"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_from(Generation, given, "arm 'a'")


class Bigrams(PreTrainedModel, GenerationMixin):
    """A model whose next token depends on the last one alone, by a table (V, V) of few values: scores are equal."""

    config_class = PretrainedConfig
    _is_stateful = False

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__(PretrainedConfig(vocab_size=len(table)))
        self.table = torch.nn.Parameter(table)

    def prepare_inputs_for_generation(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> dict[str, Any]:
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def forward(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.table[input_ids])


@pytest.mark.parametrize("settings", SETTINGS[:4], ids=str)
def test_equal_scores_are_ordered_as_transformers_orders_them(settings: dict[str, Any]) -> None:
    dice = torch.Generator().manual_seed(1)
    model = Bigrams(torch.randint(0, 4, (300, 300), generator=dice).float())
    for first, limit in zip(range(20, 40), (1, 2, 5, 9) * 5, strict=True):
        generation = Generation(**settings)
        asked = GenerationConfig(
            do_sample=False, max_new_tokens=limit, num_beams=generation.beams, eos_token_id=[7], pad_token_id=0,
            length_penalty=generation.length_penalty, early_stopping=generation.early_stopping, use_cache=False,
        )  # fmt: skip
        ids = torch.tensor([[first]])
        theirs = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=asked)[0]
        search = Search(Request("a", (first,), limit, generation), (first,), ends=(7,))
        while search.is_open:
            logprobs = model.table.detach()[[written[-1] for written in search.written]].log_softmax(-1)
            search.advance(logprobs, logprobs)
        assert [event.token for event in search.events()] == theirs.tolist()[1:]
