"""A study's plan: written before the first arm, kept when the study goes on, shown beside what was measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier.planning.lengths import Lengths, rendered_lengths
from luthier.planning.plan import plan_arm
from luthier.records import Prompt
from luthier.results.arm_record import ArmRecord
from luthier.results.cost import Cost
from luthier.results.lines import PROMPTS_FILE
from luthier.results.plan_record import ArmPlan, PlanRecord
from luthier.results.predicted import rows_of_study
from luthier.results.record import read_lines_of
from luthier.results.study_record import StudyRecord
from luthier.studies import planned
from luthier.studies import study as studies
from luthier.studies.study import study
from tests.studies.test_study import make_task


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    task = make_task(tmp_path_factory.mktemp("task"), test=6)
    return study(
        task, model=str(tiny_folder("decoder-chat")), arms="lora-r4", out=tmp_path_factory.mktemp("study") / "out"
    )


def test_every_arm_that_asks_a_model_has_a_plan_with_the_counts_that_came(finished: Path) -> None:
    record = PlanRecord.read(finished)
    assert set(record.arms) == {"zero-shot", "lora-r4"}
    lora = record.arms["lora-r4"]
    assert lora.training is not None and lora.answering is not None and lora.micro_tokens == 2048
    from luthier.results.folder import StudyFolder

    counts = StudyFolder(finished).arm_record("lora-r4").counts
    assert (lora.trainable, lora.parameters) == (counts.trainable, counts.parameters)


def test_the_report_sets_predicted_beside_measured(finished: Path) -> None:
    assert {row.arm for row in rows_of_study(finished)} == {"zero-shot", "lora-r4"}
    for page in ("report.html", "report.md"):
        text = (finished / page).read_text(encoding="utf-8")
        assert "Predicted and measured" in text and "training memory" in text


def test_an_arm_that_takes_another_s_weights_costs_answering_alone(finished: Path, tmp_path: Path) -> None:
    """Nothing is predicted that is not measured; of finished arms and of those that run before."""
    copy = Path(shutil.copytree(finished, tmp_path / "study"))
    table, task = StudyRecord.read(copy).specification, StudyRecord.read(copy).task.folder
    trained = {"lora-r4": None, "lora-r2": None}
    takes = {"lora-r4@int8": "lora-r4", "lora-r4+temperature=0.5": "lora-r4", "lora-r2+scale=0.5": "lora-r2"}
    study(task, model=table["model"], arms=",".join([*trained, *takes]), out=copy)
    plans, cost = PlanRecord.read(copy).arms, Cost.read(copy)
    assert {name: plans[name].trained_as for name in trained | takes} == trained | takes
    for name in trained | takes:
        measured = cost.of(name).train_seconds > 0
        assert measured == (name in trained) == (plans[name].training is not None), name
        assert plans[name].answering is not None
    what = {(row.arm, row.what) for row in rows_of_study(copy)}
    assert {arm for arm, kind in what if kind.startswith("training")} == set(trained)
    assert {arm for arm, kind in what if kind == "answering memory"} == {"zero-shot", *trained, *takes}


def test_the_plan_is_there_before_the_first_arm_and_stays(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "study"))
    shutil.rmtree(copy / "arms")
    before = (copy / "plan.json").read_bytes()

    def no_arm(*_: object, **__: object) -> None:
        assert (copy / "plan.json").read_bytes() == before
        raise KeyboardInterrupt

    monkeypatch.setattr(studies, "run_arm", no_arm)
    table = StudyRecord.read(copy).specification
    task = StudyRecord.read(copy).task.folder
    with pytest.raises(KeyboardInterrupt):
        study(task, model=table["model"], arms="lora-r4", out=copy)
    assert (copy / "plan.json").read_bytes() == before


def test_arms_that_have_run_are_not_planned_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan after the fact is no prediction. Arms that are asked alike are rendered once, and as they are asked."""
    copy = Path(shutil.copytree(finished, tmp_path / "study"))
    (copy / "plan.json").unlink()
    (copy / "arms" / "zero-shot" / ArmRecord.FILE).unlink()  # so it has to run again
    rendered = []

    def counted(*given: Any) -> Lengths:
        rendered.append(rendered_lengths(*given))
        return rendered[-1]

    def no_arm(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def seen(*given: Any) -> ArmPlan:
        general.append(given[3].general)
        return plan_arm(*given)

    general = []
    monkeypatch.setattr(planned, "plan_arm", seen)
    monkeypatch.setattr(planned, "rendered_lengths", counted)
    monkeypatch.setattr(studies, "run_arm", no_arm)
    table, task = StudyRecord.read(copy).specification, StudyRecord.read(copy).task.folder
    with pytest.raises(KeyboardInterrupt):
        study(task, model=table["model"], arms="lora-r4,lora-r2,soft-2,lora-r2+replay=0.5", out=copy)
    assert set(PlanRecord.read(copy).arms) == {"zero-shot", "lora-r2", "soft-2", "lora-r2+replay=0.5"}
    assert general == [0, 0, 0, len(rendered[1].train)]  # general rows take time too
    prompts = read_lines_of(Prompt, copy / "arms" / "zero-shot" / PROMPTS_FILE)
    asked = tuple(len(one.prompt_ids) for one in prompts)
    assert [(bool(one.train), one.test) for one in rendered] == [(False, asked), (True, asked)]
