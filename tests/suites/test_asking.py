"""A model asked the panel: bits, choices and drift by hand, whatever the batches, and ties that win nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from luthier.model.model import Model, load
from luthier.suites import asking
from luthier.suites.instructions import instructions
from luthier.suites.instruments import DECIDING, margins_from
from luthier.suites.items import Document
from luthier.suites.judge import arm_of
from luthier.suites.minimal_pairs import minimal_pairs
from luthier.suites.texts import documents, requests
from tests.suites.lines import redrawn

Folder = Callable[[str], Path]


@pytest.fixture
def model(tiny_folder: Folder) -> Model:
    return load(str(tiny_folder("decoder-chat")), precision="fp32")


def test_bits_per_byte_are_those_of_the_model_itself(model: Model) -> None:
    item = Document("d", "prose", "Anna moves the bridge to Friday. Größer!")
    (row,) = asking.read_documents(model, [item])
    ids = [*model.tokenizer(item.text, add_special_tokens=False)["input_ids"], model.renderer.end_id]
    start = model.tokenizer.bos_token_id
    start = min(model.end_ids) if start is None else start
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([[start, *ids]])).logits[0, :-1].double()
    nats = -logits.log_softmax(-1)[range(len(ids)), ids].sum().item()
    assert row.bytes == len(item.text.encode()) > len(item.text)
    assert row.value == pytest.approx(nats / math.log(2) / row.bytes, rel=1e-5)


def test_a_document_longer_than_the_window_is_read_in_pieces(model: Model) -> None:
    window = model.renderer.window
    long = Document("long", "prose", "Lea " * window)
    short = replace(model, window=16)
    (whole,), (cut,) = asking.read_documents(model, [long]), asking.read_documents(short, [long])
    assert math.isfinite(whole.value) and math.isfinite(cut.value) and whole.value != cut.value


@pytest.mark.parametrize("kind", ["decoder-plain", "gpt2", "t5-tied", "bart"])
def test_every_family_that_writes_is_asked(tiny_folder: Folder, kind: str) -> None:
    model = load(str(tiny_folder(kind)), precision="fp32")
    rows = asking.read_pairs(model, minimal_pairs()[:8])
    assert all(row.value in (0, 0.5, 1) for row in rows)
    answers = asking.own_answers(model, requests()[:4])
    moved = asking.drift(model, model, requests()[:4], answers)
    assert all(row.value == 0 and row.changed is False for row in moved)
    assert all(0 <= row.value <= 1 for row in asking.follow(model, instructions()[:4]))


def test_a_model_that_gives_all_sentences_one_score_gets_half(model: Model) -> None:
    """Every token equally likely: sentences of as many tokens are equally likely, and pairs hold as many words."""
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.zero_()
    items = [one for one in minimal_pairs() if len(_ids(model, one.right)) == len(_ids(model, one.wrong))]
    assert len(items) > 50
    assert [row.value for row in asking.read_pairs(model, items)] == [0.5] * len(items)
    assert asking.choice(12.0, 12.0) == 0.5 and asking.choice(11.9, 12.0) == 1 and asking.choice(12.0, 11.9) == 0


def _ids(model: Model, text: str) -> list[int]:
    return model.renderer.target_ids(text)


def test_the_base_against_itself_through_other_batches_is_kept(tiny_folder: Folder, precision: str) -> None:
    model = load(str(tiny_folder("decoder-chat")), precision=precision)
    some, pairs = documents()[::10], minimal_pairs()[::10]

    def asked(tokens: int) -> dict:
        return {
            "text": asking.read_documents(model, some, batch_tokens=tokens),
            "pairs": asking.read_pairs(model, pairs, batch_tokens=tokens),
        }

    one, other = asked(4096), asked(300)
    changes = [arm_of("base", *redrawn(one, other, seed), margins_from(None), 3).changes for seed in range(200)]
    for name in ("text", "pairs"):
        assert sum(row[name].verdict == "lost" for row in changes) <= 10
    assert fmean(abs(a.value - b.value) for a, b in zip(one["text"], other["text"], strict=True)) < 0.01


def test_planted_damage_is_found_and_more_of_it_is_worse(model: Model) -> None:
    """A tiny model of random weights knows nothing that noise could spoil; false confidence costs it bits."""
    some = documents()[::4]
    before, losses = asking.read_documents(model, some), []
    for factor in (2.0, 4.0):
        damaged: Any = load(str(model.folder), precision="fp32")
        with torch.no_grad():
            damaged.module.model.norm.weight.mul_(factor)
        after = asking.read_documents(damaged, some)
        change = arm_of("base", {"text": before}, {"text": after}, margins_from(None), len(DECIDING)).changes["text"]
        losses.append(change.loss)
        assert change.verdict == "lost"
    assert losses[1] > losses[0] > 0


def test_drift_is_the_divergence_of_both_distributions(model: Model) -> None:
    items = requests()[:5]
    answers = asking.own_answers(model, items)
    other = load(str(model.folder), precision="fp32")
    with torch.no_grad():
        next(iter(other.module.parameters())).mul_(1.3)
    for item, answer, row in zip(items, answers, asking.drift(model, other, items, answers), strict=True):
        prompt = model.renderer.render([{"role": "user", "content": item.text}])[0]
        ids, at = torch.tensor([[*prompt, *answer.tokens]]), len(prompt) - 1
        with torch.no_grad():
            p, q = (one.module(input_ids=ids).logits[0, at:-1].double().log_softmax(-1) for one in (model, other))
        assert row.value == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-4)
        assert row.changed == bool((p.argmax(-1) != q.argmax(-1)).any())


def test_models_of_other_tokens_have_no_drift(model: Model, tiny_folder: Folder) -> None:
    other = load(str(tiny_folder("t5-tied")), precision="fp32")
    if other.tokenizer.get_vocab() == model.tokenizer.get_vocab():
        other.tokenizer.add_tokens(["☃"])
    assert asking.drift(model, other, requests()[:2], asking.own_answers(model, requests()[:2])) == []
