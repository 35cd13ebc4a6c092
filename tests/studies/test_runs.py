"""A study says what it will train and how long that takes, and never counts a training twice."""

from __future__ import annotations

import pytest

from luthier.arms.resolve import resolve
from luthier.arms.short_form import parse
from luthier.results.cost import Cost
from luthier.studies.runs import runs, time_left, training_notes, trainings
from luthier.task.task import load_task


def arms(*names: str) -> list:
    task = load_task("dialogues")
    return [resolve(name, parse(name), task) for name in names]


def test_every_arm_comes_once_before_any_comes_again() -> None:
    names = [run.name for run in runs(arms("copy-3", "lora", "zero-shot", "full"), 3)]
    assert names[:4] == ["copy-3", "lora", "zero-shot", "full"]
    assert names[4:] == ["lora/seed-1", "full/seed-1", "lora/seed-2", "full/seed-2"]
    assert [run.arm.name for run in runs(arms("lora"), 3)] == ["lora", "lora/seed-1", "lora/seed-2"]


def test_the_effort_is_said_and_so_is_its_absence() -> None:
    assert training_notes(arms("zero-shot"), 1, 0) == []
    once, untuned = training_notes(arms("lora", "zero-shot"), 1, 0)
    assert "1 trained arm (lora) under one seed" in once and "0 trials" in untuned
    thrice, tuned = training_notes(arms("lora", "full"), 3, 8)
    assert "under 3 seeds: 6 trainings" in thrice
    assert "8 configurations in 3 rounds, about as long as 3 trainings more" in tuned
    assert "2 configurations in 1 round, about as long as 1 training more" in training_notes(arms("lora"), 1, 2)[1]


def test_an_arm_that_takes_the_weights_of_another_is_no_training_of_its_own() -> None:
    names = ("lora", "lora@int8", "lora+temperature=0.7", "lora+scale=0.5", "lora-r4", "full", "lora+max_new_tokens=9")
    assert [arm.name for arm in trainings(arms(*names))] == ["lora", "lora-r4", "full", "lora+max_new_tokens=9"]
    said = training_notes(arms(*names), 3, 0)
    assert "4 trained arms (lora, lora-r4, full, lora+max_new_tokens=9) under 3 seeds: 12 trainings" in said[0]
    assert said[-1].endswith("has the same training: lora@int8, lora+temperature=0.7, lora+scale=0.5.")
    parts_first = trainings(arms("lora+scale=0.5", "lora", "lora@int8"))  # a part of a change is not the whole of it
    assert [arm.name for arm in parts_first] == ["lora+scale=0.5", "lora"]


def test_the_time_left_goes_by_the_same_arm_and_tuning_is_not_repeated() -> None:
    lora, full, lora_1, full_1 = runs(arms("lora", "full"), 3)[:4]
    cost = Cost().spent("lora", train_seconds=60.0, dev_seconds=10.0, tune_seconds=100.0, new_tokens=999)
    assert time_left(cost, [], [lora]) is None
    assert time_left(cost, [lora], [lora_1]) == pytest.approx(70.0)
    assert time_left(cost, [lora], [full, lora_1, full_1]) == pytest.approx(170.0 + 70.0 + 70.0)
    cost = cost.spent("full", train_seconds=500.0)
    assert time_left(cost, [lora, full], [lora_1, full_1]) == pytest.approx(570.0)
    assert time_left(cost, [lora, full], []) == 0
