"""plan.json beside cost.json: errors, the term that was wrong, and what the first steps of a training say."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.results.cost import ArmCost, Cost
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.plan_record import ArmPlan, PlanPhase, PlanRecord, PlanTerm, Taught
from luthier.results.predicted import error_rows, seconds_after, summary
from luthier.results.record import write_lines_of


def phase(seconds: float | None, **terms: int) -> PlanPhase:
    return PlanPhase(terms=[PlanTerm(name=n, bytes=b) for n, b in terms.items()], flops=7, seconds=seconds)


def plan(**arms: ArmPlan) -> PlanRecord:
    return PlanRecord(format=1, accounting="luthier", device="here", precision="fp32", rates="stated", arms=arms)


def steps(*seconds: float) -> list[Step]:
    return [
        Step(step=i + 1, loss_sum=1.0, count=1, tokens=100, learning_rate=1e-3, gradient_norm=1.0, seconds=s)
        for i, s in enumerate(seconds)
    ]


LORA = ArmPlan(
    method="lora", model="m", parameters=10, trainable=2, micro_tokens=64,
    training=phase(100.0, weights=400, loss=700), answering=phase(50.0, weights=900),
)  # fmt: skip


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = plan(lora=LORA, refused=ArmPlan(method="full", model="m", parameters=10, trainable=10, refused="no"))
    record.write(tmp_path)
    assert PlanRecord.read(tmp_path) == record
    assert (LORA.peak_bytes, LORA.seconds) == (1100, 150.0)
    unknown = LORA.model_copy(update={"answering": phase(None, weights=1)})
    assert unknown.seconds is None and ArmPlan(method="copy", model="", parameters=0, trainable=0).peak_bytes == 0
    assert record.with_arms({"lora": unknown, "more": unknown}).of("lora") == LORA


def test_errors_by_arm_and_the_term_that_was_wrong(tmp_path: Path) -> None:
    study = tmp_path / "mine"
    (study / "arms" / "lora").mkdir(parents=True)
    plan(lora=LORA).write(study)
    spent = ArmCost(
        train_seconds=60.0, evaluate_seconds=20.0, answer_seconds=45.0, peak_bytes=1000, answer_peak_bytes=600
    )
    Cost(seconds=125.0, arms={"lora": spent}).write(study)
    write_lines_of(study / "arms" / "lora" / METRICS_FILE, steps(*[9.0], *[1.0] * 39))
    rows = {row.what: row for row in error_rows([study])}
    assert (rows["training memory"].error, rows["training memory"].is_wrong, rows["training memory"].term) == (
        0.1,
        False,
        None,
    )
    assert (rows["answering memory"].error, rows["answering memory"].term) == (0.5, "weights")
    assert rows["training time"].error == 0.25 and not rows["training time"].is_wrong
    assert rows["answering time"].error == pytest.approx(0.1111)
    assert rows["training time after 20 steps"].predicted == 40.0
    found = {one.what: one for one in summary(list(rows.values()) * 2)}
    assert found["answering memory"].wrong == 2 and found["answering memory"].n == 2
    assert "mean error +50.0%" in found["answering memory"].sentence


def test_a_plan_that_learned_is_shown_beside_what_rates_alone_say(tmp_path: Path) -> None:
    taught = Taught(by_rates=50.0, factor=1.5, low=1.1, high=2.0, arms=4)
    learned = LORA.model_copy(
        update={"training": LORA.training.model_copy(update={"seconds": taught.seconds, "taught": taught})}
    )
    plan(lora=learned).write(tmp_path)
    Cost(seconds=120.0, arms={"lora": ArmCost(train_seconds=80.0, answer_seconds=40.0)}).write(tmp_path)
    rows = {row.what: row for row in error_rows([tmp_path])}
    assert rows["training time"].predicted == 75.0 and rows["training time"].error == -0.0625
    alone = rows["training time by rates alone"]
    assert alone.predicted == 50.0 and alone.error == -0.375 and alone.is_of_rates and alone.is_wrong
    assert "answering time by rates alone" not in rows and not rows["answering time"].is_of_rates
    assert learned.seconds == 125.0 and learned.seconds_ends == (105.0, 150.0)
    assert PlanRecord.read(tmp_path).taught == {
        "lora": "stated rates, times 1.50 (training) from 4 earlier arms on this machine"
    }


def test_the_first_step_says_nothing_of_the_rate() -> None:
    assert seconds_after(steps(*[1.0] * 20), 5000) is None
    assert seconds_after(steps(30.0, *[2.0] * 20, *[9.0] * 5), 5000) == 100.0


def test_a_study_without_a_plan_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"plan\.json: no such file"):
        error_rows([tmp_path])
