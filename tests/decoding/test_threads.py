"""Several threads ask one model and get what one thread gets; whatever happens, the model stays as it was."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from torch import nn

from luthier.adapt.methods import method
from luthier.decoding.answers import asking
from luthier.decoding.generate import fold, generate
from luthier.decoding.likelihood import reference_nats
from luthier.decoding.requests import Request
from luthier.decoding.settings import GREEDY, Generation
from luthier.errors import ModelError
from luthier.model.forward import collate, supervised_loss
from luthier.model.model import Model
from luthier.records import Prompt
from luthier.training.batches import Batches
from luthier.training.loop import train
from luthier.training.settings import Training
from tests import tiny

THREADS, QUESTIONS = 3, 15
SAMPLED = Generation(temperature=0.8, top_k=20)
Ask = Callable[[], Any]


def questions(model: Model, which: int) -> list[Ask]:
    """A thread's questions: alone and in batches, of unlike length and limit, greedy, sampled, and by likelihood."""
    prompts = tiny.train_prompts(model, 24)[which:]

    def request(n: int, generation: Generation = GREEDY) -> Request:
        return Request(str(n), prompts[n].prompt_ids, 3 + (n + which) % 5, generation, seed=n)

    def answered(*requests: Request) -> Ask:
        return lambda: fold(generate(model, requests), model.tokenizer)

    def asked(prompts: list[Prompt]) -> Any:
        batches = asking(model, prompts, "generation", limit=4)
        return [batches.answer(batch) for batch in batches.batches]

    return [
        *(answered(request(n, SAMPLED if n % 2 else GREEDY)) for n in range(5)),
        *(answered(*(request(n) for n in range(first, first + count))) for first, count in ((0, 3), (1, 9), (4, 12))),
        *(lambda first=first: asked(prompts[first : first + 4 * first]) for first in (1, 2, 3)),  # type: ignore[misc]
        *(lambda n=n: reference_nats(model, prompts[n : 3 * n]) for n in (1, 2, 4, 6)),  # type: ignore[misc]
    ]


def together(*work: Callable[[], Any]) -> list[Any]:
    """What each piece of work gives, all begun at the same moment in threads of their own."""
    gate = Barrier(len(work))

    def begin(one: Callable[[], Any]) -> Any:
        gate.wait(timeout=60)
        return one()

    with ThreadPoolExecutor(len(work)) as threads:
        return [future.result() for future in [threads.submit(begin, one) for one in work]]


def shape_of(module: Any) -> dict[str, Any]:
    """All that a call might leave changed, the numbers of the weights included."""
    hooks = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_state_dict_hooks")
    layers = {
        name: (type(layer), sorted(layer.__dict__), layer.training, [list(getattr(layer, kind)) for kind in hooks])
        for name, layer in module.named_modules()
    }
    counts = [(p.data_ptr(), p._version, p.requires_grad) for p in module.parameters()]
    return {"attention": module.config._attn_implementation, "layers": layers, "weights": counts}


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_three_threads_get_what_one_gets(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    alone = tiny.fresh(tiny_folder(kind))
    expected = [[ask() for ask in questions(alone, which)] for which in range(THREADS)]
    assert len(expected[0]) == QUESTIONS
    model = tiny.fresh(tiny_folder(kind))  # nothing was tried on it yet
    before = shape_of(model.module)

    def all_of(which: int) -> list[Any]:
        return [ask() for ask in questions(model, which)]

    assert together(*(lambda which=which: all_of(which) for which in range(THREADS))) == expected  # type: ignore[misc]
    assert shape_of(model.module) == before


@pytest.mark.parametrize("name", ["lora", "soft", "prefix"])
def test_threads_may_ask_an_adapted_model(name: str, tiny_folder: Callable[[str], Path]) -> None:
    def adapted() -> Model:
        model, drawer = tiny.fresh(tiny_folder("decoder-chat")), method(name)
        module = drawer.apply(model, drawer.settings(), 0)
        tiny.scramble(module, scale=0.02)
        return drawer.answering(model, module.eval())

    expected = [[ask() for ask in questions(adapted(), which)] for which in range(THREADS)]
    model = adapted()
    found = together(*(lambda which=which: [ask() for ask in questions(model, which)] for which in range(THREADS)))  # type: ignore[misc]
    assert found == expected


def test_each_token_may_be_taken_by_another_thread(tiny_folder: Callable[[str], Path]) -> None:
    """As servers do, which hand a stream from worker to worker."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    requests = [Request(str(n), prompt.prompt_ids, 5) for n, prompt in enumerate(tiny.train_prompts(model, 9))]
    expected, answer, found = list(generate(model, requests)), generate(model, requests), list[Any]()
    for _ in expected:
        with ThreadPoolExecutor(1) as worker:
            found.append(worker.submit(next, answer).result())
    assert found == expected


# ------------------------------------------------------------------------------------------------- after errors


class Broken(Exception):
    pass


def closed_early(model: Model, requests: list[Request]) -> None:
    answer = generate(model, requests)
    next(answer)
    answer.close()  # type: ignore[attr-defined]


def interrupted_by_the_reader(model: Model, requests: list[Request]) -> None:
    with pytest.raises(KeyboardInterrupt):
        for _ in generate(model, requests):
            raise KeyboardInterrupt


def broken_inside(model: Model, requests: list[Request]) -> None:
    """A layer raises in the middle of a pass, when the prompt was read already."""
    answer = generate(model, requests)
    next(answer)

    def stop(*_: Any) -> None:
        raise Broken

    last = [layer for layer in model.module.modules() if isinstance(layer, (nn.LayerNorm, nn.Embedding))][-1]
    hook = last.register_forward_hook(stop)
    try:
        with pytest.raises(Broken):
            list(answer)
    finally:
        hook.remove()


def too_long(model: Model, requests: list[Request]) -> None:
    with pytest.raises(ModelError):
        list(generate(model, [*requests, Request("long", tuple(range(5, 10)) * 200, 4)]))


def left_unfinished(model: Model, requests: list[Request]) -> Iterator[Any]:
    answer = generate(model, requests)
    next(answer)
    return answer


ERRORS = [closed_early, interrupted_by_the_reader, broken_inside, too_long, left_unfinished]


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_whatever_happens_the_model_stays_as_it_was(kind: str, rows: int, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    requests = [Request(str(n), prompt.prompt_ids, 5) for n, prompt in enumerate(tiny.train_prompts(model, rows))]
    expected = fold(generate(tiny.fresh(tiny_folder(kind)), requests), model.tokenizer)
    before = shape_of(model.module)
    unfinished = []
    for error in ERRORS:
        unfinished.append(error(model, requests))  # held: nobody finishes it, and nobody throws it away
        assert shape_of(model.module) == before, error.__name__
        assert fold(generate(model, requests), model.tokenizer) == expected, error.__name__
    (answer,) = filter(None, unfinished)
    assert len(list(answer)) == len([token for one in expected for token in one.tokens]) - 1  # and it may be finished


def test_an_unfinished_answer_holds_nothing_of_the_model(tiny_folder: Callable[[str], Path]) -> None:
    """Weights that change behind an answer that nobody finishes are the next answer's weights."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    requests = [Request(str(n), prompt.prompt_ids, 5) for n, prompt in enumerate(tiny.train_prompts(model, 9))]
    unfinished = left_unfinished(model, requests)
    tiny.scramble(model.module, seed=3)
    changed = fold(generate(model, requests), model.tokenizer)
    del unfinished
    gc.collect()
    assert fold(generate(model, requests), model.tokenizer) == changed


# --------------------------------------------------------------------------------------------- beside a training


def losses(folder: Path, place: Path) -> list[Any]:
    """The losses of a training with dropout, whose random numbers are its own."""
    model, drawer = tiny.fresh(folder), method("lora")
    module = drawer.apply(model, drawer.settings(rank=4, dropout=0.1), 0)
    settings = Training(batch_size=4, evaluations=1)
    prompts = tiny.train_prompts(model, 12)
    batches = Batches(prompts, batch_size=4, micro_tokens=300, epochs=4, seed=0)
    noted: list[float] = []

    def step(prompts: list[Prompt]) -> tuple[torch.Tensor, int, int]:
        batch = collate(prompts, module, model.family)
        loss, count = supervised_loss(module, batch)
        noted.append(float(loss.detach()))
        return loss, count, batch.tokens

    train(module, step, batches, settings, place)
    return noted


@pytest.mark.parametrize("kind", ["decoder-chat", "bart"])
def test_a_model_trains_while_another_answers(kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    asked = tiny.fresh(tiny_folder("decoder-chat"))
    expected = [ask() for ask in questions(asked, 0)]
    alone = losses(tiny_folder(kind), tmp_path / "alone")
    beside, *answers = together(
        lambda: losses(tiny_folder(kind), tmp_path / "beside"),
        *(lambda: [ask() for ask in questions(asked, 0)] for _ in range(2)),
    )
    assert beside == alone and len(alone) >= 12
    assert answers == [expected, expected]
