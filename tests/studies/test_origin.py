"""study.json is the same file in two runs: nothing in it hangs on the order of a set."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.arms.resolve import resolve
from luthier.arms.short_form import parse
from luthier.decoding import ragged
from luthier.model import shared
from luthier.model.model import load
from luthier.results.folder import StudyFolder
from luthier.studies.fit import StudyContext
from luthier.studies.origin import arm_table, study_origin
from luthier.task.task import load_task

NAMES = ("zero-shot:question", "bare", "zero-shot:brief", "zero-shot", "zero-shot:facts")


def test_templates_stand_in_the_order_of_the_arms(tmp_path: Path, tiny_folder) -> None:
    task, model = load_task("dialogues"), load(str(tiny_folder("decoder-plain")))
    context = StudyContext(task, task.train, task.dev, task.test, 0, model.name, "fp32", StudyFolder(tmp_path))
    arms = [resolve(name, parse(name), task) for name in NAMES]
    record = study_origin({}, "", context, {model.name: model}, arms, power=[], training_notes=[], health=[])
    assert list(record.task.templates) == ["question", "bare", "brief", "plain", "facts"]
    assert record.status == "running"


@pytest.mark.parametrize(("arm", "trains"), [("lora", True), ("bare", False)])
def test_roads_that_are_not_taken_are_said_of_what_is_done(
    arm: str, trains: bool, tmp_path: Path, tiny_folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In study.json, which the report shows: padded rows in answering, and, where an arm trains, in training."""
    monkeypatch.setattr(ragged, "_same_logits", lambda plain: False)
    monkeypatch.setattr(shared, "_same_logits", lambda module: False)
    task, model = load_task("dialogues"), load(str(tiny_folder("decoder-plain")))
    context = StudyContext(task, task.train, task.dev, task.test, 0, model.name, "fp32", StudyFolder(tmp_path))
    arms = [resolve(arm, parse(arm), task)]
    record = study_origin({}, "", context, {model.name: model}, arms, power=[], training_notes=[], health=[])
    answering = f"{model.name}: answers are written with rows padded to one length, which is slower, because"
    training = f"{model.name}: training pads rows to one length, which is slower, because behind what they share"
    assert [note.startswith(answering) for note in record.model.notes] == [True, *([False] * trains)]
    assert [note.startswith(training) for note in record.model.notes] == [False, *([True] * trains)]


def test_where_an_arm_was_trained_is_said_only_of_one_that_was_trained_elsewhere() -> None:
    task = load_task("dialogues")
    here = resolve("lora", parse("lora"), task)
    elsewhere = resolve("lora", parse("lora").model_copy(update={"trained_on": "a mixture"}), task)
    assert "trained_on" not in arm_table(here, labelled=False).as_json()
    assert arm_table(elsewhere, labelled=False).as_json()["trained_on"] == "a mixture"
