"""A study's plan: written before the first arm, kept when the study goes on, shown beside what was measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.results.plan_record import PlanRecord
from luthier.results.predicted import rows_of_study
from luthier.results.study_record import StudyRecord
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
