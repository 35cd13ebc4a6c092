"""What a bound on answers enforces, against the plan: methods, families, widths, precisions, rows, lengths."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier.adapt.methods import method
from luthier.decoding.answers import asking
from luthier.decoding.ragged import supported
from luthier.decoding.settings import Generation
from luthier.errors import SettingsError
from luthier.model import prepacked
from luthier.model.prepacked import PrepackedLinear, bytes_to_lay_out
from luthier.model.widths import quantize
from luthier.planning.lengths import Lengths
from luthier.planning.moving import NOTHING, moving
from luthier.planning.read import shape_of
from luthier.planning.terms import Setting, Term, answering_terms, rows_at_once
from luthier.records import Prompt
from luthier.task.prompt import shared_length
from luthier.training.memory import Bound
from tests import tiny
from tests.promises import CASES, applied, settings_of

WRITERS = ("decoder-chat", "gpt2", "t5-untied", "bart")
FAST = {("lora", "decoder-chat"), ("prefix", "decoder-chat"), ("qlora", "decoder-chat"), ("lora", "t5-untied")}
METHODS = [
    pytest.param(name, kind, marks=[] if (name, kind) in FAST else [pytest.mark.slow])
    for name, kind in CASES
    if kind in WRITERS
]
WIDTHS = [
    pytest.param(width, kind, marks=[] if kind == "decoder-chat" else [pytest.mark.slow])
    for width in (None, "bf16", "int8", "int4")
    for kind in WRITERS
]


def total(terms: list[Term]) -> float:
    return sum(term.bytes for term in terms)


def hold(model: Any, base: Any, shape: Any, moves: Any, setting: Setting, seed: int) -> None:
    """One arm under several bounds: the same is refused, as many rows are together, no peak is above the bound."""
    rng = random.Random(seed)
    beside = None if base is model else base.module
    bytes_held = {term.name: term.bytes for term in answering_terms(shape, moves, setting, Lengths((), (), (9,), 4))}
    fixed = sum(bytes_held.get(name, 0) for name in ("program", "base model beside", "weights"))
    # A learned prompt is a tensor beside the module, and no parameter of it; all else is equal to the byte.
    learned = sum(4 * one.trainable for one in moves.additions if one.kind in ("prompt", "prefix"))
    assert fixed - learned - 1 <= Bound(1.0, beside).fixed(model.module) <= fixed + 1
    for rows, length, answer in ((1, 40, 5), (11, 30, 20), (70, 12, 3), (30, 90, 40)):
        begin = rng.randrange(1, length - 2)
        ids = [[5] * begin + [6 + row % 20] * (length - begin) for row in range(rows)]
        prompts = [Prompt(f"{row:02d}", "", tuple(one)) for row, one in enumerate(ids)]
        lengths = Lengths((), (), tuple(map(len, ids)), answer, shared_length(ids))
        loose = total(answering_terms(shape, moves, setting, lengths))
        for share in (-0.1, 0.2, 0.5, 0.8, 1.1):
            allowed = fixed + share * (loose - fixed)
            under = Setting(**{**vars(setting), "bound": allowed})
            try:
                said: Any = rows_at_once(shape, moves, under, lengths)[0]
                assert total(answering_terms(shape, moves, under, lengths)) <= allowed
            except SettingsError as problem:
                said = str(problem)
            try:
                limited = Bound(allowed + Bound(1.0, beside).fixed(model.module) - fixed, beside)
                several = Generation(beams=setting.sequences)
                batches = asking(model, prompts, "generation", limit=answer, generation=several, bound=limited).batches
                enforced: Any = max(map(len, batches)) * setting.sequences
            except SettingsError as problem:
                enforced = str(problem)
            if isinstance(said, str) and learned:  # the sentences name another bound
                assert isinstance(enforced, str)
            else:
                assert enforced == said, (rows, length, share)


@pytest.mark.parametrize("name, kind", METHODS)
def test_a_bound_on_answers_enforces_what_the_plan_says(
    name: str, kind: str, tmp_path: Path, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, of = tiny_folder(kind), method(name)
    shape = shape_of(str(folder))
    for precision in ("fp32", "bf16"):
        skip_without_packed(precision)
        model, module = applied(folder, name, precision)
        of.save(module, tmp_path / precision)  # type: ignore[attr-defined]
        moves = moving(shape, name, settings_of(name), len(set(model.tokenizer.all_special_ids)))
        base = tiny.fresh(folder, precision)
        answers = of.load(tiny.fresh(folder, precision), tmp_path / precision)  # type: ignore[attr-defined]
        setting = Setting(precision, in_one=supported(answers))
        assert bytes_to_lay_out(answers.module) == laid_out(shape, moves, setting)
        hold(answers, base, shape, moves, setting, seed=len(name))


def skip_without_packed(precision: str | None) -> None:
    """Plans count laid-out weights in bf16 on every processor."""
    if precision == "bf16" and not prepacked._onednn_works():
        pytest.skip("weights in bf16 are not laid out on this processor")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("width, kind", WIDTHS)
def test_so_it_is_for_prompting_at_every_width(
    width: str | None, kind: str, precision: str, tiny_folder: Callable[[str], Path]
) -> None:
    skip_without_packed(precision)
    skip_without_packed(width)
    folder = tiny_folder(kind)
    shape, base = shape_of(str(folder)), tiny.fresh(folder, precision)
    answers = quantize(tiny.fresh(folder, precision), width) if width else base
    setting = Setting(precision, width=width, in_one=supported(answers))
    assert bytes_to_lay_out(answers.module) == laid_out(shape, NOTHING, setting)
    if precision == "fp32":  # in bf16 a bound also keeps free what an arm that was trained before may have left
        hold(answers, base, shape, NOTHING, setting, seed=3)


def laid_out(shape: Any, moves: Any, setting: Setting) -> float:
    """Bytes of laid-out weights that a plan names for sixteen short answers."""
    terms = answering_terms(shape, moves, setting, Lengths((), (), (9,) * 16, 4))
    return next((term.bytes for term in terms if term.name == "laid-out weights"), 0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_that_take_too_much_of_the_machine_are_not_laid_out(
    precision: str, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_packed(precision)
    folder = tiny_folder("decoder-chat")
    model, shape = tiny.fresh(folder, precision), shape_of(str(folder))
    linear = [layer.weight for layer in model.module.modules() if isinstance(layer, PrepackedLinear)]
    weights = sum(weight.nbytes for weight in linear)
    for machine, fits in ((8 * weights, True), (8 * weights - 1, False)):
        monkeypatch.setattr(prepacked, "memory_bytes", lambda size=machine: size)
        assert bool(bytes_to_lay_out(model.module)) == fits
        assert bool(laid_out(shape, NOTHING, Setting(precision, machine=machine))) == fits


@pytest.mark.parametrize("kind", ["decoder-chat", "t5-tied"])
def test_so_it_is_where_several_sequences_are_written_for_an_answer(
    kind: str, tiny_folder: Callable[[str], Path]
) -> None:
    folder = tiny_folder(kind)
    shape, base = shape_of(str(folder)), tiny.fresh(folder)
    for sequences in (2, 7, 48):
        hold(base, base, shape, NOTHING, Setting("fp32", in_one=supported(base), sequences=sequences), seed=sequences)
