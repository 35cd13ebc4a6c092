"""Every trained method keeps the same promises on every family: the table of methods x promises (tests/promises.py).

What moves is what was named, it starts where it claims to, and how a batch is cut, padded or resumed changes nothing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luthier.adapt.baselines import commonest, copied, nearest
from luthier.adapt.method import Baseline, Prompting, Tuning
from luthier.adapt.methods import METHODS, method
from luthier.adapt.settings import Copy, Nearest
from luthier.arms.short_form import parse
from luthier.errors import LuthierError, SettingsError
from luthier.model.forward import collate, supervised_loss
from luthier.model.model import Model, parameter_counts
from luthier.progress import Stopped
from luthier.records import Example
from luthier.training.batches import Batches
from luthier.training.loop import train
from luthier.training.settings import Training
from tests import tiny
from tests.promises import (
    CASES,
    CLAIMS,
    answers,
    applied,
    expected_count,
    first_of_a_kind,
    losses,
    moving,
    requests_of,
    settings_of,
)

TRAINED = [name for name, row in METHODS.items() if row.trains]
IN_BF16 = ("decoder-chat", "t5-tied", "bert")  # one of each family
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def kind_of(name: str) -> str:
    """One family that the method can adapt."""
    return next(kind for row, kind in CASES if row == name)


def trained(folder: Path, name: str, out: Path, precision: str = "fp32", **more: Any) -> tuple[Model, nn.Module]:
    """After a few large steps of the real loop."""
    model, module = applied(folder, name, precision)

    def step(prompts: Any) -> tuple[torch.Tensor, int, int]:
        batch = collate(prompts, module, model.family)
        loss, count = supervised_loss(module, batch)
        return loss, count, batch.tokens

    training = Training(learning_rate=0.05, batch_size=4, epochs=2.0)
    batches = Batches(tiny.train_prompts(model, 8), batch_size=4, micro_tokens=2000, epochs=2, seed=0)
    row = method(name)
    rates = row.rates(settings_of(name), module) if row.rates else None
    train(module, step, batches, training, out, rates=rates, **more)
    return model, module


def test_every_trained_method_has_a_row_of_claims() -> None:
    assert set(TRAINED) == set(CLAIMS)
    with pytest.raises(SettingsError, match="'adapters' is no method; the methods are: copy, majority, nearest, bare"):
        method("adapters")


def test_the_documented_defaults_are_those_of_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| ([\de.-]+) \|", page, flags=re.MULTILINE)
    rates = {name: row.training.learning_rate for name, row in METHODS.items() if row.trains}
    assert {name: float(rate) for name, _, rate in rows} == rates
    for name, forms, _ in rows:
        assert {parse(form).method for form in re.findall(r"`(.+?)`", forms)} == {name}


@pytest.mark.parametrize("name, kind", [(n, k) for n, claim in CLAIMS.items() for k in claim.refused])
def test_what_a_model_lacks_is_said_in_a_sentence(name: str, kind: str, tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(LuthierError, match=CLAIMS[name].refused[kind]):
        applied(tiny_folder(kind), name)


# --- what moves ---------------------------------------------------------------------------------------------------


BOTH_PRECISIONS = [(n, k, p) for n, k in CASES for p in DTYPES if p == "fp32" or k in IN_BF16]


@pytest.mark.parametrize("name, kind, precision", first_of_a_kind(BOTH_PRECISIONS))
def test_only_what_is_named_moves_and_it_moves_the_answers(
    name: str, kind: str, precision: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    before = tiny.fresh(tiny_folder(kind), precision)
    start = tiny.weights(applied(tiny_folder(kind), name, precision)[1])
    model, module = trained(tiny_folder(kind), name, tmp_path, precision)
    named = {n for n, p in module.named_parameters() if p.requires_grad}
    assert named == moving(name, kind, start) and named
    after = tiny.weights(module)
    assert {n for n in after if not torch.equal(after[n], start[n])} == named
    own = tiny.weights(before.module)  # the model's keep their precision; what a method adds is fp32
    assert all(after[n].dtype == (own[n].dtype if n in own else torch.float32) for n in named)
    asked = method(name).answering(model, module)
    assert answers(asked) != answers(before)
    assert asked.dtype == DTYPES[precision]


@pytest.mark.parametrize("name, kind", [case for case in CASES if CLAIMS[case[0]].identity])
def test_the_start_is_the_identity_where_it_is_claimed(
    name: str, kind: str, tiny_folder: Callable[[str], Path]
) -> None:
    base = tiny.fresh(tiny_folder(kind))
    plain = losses(base.module, base)
    model, module = applied(tiny_folder(kind), name)
    torch.testing.assert_close(losses(module.eval(), model), plain, rtol=1e-5, atol=1e-4)
    tiny.scramble(module)
    assert not torch.allclose(losses(module, model), plain, rtol=1e-3)


@pytest.mark.parametrize("name", TRAINED)
def test_the_start_is_the_seeds(name: str, tiny_folder: Callable[[str], Path]) -> None:
    folder = tiny_folder(kind_of(name))
    starts = [tiny.weights(method(name).apply(tiny.fresh(folder), settings_of(name), seed)) for seed in (0, 0, 1)]
    same = [all(torch.equal(w, other[n]) for n, w in starts[0].items()) for other in starts[1:]]
    # What starts from the model itself, or from ones, has no chance in it.
    assert same == [True, name in ("full", "domain", "select", "bitfit", "head", "tokens", "ia3", "pissa")]


@pytest.mark.parametrize("name", TRAINED)
def test_asking_in_the_middle_of_training_disturbs_nothing(name: str, tiny_folder: Callable[[str], Path]) -> None:
    for precision in ("fp32", "bf16"):
        model, module = applied(tiny_folder(kind_of(name)), name, precision)
        before = tiny.weights(module)
        may_move = [n for n, p in module.named_parameters() if p.requires_grad]
        answers(method(name).answering(model, module.eval()))
        module.train()
        assert [n for n, p in module.named_parameters() if p.requires_grad] == may_move
        after = tiny.weights(module)
        assert all(torch.equal(w, after[n]) and w.dtype == after[n].dtype for n, w in before.items())
        loss, _ = supervised_loss(module, collate(tiny.train_prompts(model, 2), module, model.family))
        loss.backward()


# --- what changes nothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, kind", CASES)
def test_the_gradient_is_the_same_for_any_split_of_a_batch(
    name: str, kind: str, tiny_folder: Callable[[str], Path]
) -> None:
    model, module = applied(tiny_folder(kind), name)
    tiny.scramble(module.eval(), scale=0.1)
    prompts, found = tiny.train_prompts(model, 6), []
    for cuts in ([6], [1, 5], [2, 2, 2]):
        module.zero_grad(set_to_none=True)
        total, rest = 0.0, list(prompts)
        for size in cuts:
            loss, _ = supervised_loss(module, collate(rest[:size], module, model.family))
            loss.backward()
            total, rest = total + float(loss.detach()), rest[size:]
        found.append((total, [p.grad.clone() for p in module.parameters() if p.grad is not None]))
    for total, gradients in found[1:]:
        assert total == pytest.approx(found[0][0], rel=1e-4)
        largest = max(float(g.abs().max()) for g in found[0][1])
        assert largest > 0
        for one, other in zip(found[0][1], gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.parametrize("name", TRAINED)
def test_a_run_that_was_stopped_ends_with_the_same_weights(
    name: str, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_folder(kind_of(name))
    whole = tiny.weights(trained(folder, name, tmp_path / "whole")[1])
    asked: list[None] = []

    def stop_once() -> None:
        asked.append(None)
        if len(asked) == 2:
            raise Stopped

    monkeypatch.setattr("luthier.training.loop.check_stop", stop_once)
    with pytest.raises(Stopped):
        trained(folder, name, tmp_path / "stopped")
    again = tiny.weights(trained(folder, name, tmp_path / "stopped")[1])
    assert len(asked) == 4  # two steps, a stop, and the two that were left
    assert all(torch.equal(w, again[n]) for n, w in whole.items())


@pytest.mark.parametrize("name, kind", first_of_a_kind(CASES))
def test_a_batch_changes_no_answer(name: str, kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model, module = applied(tiny_folder(kind), name)
    tiny.scramble(module.eval())
    asked = method(name).answering(model, module)
    requests = requests_of(asked, 6)
    lengths = [len(r.prompt_ids) for r in requests]
    assert max(lengths) > 3 * min(lengths)
    alone = {r.id: answers(asked, [r])[r.id] for r in requests}
    assert answers(asked, requests) == alone == answers(asked, requests[::-1])
    assert answers(asked, requests[2:4]) == {r.id: alone[r.id] for r in requests[2:4]}


# --- counts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, kind", CASES)
def test_counts_equal_the_formula(name: str, kind: str, tiny_folder: Callable[[str], Path]) -> None:
    base, claim = tiny.fresh(tiny_folder(kind)).module, CLAIMS[name]
    expected, every = expected_count(name, base, kind), parameter_counts(base)[1]
    assert expected > 0
    on_top = expected * (1 + claim.frozen) if claim.added else 0
    assert parameter_counts(applied(tiny_folder(kind), name)[1]) == (expected, every + on_top)


# --- prompting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lora", "prefix"])
@pytest.mark.parametrize("kind", ["decoder-chat", "bart"])
def test_no_name_that_transformers_retires_is_used(name: str, kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model, tuning = tiny.fresh(tiny_folder(kind)), method(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        module = tuning.apply(model, tuning.settings(), 0)
        supervised_loss(module, collate(tiny.train_prompts(model, 2), module, model.family))[0].backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)


def test_a_method_is_of_one_of_three_kinds() -> None:
    kinds = {
        kind: [name for name, row in METHODS.items() if type(row) is kind] for kind in (Baseline, Prompting, Tuning)
    }
    assert kinds[Baseline] == ["copy", "majority", "nearest"]
    assert kinds[Prompting] == ["bare", "zero-shot", "one-shot", "few-shot"]
    assert kinds[Tuning] == list(CLAIMS)
    assert [name for name, row in METHODS.items() if not row.asks_model] == kinds[Baseline]
    assert [name for name, row in METHODS.items() if row.trains] == kinds[Tuning]
    assert not any(row.adapts("encoder") for row in METHODS.values() if not row.trains)  # its head knows nothing yet


def test_the_baseline_copies_lines_that_say_something() -> None:
    example = Example("a", "one\n\n  \ntwo\nthree\nfour", ("x",))
    (answer,) = copied(Copy(lines=3), [], [example])
    assert (answer.text, answer.stop, answer.tokens) == ("one\ntwo\nthree", "given", ())
    assert copied(Copy(lines=9), [], [example])[0].text == "one\ntwo\nthree\nfour"


def test_the_baselines_of_labels() -> None:
    """The commonest label, ties by the alphabet; and the label of the row with the most of the same rare words."""
    rows = [("a b the", "sea"), ("c d the", "land"), ("c e the", "sea"), ("f the", "land")]
    train = [Example(str(i), text, (label,)) for i, (text, label) in enumerate(rows)]
    asked = [Example("x", "the c D!", ("?",)), Example("y", "q", ("?",))]
    assert [answer.text for answer in commonest(None, train, asked)] == ["land", "land"]  # type: ignore[arg-type]
    assert nearest(Nearest(), train, asked)[0].text == "land"
    assert nearest(Nearest(), train, train[:1])[0].text == "sea"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of texts each is a class of its own, and nobody is to read of that
        texts = [Example(str(i), f"word{i} the", (f"a text of {i}",)) for i in range(40)]
        assert nearest(Nearest(), texts, texts[:1])[0].text == "a text of 0"
    assert len(nearest(Nearest(neighbours=9), train, asked)) == 2  # more neighbours than rows


@pytest.mark.parametrize(
    "train, asked",
    [
        ({"👍👍🎉": "good", "👎💢": "bad"}, {"🎉": "good", "💢": "bad"}),
        ({"ราคาแพงมาก": "bad", "อร่อยดีมาก": "good"}, {"อร่อย": "good", "แพง": "bad"}),
        ({"बहुत अच्छा": "good", "बहुत बुरा": "bad"}, {"अच्छा": "good", "बुरा": "bad"}),
    ],
)
def test_the_nearest_row_is_found_in_any_script_and_among_signs(train: dict[str, str], asked: dict[str, str]) -> None:
    rows, others = ([Example(text, text, (label,)) for text, label in texts.items()] for texts in (train, asked))
    assert [answer.text for answer in nearest(Nearest(), rows, others)] == list(asked.values())
