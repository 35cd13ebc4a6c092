"""The usual arms: all of them are understood, and none stands twice."""

from __future__ import annotations

import pytest

from luthier.arms.resolve import resolve
from luthier.arms.short_form import parse
from luthier.arms.usual import ALL, ALL_ARMS, DEFAULT, arm_specs, with_baselines
from luthier.errors import SettingsError
from luthier.task.task import load_task


def test_the_whole_list_of_arms_is_understood() -> None:
    task = load_task("dialogues")
    arms = with_baselines({name: parse(name) for name in ALL}, task)
    assert list(arms) == list(ALL)
    assert {resolve(name, spec, task).method.name for name, spec in arms.items()} >= {"soft", "full", "one-shot"}


def test_a_study_that_names_no_arm_has_the_usual_ones_and_all_is_all() -> None:
    task = load_task("dialogues")
    assert list(arm_specs(None, task, "smollm2-135m")) == list(DEFAULT)
    assert list(arm_specs([ALL_ARMS], task, "smollm2-135m")) == list(ALL)
    with pytest.raises(SettingsError, match="the arm 'lora' is named twice; name each arm once"):
        arm_specs(["lora", "bare", "lora"], task, "smollm2-135m")
