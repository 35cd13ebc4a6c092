"""Parameters and trainable parameters, exactly: published figures, and every method on every tiny family."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peft.utils import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from transformers import AutoConfig

from luthier.adapt.methods import METHODS
from luthier.adapt.settings import FORMS, BottleneckSettings
from luthier.arms.short_form import parse
from luthier.errors import SettingsError
from luthier.model.model import parameter_counts
from luthier.planning.config import Config
from luthier.planning.moving import IA3_PLACES, NOTHING, Moving, moving
from luthier.planning.read import shape_from, shape_of
from luthier.planning.readers import ENCODERS
from luthier.planning.shape import Shape
from luthier.settings import settings_from
from tests import tiny
from tests.planning.test_read import CONFIGS
from tests.promises import CASES, applied, settings_of

T5_BASE, LLAMA = "flan-t5-base", "llama-3.2-3b"
# (model, arm, trainable parameters): by hand, from published figures, and from peft's own counts.
FIGURES = [
    (T5_BASE, "lora-r32+targets=q,v", 3_538_944),
    (LLAMA, "lora-r32+targets=q_proj,v_proj", 9_175_040),
    (LLAMA, "dora-r32+targets=q_proj,v_proj", 9_289_728),
    (LLAMA, "ia3", 286_720),
    (LLAMA, "select+parts=norms", 175_104),
    (LLAMA, "soft-200", 614_400),
    (LLAMA, "prefix-200", 11_468_800),
    (LLAMA, "p-tuning-20", 28_382_208),
    (LLAMA, "full", 3_212_749_824),
    ("smollm2-135m", "lora-r16", 4_884_480),
]


def moves_of(model: str, arm: str) -> Any:
    spec = parse(arm)
    shape = shape_of(model)
    return shape, moving(shape, spec.method, settings_from(FORMS[spec.method].settings, spec.settings, arm))


def by_layer(moves: Moving, shape: Shape) -> dict[str, int]:
    """Path -> trainable parameters, for every module that has some."""
    rows = {layer.path: own for layer in shape.layers if (own := moves.own_of(layer))}
    for one in moves.additions:
        if one.trainable:
            rows[one.path] = rows.get(one.path, 0) + one.trainable
    return rows


@pytest.mark.parametrize("model, arm, trainable", FIGURES)
def test_published_counts(model: str, arm: str, trainable: int) -> None:
    shape, moves = moves_of(model, arm)
    assert moves.trainable(shape) == trainable == sum(by_layer(moves, shape).values())


def test_a_published_share_of_flan_t5() -> None:
    shape, moves = moves_of(T5_BASE, "lora-r32+targets=q,v")
    assert (moves.trainable(shape), moves.parameters(shape)) == (3_538_944, 251_116_800)
    assert len(moves.additions) == 72 and {one.inner for one in moves.additions} == {32}


def test_a_method_that_trains_nothing_moves_nothing() -> None:
    shape = shape_of(LLAMA)
    assert all(moving(shape, name, None) is NOTHING for name, row in METHODS.items() if not row.trains)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name, kind", CASES)
def test_every_method_on_every_family_counts_what_training_makes(
    name: str, kind: str, precision: str, tiny_folder: Callable[[str], Path]
) -> None:
    folder = tiny_folder(kind)
    model, module = applied(folder, name, precision)
    shape = shape_of(str(folder), labels=len(tiny.LABELS))
    moves = moving(shape, name, settings_of(name), len(set(model.tokenizer.all_special_ids)))
    assert (moves.trainable(shape), moves.parameters(shape)) == parameter_counts(module)


@pytest.mark.parametrize(
    "arm",
    [
        "p-tuning-5+network=lstm+hidden=8", "prefix-5+hidden=8", "select-last-1", "select+parts=norms",
        "select+parts=lm_head", "select+parts=embed_tokens,q_proj", "bottleneck+place=feed-forward",
        "lora-r4+targets=q_proj,down_proj", "lora-r4+targets=lm_head", "ia3+outputs=q_proj+inputs=down_proj",
        "tokens", "qlora-r4@int8", "qlora-r4@int4",
    ],
)  # fmt: skip
def test_other_settings_too(arm: str, tiny_folder: Callable[[str], Path]) -> None:
    folder, spec = tiny_folder("decoder-chat"), parse(arm)
    settings = settings_from(FORMS[spec.method].settings, spec.settings, arm)
    model = tiny.fresh(folder)
    module = METHODS[spec.method].apply(model, settings, 0)  # type: ignore[attr-defined]
    shape = shape_of(str(folder))
    moves = moving(shape, spec.method, settings, len(set(model.tokenizer.all_special_ids)))
    assert (moves.trainable(shape), moves.parameters(shape)) == parameter_counts(module)


@pytest.mark.parametrize("name, kind", [(n, k) for n, k in CASES if n in ("lora", "full", "bitfit", "ia3", "select")])
def test_counts_by_module(name: str, kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """Not only the sum: each module of the base has the parameters beside it that the plan says."""
    folder = tiny_folder(kind)
    _, module = applied(folder, name)
    shape = shape_of(str(folder), labels=len(tiny.LABELS))
    found: dict[str, int] = {}
    for path, parameter in module.named_parameters():
        if parameter.requires_grad:
            plain = path.removeprefix("base_model.model.").rpartition(".")[0]
            plain = re.sub(r"\.(lora_[AB]|base_layer|modules_to_save)(\.default)?|\.ia3_l$", "", plain)
            found[plain] = found.get(plain, 0) + parameter.numel()
    assert by_layer(moving(shape, name, settings_of(name)), shape) == found


@pytest.mark.parametrize("kind, keys", {kind: keys for kind, keys in CONFIGS if kind not in ENCODERS}.items())
def test_a_bottleneck_stands_behind_every_sub_layer(kind: str, keys: dict[str, Any]) -> None:
    shape = shape_from(Config(kind, AutoConfig.for_model(kind, **keys).to_dict()))
    for place, attends in (("both", 1), ("feed-forward", 0)):
        settings = BottleneckSettings(place=place)  # type: ignore[arg-type]
        expected = sum(attends * len(block.attentions) + 1 for block in shape.blocks)
        assert len(moving(shape, "bottleneck", settings).additions) == expected


def test_the_places_of_ia3_are_peft_s() -> None:
    for kind, (outputs, inputs) in IA3_PLACES.items():
        every = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING[kind]
        theirs = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[kind]
        assert list(inputs) == theirs and list(outputs) == [name for name in every if name not in theirs]


@pytest.mark.parametrize(
    "model, arm, says",
    [
        (LLAMA, "lora+targets=nowhere", "lora: no linear layer is called 'nowhere'; name some of down_proj, gate_proj"),
        (LLAMA, "bitfit", "this model has no biases; choose select-last-2, or lora"),
        (LLAMA, "select-last-30", "has 28 blocks, so the last 30 cannot move; name fewer"),
        ("mistral-7b-v0.1", "prefix-5", "not all of its layers keep plain keys and values"),
        (T5_BASE, "tokens+tokens=a", "flan-t5-base has an output matrix of its own"),
        (LLAMA, "select+parts=nowhere", "no module with parameters is called 'nowhere'"),
        (
            "bert-base-uncased",
            "bottleneck+place=feed-forward",
            "the sub-layers of bert-base-uncased are not known",
        ),
    ],
)
def test_what_a_model_lacks_is_said_in_a_sentence(model: str, arm: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        moves_of(model, arm)
