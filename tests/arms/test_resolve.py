"""Arms with every default filled in: defaults of a study, of a method, of an encoder."""

from __future__ import annotations

import math

import pytest

from luthier.adapt.methods import METHODS
from luthier.arms.resolve import TrainedArm, resolve, resolve_trained, with_defaults
from luthier.arms.short_form import parse, setting_tables
from luthier.arms.spec import ArmSpec
from luthier.arms.usual import with_baselines
from luthier.errors import SettingsError
from luthier.settings import assignments
from luthier.task.task import load_task


def test_defaults_reach_every_arm_that_has_the_setting_and_says_nothing_itself() -> None:
    task = load_task("dialogues")
    named = {name: parse(name) for name in ("lora+epochs=3", "soft", "full", "few-shot-2")}
    arms = with_defaults(with_baselines(named, task), assignments("epochs=1, rank=4, max_new_tokens=40", "defaults"))
    found = {name: resolve(name, arm, task) for name, arm in arms.items()}
    assert {name: arm.training.epochs for name, arm in found.items() if isinstance(arm, TrainedArm)} == {
        "lora+epochs=3": 3, "soft": 1, "full": 1,
    }  # fmt: skip
    assert found["lora+epochs=3"].settings.rank == 4 and not hasattr(found["soft"].settings, "rank")
    limits = {name: arm.generation.max_new_tokens for name, arm in found.items()}
    assert limits.pop("copy-3") is None and set(limits.values()) == {40}  # what asks no model generates nothing
    assert "epochs" not in found["soft"].tunable


def test_defaults_reach_the_further_pretraining_that_an_arm_begins_with() -> None:
    """Else it is another one than that of an arm `domain`, and is done twice."""
    task = load_task("dialogues")
    named = {name: parse(name) for name in ("domain", "lora+domain=task", "lora+domain=task+domain.epochs=2", "lora")}
    arms = with_defaults(named, assignments("epochs=1, row=64, rank=4", "defaults"))
    alone, begun, own, plain = (resolve(name, arm, task) for name, arm in arms.items())
    assert isinstance(begun, TrainedArm) and begun.domain and isinstance(own, TrainedArm) and own.domain
    assert isinstance(alone, TrainedArm) and isinstance(plain, TrainedArm) and plain.domain is None
    assert begun.domain.training == alone.training and begun.domain.settings == alone.settings
    assert (alone.training.epochs, alone.settings.row, own.domain.training.epochs) == (1, 64, 2)
    with pytest.raises(SettingsError, match="'row' is no setting of any arm here"):
        with_defaults({"lora": parse("lora")}, {"row": 64})


def test_only_an_arm_that_trains_has_training_and_weights() -> None:
    task = load_task("dialogues")
    found = {
        name: resolve(name, parse(name), task) for name in ("copy-3", "zero-shot", "zero-shot@int8", "lora", "full")
    }
    assert [name for name, arm in found.items() if isinstance(arm, TrainedArm)] == ["lora", "full"]
    assert {name: arm.weights for name, arm in found.items()} == {
        "copy-3": None, "zero-shot": None, "zero-shot@int8": "quantized", "lora": "adapter", "full": "weights",
    }  # fmt: skip
    with pytest.raises(SettingsError, match="arm 'x': zero-shot trains nothing; choose a method that does"):
        resolve_trained("x", parse("zero-shot"), task)


HARMLESS = {  # only compared with something, or a count of what is there
    "clip_norm", "checkpoint_seconds", "lines", "layers", "neighbours",
}  # fmt: skip
EXTREMES = (math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, 0, -1, 10**30, 10**9)
SETTINGS = [(name, key) for name, row in METHODS.items() if not row.labels for key in setting_tables(name)]


@pytest.mark.parametrize("name, key", SETTINGS, ids=[f"{name}-{key}" for name, key in SETTINGS])
def test_an_extreme_setting_is_refused_in_one_sentence_or_is_a_number_that_can_be_used(name: str, key: str) -> None:
    task, table = load_task("dialogues"), setting_tables(name)[key]
    for value in EXTREMES:
        spec = ArmSpec(method=name, **{table: {key: value}})
        try:
            arm = resolve("x", spec, task)
        except SettingsError as refused:
            assert str(refused).startswith("arm 'x': ") and "\n" not in str(refused)
            continue
        found = getattr(getattr(arm, table), key)
        assert isinstance(found, bool | str) or abs(found) <= (1e300 if key in HARMLESS else 2**31), (key, value)
