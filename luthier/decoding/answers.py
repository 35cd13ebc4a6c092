"""How an arm answers, and in which batches: it writes a text, or it chooses one label of several.

    generation   prompts -> requests -> texts; in a classification the text is then searched for a label
    likelihood   log p(label, end token | prompt) of every label; the likeliest is the answer
    head         log-softmax over the logits of an encoder's head

The likelihood of a label includes its end token. Without it 'light' would win over 'light rain', whose beginning it is.
The likelihood is not divided by length: it is the probability with which the model would write the label. All labels of
a prompt are read together, and where the model allows it (shared.py) the prompt only once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch

from luthier.decoding.generate import fold, generate
from luthier.decoding.likelihood import reference_nats
from luthier.decoding.ragged import supported
from luthier.decoding.requests import Request, plan, seed_of
from luthier.decoding.sampling import refuse_no_numbers
from luthier.decoding.settings import GREEDY, Generation
from luthier.errors import ModelError
from luthier.model.forward import class_logits, collate
from luthier.model.model import Model
from luthier.planning.budget import Asked, Room
from luthier.records import Answer, Prompt
from luthier.task.prompt import shared_length
from luthier.training.batches import micro_batches
from luthier.training.memory import NO_BOUND, Bound, answering_room

BATCH_TOKENS = 4096  # padded tokens of an encoder's batch; also how far apart two lines of answers.jsonl are


@dataclass(frozen=True)
class Asking:
    """Batches of requests or prompts, and the function that answers one. The same prompts make the same batches."""

    batches: list[list[Any]]
    answer: Callable[..., list[Answer]]  # (batch, watch); `watch` maps the iterator of events


def asking(
    model: Model,
    prompts: Sequence[Prompt],
    by: str,
    *,
    limit: int,
    generation: Generation = GREEDY,
    seed: int = 0,
    bound: Bound = NO_BOUND,
) -> Asking:
    """The batches in which `model` answers `prompts`, by 'generation', 'likelihood' or 'head'.

    limit: the most new tokens; generation: how a text is decoded; seed: the seed of its samples; bound: the most memory
    of a batch. All four apply to texts alone. Raises SettingsError for a bound that is too tight.
    """
    if by == "generation":
        requests = [Request(p.id, p.prompt_ids, limit, generation, seed_of(seed, p.id)) for p in prompts]
        in_one = supported(model)
        shared = shared_length([request.prompt_ids for request in requests]) if in_one else 0
        room = answering_room(model.module, _asked(model, requests, shared, in_one), bound) if requests else Room()
        batches = plan(requests, shared=shared, most_tokens=room.tokens)

        def answer(batch: list[Request], watch: Callable[..., Any] = iter) -> list[Answer]:
            return fold(watch(generate(model, batch, lay_out=room.laid_out)), model.tokenizer)

        return Asking(batches, answer)
    return Asking(micro_batches(prompts, BATCH_TOKENS), lambda batch, watch=iter: choose_labels(model, batch))


def _asked(model: Model, requests: Sequence[Request], shared: int, in_one: bool) -> Asked:
    """How long the requests are; what is written for one answer stands in memory together."""
    prompts, rows = [len(request.prompt_ids) for request in requests], requests[0].generation.rows
    own = [length - shared + request.limit for length, request in zip(prompts, requests, strict=True)]
    longest, shortest = shared + rows * max(own), max(1, min(own))
    return Asked(longest, shortest, max(prompts), sum(prompts), model.learned, in_one, rows)


def choose_labels(model: Model, prompts: Sequence[Prompt]) -> list[Answer]:
    """The likeliest of the model's labels for each prompt; of equals the first."""
    answers = []
    for prompt, logprobs in zip(prompts, label_logprobs(model, prompts), strict=True):
        best = max(range(len(logprobs)), key=logprobs.__getitem__)
        answers.append(Answer(prompt.id, model.labels[best], stop="chosen", logprob=round(logprobs[best], 4)))
    return answers


@torch.inference_mode()
def label_logprobs(model: Model, prompts: Sequence[Prompt]) -> list[list[float]]:
    """For each prompt the log-probability, in nats, of each of the model's labels among them all.

    Raises ModelError where it is no number.
    """
    if model.family == "encoder":
        batch = collate([replace(prompt, label=None) for prompt in prompts], model.module, model.family)
        scores = class_logits(model.module, batch)
    else:
        words = [tuple(model.renderer.target_ids(label)) for label in model.labels]
        nats = [reference_nats(model, [replace(prompt, target_ids=ids) for ids in words]) for prompt in prompts]
        scores = -torch.tensor(nats, dtype=torch.float64)
    rows: list[list[float]] = torch.log_softmax(scores.double(), -1).tolist()
    refuse_no_numbers(model.name, chain.from_iterable(rows))
    return rows


def refuse_same_labels(model: Model) -> None:
    """Raises ModelError where two labels are the same tokens to a model that writes: it could not choose between them.

    Tokenizers fold case, compatibility forms and signs that they do not know.
    """
    if model.family == "encoder":
        return
    seen: dict[tuple[int, ...], str] = {}
    for label in model.labels:
        if (other := seen.setdefault(tuple(model.renderer.target_ids(label)), label)) != label:
            raise ModelError(
                f"{model.name}: the labels '{other}' and '{label}' are the same tokens to this model, so it cannot "
                "choose between them; give them other words in [classes.words]"
            )
