"""One architecture through luthier's doors, and how it ends: right, refused in a sentence, or broken.

load        the folder is read, its tokens and weights are sound
prompts     examples are rendered
answers     rows of a batch that end apart, one of them at the window's edge, against the plain way
likelihood  references of a batch against the plain way
train       two steps of LoRA: the first loss against the plain way, and the adapter moves
saved       the adapter is saved, loaded on a fresh base, and answers as the trained module did
"""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.adapt.methods import method
from luthier.adapt.settings import Lora
from luthier.decoding.answers import asking, choose_labels
from luthier.decoding.generate import fold, generate
from luthier.decoding.likelihood import reference_nats
from luthier.decoding.requests import Request
from luthier.decoding.roads import road_of
from luthier.errors import LuthierError, ModelError
from luthier.model.forward import class_logits, collate, supervised_loss
from luthier.model.model import Model, family_of, load
from luthier.model.together import padded_alike
from luthier.records import Prompt
from luthier.training.batches import Batches
from luthier.training.loop import train
from luthier.training.memory import Bound, micro_tokens
from luthier.training.settings import Training
from tests import tiny
from tests.sweep.configs import architectures
from tests.sweep.folders import Unmade, make, not_greedy, plain_nats, stub

LIMITS = (3, 9, 6, 12)  # new tokens of the rows of a batch, so that they end apart
RIGHT, REFUSED, BROKEN, UNMADE = "right", "refused", "broken", "not made"


class Wrong(Exception):
    """A door gave something else than the plain way."""


@dataclass(frozen=True)
class Outcome:
    """How an architecture ended: at which door, and what was said there."""

    architecture: str
    family: str
    how: str
    door: str = ""
    said: str = ""

    def __str__(self) -> str:
        return f"{self.architecture:26}{self.family:16}{self.how:9}{self.door:11}{self.said}"


def go_through(model_type: str, place: Path) -> Outcome:
    """Makes the architecture's tiny model in `place` and takes it through every door."""
    family, door = architectures()[model_type], ["made"]
    try:
        if family == "other":
            raise Unmade("it reads more than text")
        folder = make(model_type, place / "model")
    except Unmade as reason:
        return _by_type(model_type, family, place / "stub", str(reason))
    try:
        said = _through(folder, place, door)
    except LuthierError as sentence:  # too late once it was trained
        return Outcome(model_type, family, BROKEN if door[-1] == "saved" else REFUSED, door[-1], str(sentence))
    except Wrong as wrong:
        return Outcome(model_type, family, BROKEN, door[-1], str(wrong))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = " ".join(str(error).split())[:110]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return Outcome(model_type, family, BROKEN, door[-1], f"{type(error).__name__}: {words} ({where})")
    return Outcome(model_type, family, RIGHT, "", said)


def _by_type(model_type: str, family: str, folder: Path, reason: str) -> Outcome:
    """Of an architecture for which no tiny model is made: whether luthier refuses it by its type alone."""
    try:
        family_of(str(stub(model_type, folder)))
    except ModelError as sentence:
        return Outcome(model_type, family, REFUSED, "load", str(sentence))
    except Exception as error:
        reason = f"{reason}; {type(error).__name__}: {' '.join(str(error).split())[:100]}"
    return Outcome(model_type, family, UNMADE, "", reason)


def _through(folder: Path, place: Path, door: list[str]) -> str:
    """Goes through the doors; the way in which the model answers, or how an encoder's rows are read."""

    def at(name: str) -> None:
        door.append(name)

    at("load")
    model = _load(folder)
    at("prompts")
    text = tiny.PLAIN
    rows = tiny.labelled(4) if model.family == "encoder" else tiny.examples(4)
    prompts = [model.renderer.prompt(example, text, train=True) for example in rows]
    at("answers")
    _check_answers(model, prompts)
    at("likelihood")
    if model.family != "encoder":
        _check_likelihood(model, prompts)
    at("train")
    tuning, settings = method("lora"), Lora(rank=2)
    plain = _plain_loss(model, prompts)
    module = tuning.apply(model, settings, 0)
    first = _train(model, module, prompts, place / "trained")
    if not math.isclose(first, plain, rel_tol=1e-3, abs_tol=1e-3):
        raise Wrong(f"the first loss is {first:.4f}, the plain way {plain:.4f}")
    trained = _said(tuning.answering(model, module), prompts)
    at("saved")
    tuning.save(module, place / "adapter")
    again = tuning.load(_load(folder), place / "adapter")
    if (now := _said(again, prompts)) != trained:
        raise Wrong(f"the saved adapter says {str(now)[:40]}, the trained one {str(trained)[:40]}")
    if model.family == "encoder":
        return "padded" if padded_alike(model.module, model.family) else "alone"
    return road_of(model)


def _load(folder: Path) -> Model:
    try:
        return load(str(folder), precision="fp32", device="cpu")
    except LuthierError as sentence:
        if "give it a classification" not in str(sentence):
            raise
    return load(str(folder), precision="fp32", device="cpu", labels=tiny.LABELS)


def _requests(prompts: list[Prompt]) -> list[Request]:
    return [Request(p.id, p.prompt_ids, limit) for p, limit in zip(prompts, LIMITS, strict=True)]


def _said(model: Model, prompts: list[Prompt]) -> Any:
    if model.family == "encoder":
        return [(answer.text, round(answer.logprob or 0, 3)) for answer in choose_labels(model, prompts)]
    answers = fold(generate(model, _requests(prompts)), model.tokenizer)
    return sorted((answer.id, answer.tokens) for answer in answers)


def _check_answers(model: Model, prompts: list[Prompt]) -> None:
    if model.family == "encoder":
        together = class_logits(model.module, collate(prompts, model.module, "encoder"))
        for row, prompt in zip(together, prompts, strict=True):
            alone = class_logits(model.module, collate([prompt], model.module, "encoder"))[0]
            if (row - alone).abs().max() > 1e-3 * max(1.0, float(alone.abs().max())):
                raise Wrong(f"row {prompt.id} in a batch and alone differ by {float((row - alone).abs().max()):.3f}")
        _check_edge(model, prompts[0])
        return
    said = dict(_said(model, prompts))
    for request in _requests(prompts):
        if wrong := not_greedy(
            model.module, model.family, request.prompt_ids, said[request.id], request.limit, model.end_ids
        ):
            raise Wrong(f"{request.id}, {len(request.prompt_ids)} tokens: {wrong}")
    asked = asking(model, prompts, "generation", limit=4, bound=Bound(8e9))
    for batch in asked.batches:
        asked.answer(batch)
    _check_edge(model, prompts[0])


def _check_edge(model: Model, prompt: Prompt) -> None:
    """A row that fills the window to its last token."""
    window = min(model.renderer.window, 600)
    ids = (prompt.prompt_ids * window)[: window - (2 if model.family == "decoder" else 0)]
    if model.family == "encoder":
        choose_labels(model, [Prompt(prompt.id, prompt.text, ids)])
        return
    said = fold(generate(model, [Request("edge", ids, 2)]), model.tokenizer)[0].tokens
    if wrong := not_greedy(model.module, model.family, ids, said, 2, model.end_ids):
        raise Wrong(f"at the window's edge, {len(ids)} tokens: {wrong}")


def _check_likelihood(model: Model, prompts: list[Prompt]) -> None:
    for prompt, nats in zip(prompts, reference_nats(model, prompts), strict=True):
        plain = plain_nats(model.module, model.family, prompt)
        if not math.isclose(nats, plain, rel_tol=1e-3, abs_tol=1e-2):
            raise Wrong(f"{prompt.id}: {nats:.3f} nats, the plain way {plain:.3f}")


def _plain_loss(model: Model, prompts: list[Prompt]) -> float:
    if model.family == "encoder":
        return sum(float(supervised_loss(model.module, collate([p], model.module, "encoder"))[0]) for p in prompts)
    return sum(plain_nats(model.module, model.family, p) for p in prompts)


def _train(model: Model, module: Any, prompts: list[Prompt], out: Path) -> float:
    """The summed loss of the first of two steps."""
    losses: list[float] = []

    def step(rows: list[Prompt]) -> tuple[Any, int, int]:
        batch = collate(rows, module, model.family)
        loss, count = supervised_loss(module, batch)
        losses.append(float(loss.detach()))
        return loss, count, batch.tokens

    micro_tokens(module, lambda rows: step(rows)[0], prompts, Bound(8e9).while_training(model.module))
    losses.clear()
    settings = Training(learning_rate=1e-2, epochs=2, batch_size=4, evaluations=1)
    out.mkdir()
    train(module, step, Batches(prompts, batch_size=4, micro_tokens=4096, epochs=2, seed=0), settings, out)
    return sum(losses[: len(losses) // 2])
