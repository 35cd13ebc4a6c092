"""A finished arm teaches the next study's plan, and nothing else of a study changes by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier import machine
from luthier.planning import learned as own
from luthier.planning.devices import ProductRate, Rates
from luthier.planning.learned import Learned
from luthier.planning.lessons import learned
from luthier.results.cost import Cost
from luthier.results.plan_record import PlanRecord
from luthier.results.predicted import rows_of_study
from luthier.results.study_record import StudyRecord
from luthier.studies import answering, teaching
from luthier.studies.planned import plan_of
from luthier.studies.study import study
from tests.studies.test_study import make_task

ARMS = "zero-shot,lora-r4,lora-r4+temperature=0.5"


@pytest.fixture(autouse=True)
def slow_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rates by which a tiny model takes seconds, on a machine that is left alone; its phases may be as short as they
    are."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("LUTHIER_CACHE", str(cache))
    Rates(
        format=1, processor=machine.processor().name, threads=machine.threads(), device="cpu", bandwidth=1e6,
        products=[ProductRate(precision="fp32", rows=1024, weights=1000, flops=1e7)],
    ).write(cache)  # fmt: skip
    monkeypatch.setattr(own, "LEAST_SECONDS", 1e-3)
    monkeypatch.setattr(teaching, "LEAST_SECONDS", 1e-3)
    monkeypatch.setattr(machine, "disturbed", lambda *_: None)
    return cache


@pytest.fixture
def run(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> Callable[..., Path]:
    (tmp_path / "task").mkdir()
    task = make_task(tmp_path / "task", test=6)

    def started(name: str, arms: str = ARMS, **more: Any) -> Path:
        return study(task, model=str(tiny_folder("decoder-chat")), arms=arms, out=tmp_path / name, **more)

    return started


def test_the_second_study_is_planned_by_what_the_first_taught(
    run: Callable[..., Path], slow_rates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run("first")
    one, cost = PlanRecord.read(first).arms, Cost.read(first)
    taught = learned().lessons
    assert [(row.phase, row.kind) for row in taught] == [
        ("answering", "prompting"), ("training", "lora"), ("answering", "lora"), ("answering", "lora"),
    ]  # fmt: skip
    lora, spent = one["lora-r4"].training, cost.of("lora-r4")
    assert lora is not None and lora.taught is None
    assert taught[1].measured == pytest.approx(spent.train_seconds + spent.evaluate_seconds, abs=1e-3)
    capsys.readouterr()
    second = run("second", seed=5)
    said = " ".join(capsys.readouterr().err.split())
    assert "by measured rates, times 0." in said and "earlier arms on this machine" in said
    two = PlanRecord.read(second).arms
    for name, plan in two.items():
        for phase, row in plan.phases.items():
            assert row.taught is not None and row.seconds == row.taught.seconds, (name, phase)
            assert row.taught.by_rates == row.seconds_by_rates
    rows = {(row.arm, row.what): row for row in rows_of_study(second)}
    for name in ("training", "answering"):
        by_rates, planned = rows["lora-r4", f"{name} time by rates alone"], rows["lora-r4", f"{name} time"]
        assert abs(math.log(planned.predicted / planned.measured)) < abs(
            math.log(by_rates.predicted / by_rates.measured)
        )
    for page in ("report.html", "report.md"):
        assert "time by measured rates, times 0." in " ".join((second / page).read_text(encoding="utf-8").split())
    # What teaches is measured over what rates alone say, however the arm was planned.
    again = learned().lessons[len(taught) :]
    assert [row.by_rates for row in again] == pytest.approx([row.by_rates for row in taught], rel=0.2)


def test_nothing_but_the_plan_and_the_clocks_changes(run: Callable[..., Path]) -> None:
    first, second = run("first"), run("second")
    assert PlanRecord.read(first) != PlanRecord.read(second)
    clocks = {"plan.json", "cost.json", "log.jsonl", "metrics.jsonl", "report.html", "report.md", ".lock"}
    for path in first.rglob("*"):
        if path.is_file() and path.name not in clocks | {"study.json", "compare.json"}:
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path
    assert StudyRecord.read(first).arms == StudyRecord.read(second).arms


def test_an_arm_of_several_sittings_does_not_teach(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(answering, "asking", stopped)
        with pytest.raises(KeyboardInterrupt):
            run("study")
    assert learned().lessons == ()
    run("study")  # zero-shot had begun; the others begin now
    assert [(row.phase, row.kind) for row in learned().lessons] == [
        ("training", "lora"), ("answering", "lora"), ("answering", "lora"),
    ]  # fmt: skip
    before = learned()
    run("study")
    assert learned() == before  # a finished study teaches nothing again


def test_answers_count_as_long_as_they_came(run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """How long answers are is no property of the machine, so rates are asked of the tokens that were written."""
    asked: list[float | None] = []

    def seen(*given: Any, **more: Any) -> Any:
        asked.append(given[3].written)
        return plan_of(*given, **more)

    monkeypatch.setattr(teaching, "plan_of", seen)
    out = run("study", "zero-shot")
    tokens = Cost.read(out).of("zero-shot").new_tokens
    assert asked == [tokens / (6 + 6)]  # of dev and of test
    planned, (row,) = PlanRecord.read(out).arms["zero-shot"].answering, learned().lessons
    assert planned is not None and planned.seconds is not None
    assert (row.by_rates < planned.seconds) == (tokens < 12 * (6 + 6))


def test_a_damaged_or_newer_file_stops_no_study(
    run: Callable[..., Path], slow_rates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Learned.path_in(slow_rates).write_text('{"format": 2}')
    out = run("study", "zero-shot")
    said = " ".join(capsys.readouterr().err.split())
    assert "has format 2" in said and "its seconds teach no later plan" in said
    assert PlanRecord.read(out).arms["zero-shot"].answering is not None
    assert Learned.path_in(slow_rates).read_text() == '{"format": 2}'


def test_a_disturbed_arm_says_that_it_does_not_teach(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "disturbed", lambda *_: "others used 1.5 of the processors meanwhile")
    run("study", "zero-shot")
    assert "others used 1.5 of the processors meanwhile, so its seconds teach" in " ".join(
        capsys.readouterr().err.split()
    )
    assert learned().lessons == ()


def test_an_arm_too_short_to_teach_says_nothing(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teaching, "LEAST_SECONDS", 1e9)
    monkeypatch.setattr(machine, "disturbed", lambda *_: "others used 1.5 of the processors meanwhile")
    run("study", "zero-shot")
    assert "later plan" not in capsys.readouterr().err and learned().lessons == ()
