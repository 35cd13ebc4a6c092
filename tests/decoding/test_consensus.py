"""Minimum Bayes risk: of several samples the one that agrees most with the others is the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.decoding.consensus import agreements, most_agreed
from luthier.decoding.generate import fold, generate
from luthier.decoding.requests import Request, plan, seed_of
from luthier.decoding.settings import Agreement, Generation
from luthier.model.model import Model
from luthier.scoring.rouge import rouge_values
from tests import tiny

DRAWN = Generation(temperature=0.9, top_k=40)


@pytest.fixture(scope="module", params=["decoder-chat", "t5-tied"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    made = tiny.fresh(tiny.save(request.param, tmp_path_factory.mktemp("models") / request.param))
    tiny.scramble(made.module, scale=0.5)
    return made


def requests_of(model: Model, count: int, generation: Generation) -> list[Request]:
    prompts = [model.renderer.prompt(example, tiny.PLAIN, room=10) for example in tiny.examples(count)]
    return [Request(p.id, p.prompt_ids, 10, generation, seed_of(0, p.id)) for p in prompts]


@pytest.mark.parametrize("agreement", ["rouge", "rouge2", "chrf"])
def test_the_answer_is_the_sample_that_agrees_most(model: Model, agreement: Agreement) -> None:
    asked = requests_of(model, 5, DRAWN.model_copy(update={"samples": 6, "agreement": agreement}))
    answers = {answer.id: answer for answer in fold(generate(model, asked), model.tokenizer)}
    for request in asked:
        seeds = [request.seed, *(seed_of(request.seed, number) for number in range(1, 6))]
        alone = [
            fold(generate(model, [Request("s", request.prompt_ids, 10, DRAWN, seed)]), model.tokenizer)[0]
            for seed in seeds
        ]
        best = alone[most_agreed([answer.text for answer in alone], agreement)]
        assert (answers[request.id].tokens, answers[request.id].stop) == (best.tokens, best.stop)


def test_batches_count_the_rows_of_an_answer(model: Model) -> None:
    asked = requests_of(model, 12, DRAWN.model_copy(update={"samples": 16}))
    assert [len(batch) for batch in plan(asked)] == [4, 4, 4]
    assert len(plan(requests_of(model, 12, DRAWN))) == 1
    mixed = plan([*asked, *requests_of(model, 3, Generation(beams=2)), *requests_of(model, 3, Generation())])
    assert all(len({request.generation.way for request in batch}) == 1 for batch in mixed)


TEXTS = st.lists(st.text("abc ", max_size=12), min_size=2, max_size=6)


@given(TEXTS)
def test_agreement_is_the_mean_over_the_others(texts: list[str]) -> None:
    def alike(one: str, other: str) -> float:
        return 1.0 if one == other else rouge_values(("rouge1",), one, [other], "mean")["rouge1"]

    expected = [
        sum(alike(text, other) for j, other in enumerate(texts) if j != i) / (len(texts) - 1)
        for i, text in enumerate(texts)
    ]
    assert agreements(texts, "rouge1") == pytest.approx(expected)
    assert expected[most_agreed(texts, "rouge1")] == pytest.approx(max(expected))


@pytest.mark.parametrize("agreement", ["rouge1", "rouge", "chrf"])
def test_the_outsider_is_never_chosen(agreement: Agreement) -> None:
    texts = ["Nothing like it at all", "the tram is late by ten minutes", "the tram is ten minutes late"]
    assert most_agreed(texts, agreement) in (1, 2)
    assert most_agreed(["電車は十分遅れています。", "犬", "電車は遅れています。"], agreement) in (0, 2)


def test_equal_texts_agree_fully() -> None:
    assert agreements(["same", "same"], "rouge") == [1.0, 1.0]
    assert agreements(["", ""], "chrf") == [1.0, 1.0]


def test_of_equal_texts_the_first_is_taken() -> None:
    texts = ["ten minutes tram Anna", "waits by Anna minutes and", "Anna is", "ten minutes tram Anna"]
    assert most_agreed(texts, "rouge") == 0 and len(set(agreements(texts, "rouge")[::3])) == 1
