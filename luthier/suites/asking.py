"""A model asked the panel: items -> one line each, through the project's one likelihood and one generator.

The lines of an instrument depend on weights, tokenizer and items alone. Other batches change them by rounding only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from luthier.decoding.answers import asking
from luthier.decoding.likelihood import BATCH_TOKENS, Divergence, divergences, text_nats
from luthier.model.model import Model
from luthier.records import Answer, Prompt
from luthier.results.panel_record import PanelItem
from luthier.suites.instruments import TIE
from luthier.suites.items import Document, Instruction, Pair, Plain
from luthier.suites.requirements import obeyed
from luthier.training.batches import micro_batches

DRIFT_TOKENS = 1024  # here the logits of two models stand in memory
ANSWER_TOKENS, DRIFT_ANSWER_TOKENS = 48, 32  # most new tokens of an answer

Watch = Callable[[int], None]  # how many items are done


def read_documents(
    model: Model, items: Sequence[Document], watch: Watch = lambda count: None, batch_tokens: int = BATCH_TOKENS
) -> list[PanelItem]:
    """A line for each document: its bits per byte."""
    nats = text_nats(model, {item.id: item.text for item in items}, watch, batch_tokens)
    return [
        PanelItem(
            instrument="text", id=item.id, group=item.group, nats=round(nats[item.id], 6),
            value=nats[item.id] / math.log(2) / len(item.text.encode()), bytes=len(item.text.encode()),
        )
        for item in items
    ]  # fmt: skip


def read_pairs(
    model: Model, items: Sequence[Pair], watch: Watch = lambda count: None, batch_tokens: int = BATCH_TOKENS
) -> list[PanelItem]:
    """A line for each pair: 1 where the right sentence is likelier, 0 where the wrong one is, 1/2 for a tie."""
    right = text_nats(model, {item.id: item.right for item in items}, watch, batch_tokens)
    wrong = text_nats(model, {item.id: item.wrong for item in items}, lambda count: None, batch_tokens)
    return [
        PanelItem(
            instrument="pairs", id=item.id, group=item.group, value=choice(right[item.id], wrong[item.id]),
            nats=round(right[item.id], 6), wrong_nats=round(wrong[item.id], 6),
        )
        for item in items
    ]  # fmt: skip


def choice(right: float, wrong: float) -> float:
    """The value of a pair from the nats of its sentences."""
    return 0.5 if abs(right - wrong) < TIE else float(right < wrong)


def follow(model: Model, items: Sequence[Instruction], watch: Watch = lambda count: None) -> list[PanelItem]:
    """A line for each instruction: the greedy answer, and the share of the requirements that it obeys."""
    answers = _answers(model, {item.id: item.text for item in items}, ANSWER_TOKENS, watch)
    return [
        PanelItem(
            instrument="following", id=item.id, group=item.group, text=answers[item.id].text,
            value=obeyed(answers[item.id].text, item.requirements),
        )
        for item in items
    ]  # fmt: skip


def own_answers(model: Model, items: Sequence[Plain], watch: Watch = lambda count: None) -> list[PanelItem]:
    """A line for each request with the model's own greedy answer, from which the drift of others is measured."""
    answers = _answers(model, {item.id: item.text for item in items}, DRIFT_ANSWER_TOKENS, watch)
    return [
        PanelItem(
            instrument="drift", id=item.id, group=item.group, value=0.0, text=answers[item.id].text,
            tokens=list(answers[item.id].tokens),
        )
        for item in items
    ]  # fmt: skip


def drift(
    base: Model, model: Model, items: Sequence[Plain], answers: Sequence[PanelItem], watch: Watch = lambda count: None
) -> list[PanelItem]:
    """A line for each request: how far `model` is from `base` over the base's own answer; [] for other tokens."""
    if base.tokenizer.get_vocab() != model.tokenizer.get_vocab():
        return []
    tokens = {row.id: tuple(row.tokens or ()) for row in answers}
    prompts = [replace(one, target_ids=tokens[one.id]) for one in _prompts(base, {i.id: i.text for i in items})]
    found: dict[str, Divergence] = {}
    for batch in micro_batches(prompts, DRIFT_TOKENS):
        found |= {one.id: value for one, value in zip(batch, divergences(base, model, batch), strict=True)}
        watch(len(batch))
    return [
        PanelItem(
            instrument="drift", id=item.id, group=item.group, value=max(0.0, found[item.id].nats),
            changed=found[item.id].changed,
        )
        for item in items
    ]  # fmt: skip


def _prompts(model: Model, texts: dict[str, str]) -> list[Prompt]:
    """Each text as one user's turn, rendered for the model."""
    return [
        Prompt(id, text, tuple(model.renderer.render([{"role": "user", "content": text}])[0]))
        for id, text in texts.items()
    ]


def _answers(model: Model, texts: dict[str, str], limit: int, watch: Watch) -> dict[str, Answer]:
    asked = asking(model, _prompts(model, texts), "generation", limit=limit)
    answers: dict[str, Answer] = {}
    for batch in asked.batches:
        answers |= {answer.id: answer for answer in asked.answer(batch)}
        watch(len(batch))
    return answers
