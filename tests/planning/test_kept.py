"""What a forward pass keeps, against the saved tensors of a real one; and what a bound enforces, against the plan."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.adapt.methods import METHODS, method
from luthier.errors import SettingsError
from luthier.model.forward import collate, supervised_loss
from luthier.model.sizes import MOST_KEYS
from luthier.planning import budget
from luthier.planning.kept import kept
from luthier.planning.lengths import Lengths, rows_of
from luthier.planning.moving import NOTHING, moving
from luthier.planning.passes import Pass, Rows, luthier_pass
from luthier.planning.read import shape_of
from luthier.planning.terms import (
    Setting,
    answering_terms,
    fixed_training,
    kept_of,
    micro_batch,
    training_terms,
)
from luthier.planning.words import WHY
from luthier.records import Prompt
from luthier.training.memory import Bound, micro_tokens
from tests import tiny
from tests.promises import CASES, applied, settings_of

FAMILIES = {"decoder-chat": 0.03, "gpt2": 0.08, "t5-untied": 0.16, "bart": 0.08, "bert": 0.08}
ORACLE = [(name, kind) for name, kind in CASES if kind in FAMILIES and name not in ("head", "tokens", "p-tuning")]
BOUNDED = [(name, "fp32") for name in ("full", "lora", "select", "ia3", "bottleneck", "soft", "prefix", "dora")]
BOUNDED += [("full", "bf16"), ("select", "bf16"), ("lora", "bf16")]  # own weights have masters there; what is added not


class Saved:
    """A saved tensor; as long as the graph holds it, its storage counts."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def saved_bytes(module: Any, forward: Callable[[], Any]) -> int:
    """Bytes of the storages that the graph holds when the forward pass has ended, weights apart."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    held: weakref.WeakSet[Saved] = weakref.WeakSet()

    def pack(tensor: torch.Tensor) -> Saved:
        one = Saved(tensor.detach())
        held.add(one)
        return one

    module.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.tensor):
        alive = forward()
    storages = {one.tensor.untyped_storage().data_ptr(): one.tensor.untyped_storage().nbytes() for one in list(held)}
    del alive
    return sum(size for pointer, size in storages.items() if pointer not in weights)


def prompts_of(family: str, count: int, tokens: int, target: int) -> list[Prompt]:
    if family == "encoder":
        return [Prompt(f"{i}", "", (5 + i, *[7] * (tokens - 1)), label=0) for i in range(count)]
    return [Prompt(f"{i}", "", (5 + i, *[7] * (tokens - target - 1)), (9,) * target) for i in range(count)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "name, kind, tokens", [(*row, 120) for row in ORACLE] + [("full", "decoder-chat", MOST_KEYS + 28)]
)
def test_kept_bytes_are_those_of_a_real_pass(
    name: str, kind: str, tokens: int, precision: str, tiny_folder: Callable[[str], Path]
) -> None:
    """Ends weigh more in two blocks of width 32 than in any real model, so the bound is wide there."""
    model, module = applied(tiny_folder(kind), name, precision)
    shape = shape_of(str(tiny_folder(kind)), labels=len(tiny.LABELS))
    moves = moving(shape, name, settings_of(name))
    prompts = prompts_of(model.family, 3, tokens, 20)
    batch = collate(prompts, module, model.family)
    real = saved_bytes(module, lambda: supervised_loss(module, batch)[0])
    pairs = [(len(p.prompt_ids), len(p.target_ids or ())) for p in prompts]
    how = luthier_pass(shape, moves, precision, "cpu")
    if name == "qlora" and batch.layout is None:  # a rounded base may fail the trial of one sequence (model/shared.py)
        how = replace(how, attention="kernel")
    assert (how.attention == "blocks") == (batch.layout is not None)
    shared = batch.layout.shared if batch.layout else 0
    planned = sum(kept(shape, moves, rows_of(shape, pairs, shared), how).values())
    assert planned == pytest.approx(real, rel=FAMILIES[kind] + (0.06 if precision == "bf16" else 0))


def test_nothing_is_kept_where_nothing_trains_and_below_what_trains() -> None:
    shape, rows, how = shape_of("smollm2-135m"), Rows(2, 100, 10), Pass()
    assert not kept(shape, NOTHING, rows, how)

    class Settings:
        parts, layers = "last", 2

    last = kept(shape, moving(shape, "select", Settings), rows, how)
    whole = kept(shape, moving(shape, "full", None), rows, how)
    assert last["inner activations"] == whole["inner activations"] * 2 // 30


def test_recomputation_keeps_inputs_alone() -> None:
    shape, rows = shape_of("llama-3.2-3b"), Rows(1, 1000, 1000)
    moves = moving(shape, "full", None)
    again = kept(shape, moves, rows, Pass(number=2, recompute="blocks"))
    assert again["inputs of the blocks that are computed again"] == 28 * 1000 * 3072 * 2
    plain = kept(shape, moves, rows, Pass(number=2))
    assert sum(again.values()) < 0.3 * sum(plain.values())
    half = kept(shape, moves, rows, Pass(number=2, recompute="every second block"))
    assert sum(again.values()) < sum(half.values()) < sum(plain.values())


@pytest.mark.parametrize("name", ["full", "select", "bitfit", "lora", "dora", "ia3", "bottleneck", "soft", "prefix"])
@pytest.mark.parametrize("model", ["smollm2-135m", "gpt2", "t5-small", "bart-large", "bert-base-uncased"])
def test_blocks_that_are_alike_keep_the_same(name: str, model: str) -> None:
    """They are walked once. Here each is walked, because none is said to be like another."""
    shape, each = shape_of(model), shape_of(model)
    each.__dict__["like"] = {block.path: block.path for block in each.blocks}  # what the cached property would hold
    assert len(set(shape.like.values())) < len(shape.blocks)
    try:
        moves = moving(shape, name, settings_of(name))
    except SettingsError:  # biases that a model has not, layers that are not known
        pytest.skip(f"{name} does not go with {model}")
    for recompute in (False, True):
        how = luthier_pass(shape, moves, "bf16", "cpu", recompute)
        rows = rows_of(shape, [(90, 12), (40, 30)])
        assert kept(shape, moves, rows, how) == kept(each, moves, rows, how)


def test_blocks_of_other_windows_and_sizes_are_not_alike() -> None:
    shape = shape_of("smollm2-135m")
    first, *others = shape.blocks
    wider = replace(others[3], inner=others[3].inner + 1)
    window = replace(others[5], attentions=(replace(others[5].attentions[0], window=64),))
    mixed = replace(shape, blocks=(first, *others[:3], wider, others[4], window, *others[6:]))
    assert {mixed.like[one.path] for one in mixed.blocks} == {first.path, wider.path, window.path}


# --------------------------------------------------------------------------------- what is enforced is what is said


@pytest.mark.parametrize("name, precision", BOUNDED)
@pytest.mark.parametrize("kind", ["decoder-chat", "gpt2", "t5-untied", "bart"])
def test_a_bound_enforces_what_the_plan_says(
    name: str, precision: str, kind: str, tiny_folder: Callable[[str], Path]
) -> None:
    """Tight and roomy bounds, and one that cannot be kept: training chooses what the configuration alone says."""
    model, module = applied(tiny_folder(kind), name, precision)
    base = tiny.fresh(tiny_folder(kind), precision)
    shape = shape_of(str(tiny_folder(kind)))
    moves = moving(shape, name, settings_of(name))
    prompts = prompts_of(model.family, 4, 150, 20) + prompts_of(model.family, 2, 60, 10)
    pairs = tuple((len(p.prompt_ids), len(p.target_ids or ())) for p in prompts)
    lengths = Lengths(pairs, (), (), 20)
    setting = Setting(precision)
    fixed = sum(term.bytes for term in fixed_training(shape, moves, setting))
    bound = Bound(1.0, base.module).while_training(model.module)
    # Buffers are no parameters; all else is equal to the byte.
    assert bound.fixed(module) == pytest.approx(fixed, abs=1)
    planned = kept_of(shape, moves, setting)
    one = budget.BACKWARD_FACTOR * planned([lengths.longest], False)

    for more in (0.05, 0.75, 1.5, 3.0, 9.0):
        allowed = fixed + more * one
        limited = Bound(allowed, base.module).while_training(model.module)
        said = enforced = None
        try:
            said = micro_batch(shape, moves, Setting(precision, bound=allowed), lengths)
        except SettingsError as problem:
            said = str(problem)
        try:
            enforced = micro_tokens(module, lambda rows: None, prompts, limited, planned)  # type: ignore[arg-type, return-value]
        except SettingsError as problem:
            enforced = str(problem)
        assert enforced == (said if isinstance(said, str) else said.tokens)
        recomputes = any(getattr(layer, "gradient_checkpointing", False) for layer in module.modules())
        assert recomputes == (not isinstance(said, str) and said.recomputes) or isinstance(said, str)
        if recomputes:
            _, module = applied(tiny_folder(kind), name, precision)
            bound = bound.while_training()
            break  # a fresh module has another base beside it


LONG_AND_SHORT = [(200, 4), (180, 9), (40, 38), (30, 30), (12, 30), (10, 30), (9, 30), (8, 30), (170, 1), (60, 2)]


@pytest.mark.parametrize("name", ["lora", "lora-plus", "full", "select", "prefix", "soft"])
@pytest.mark.parametrize("kind", ["decoder-chat", "gpt2", "t5-untied"])
def test_no_micro_batch_goes_beyond_the_bound(name: str, kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """Whatever its rows: long prompts with short targets, and many short prompts, which keep more for each token."""
    shape = shape_of(str(tiny_folder(kind)))
    moves = moving(shape, name, settings_of(name))
    lengths = Lengths(tuple(LONG_AND_SHORT), (), (), 40)
    plain = Setting("fp32", batch_size=4)
    fixed = sum(term.bytes for term in fixed_training(shape, moves, plain))
    peaks = []
    for more in (0.3, 0.5, 0.7, 0.9, 1.0):
        without = sum(term.bytes for term in training_terms(shape, moves, plain, lengths))
        setting = replace(plain, bound=fixed + more * (without - fixed))
        try:
            peaks.append(sum(term.bytes for term in training_terms(shape, moves, setting, lengths)) / setting.bound)
        except SettingsError:
            continue
    assert peaks and max(peaks) <= 1 and peaks[-1] == 1


def test_sampled_batches_are_neighbours_in_length() -> None:
    sampled = budget.sample_batches(LONG_AND_SHORT, 4)
    assert [sum(batch[0]) for batch in sampled] == [204, 171, 78, 62, 42]
    assert [len(batch) for batch in sampled] == [4] * 5
    assert budget.sample_batches(LONG_AND_SHORT, 100) == [tuple(sorted(LONG_AND_SHORT, key=sum, reverse=True))]
    assert len(budget.sample_batches([(9, 1)] * 50, 4)) == 1


# ---------------------------------------------------------------------------------------------------------- terms


@pytest.mark.parametrize("name", [name for name, row in METHODS.items() if row.asks_model and not row.labels])
def test_every_term_has_its_reason(name: str) -> None:
    shape, lengths = shape_of("smollm2-135m"), Lengths.alike(300, 40, 9)
    if name == "bitfit" or name == "head":
        shape = shape_of("bert-base-uncased")
    moves = moving(shape, name, settings_of(name) if method(name).trains else None, 3)
    terms = answering_terms(shape, moves, Setting("fp32", answers=shape.output is not None), lengths)
    if moves.trains:
        terms += training_terms(shape, moves, Setting("fp32"), lengths)
    assert {term.name for term in terms} <= set(WHY)
    assert all(term.bytes >= 0 for term in terms)
