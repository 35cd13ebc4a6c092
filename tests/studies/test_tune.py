"""Equally many trials for every arm, on train and dev alone; halved, resumable, and no weights are left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import luthier.studies.tune
from luthier.arms.resolve import resolve
from luthier.arms.short_form import parse
from luthier.arms.spec import ArmSpec
from luthier.errors import FolderError, SettingsError
from luthier.results.arm_record import TRIALS_FILE, Trial, TuningResult
from luthier.results.folder import StudyFolder
from luthier.results.record import read_lines_of
from luthier.studies.fit import StudyContext, fit
from luthier.studies.tune import configurations, configured, halvings, tune
from luthier.task.task import load_task
from tests.studies.test_study import make_task


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return load_task(make_task(tmp_path_factory.mktemp("task")))


@pytest.fixture
def context(task, tmp_path: Path, tiny_folder) -> StudyContext:
    """No test example: a trial that looked at one would fail."""
    folder, model = StudyFolder(tmp_path / "study"), str(tiny_folder("decoder-plain"))
    return StudyContext(task, task.train, task.dev[:3], (), 0, model, "fp32", folder, trials=4)


def trials_of(context: StudyContext, name: str) -> list[Trial]:
    return read_lines_of(Trial, context.folder.arm(name) / "tune" / TRIALS_FILE)


def arm(task, text: str = "lora+epochs=1"):
    return resolve(text, parse(text), task)


def test_every_method_is_tried_at_the_same_places_and_first_as_it_is(task) -> None:
    tried = {name: configurations(arm(task, name), 8, 0) for name in ("lora", "soft", "full")}
    for name, made in tried.items():
        assert len(made) == 8
        own = arm(task, name)
        assert configured(own, made[0]) == own
        assert made != configurations(own, 8, 1) and made == configurations(own, 8, 0)
    relative = {name: [one["learning_rate"] / made[0]["learning_rate"] for one in made] for name, made in tried.items()}
    assert relative["lora"] == pytest.approx(relative["full"], rel=0.06)
    assert relative["lora"] == pytest.approx(relative["soft"], rel=0.06)
    assert 0.1 <= min(relative["lora"]) < 0.2 and 5 < max(relative["lora"]) <= 10
    assert {one["rank"] for one in tried["lora"]} == {4, 8, 16, 32, 64}
    assert set(tried["full"][0]) == {"learning_rate"}


@pytest.mark.parametrize(
    "text, varied",
    [
        ("lora", {"learning_rate", "rank"}),
        ("lora-r8", {"learning_rate"}),
        ("soft+learning_rate=0.1", {"tokens"}),
        ("full+learning_rate=1e-4", set()),
    ],
)
def test_what_an_arm_gives_is_not_varied(task, text: str, varied: set) -> None:
    assert set(arm(task, text).tunable) == varied


def test_a_short_list_of_candidates_is_not_tried_twice(task) -> None:
    made = configurations(arm(task, "soft+learning_rate=0.1"), 16, 0)
    assert len(made) == len({one["tokens"] for one in made}) == 5
    assert configurations(arm(task, "full+learning_rate=1e-4"), 8, 0) == [{}]


def test_what_may_be_tuned_can_be_named_and_must_be_known(task) -> None:
    spec = ArmSpec(method="lora", settings={"rank": 4}, tune=["rank"])
    assert resolve("mine", spec, task).tunable == ("rank",)
    with pytest.raises(SettingsError, match="arm 'mine': tuning does not vary 'alpha'; there are: learning_rate, rank"):
        resolve("mine", ArmSpec(method="lora", tune=["alpha"]), task)


@pytest.mark.parametrize("count, rounds", [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3)])
def test_halvings(count: int, rounds: int) -> None:
    assert halvings(count) == rounds


def test_the_better_half_goes_on_with_twice_the_budget(context: StudyContext, task) -> None:
    chosen, about = tune(context, arm(task))
    rows = trials_of(context, "lora+epochs=1")
    first, second = ([row for row in rows if row.round == round] for round in (0, 1))
    assert [len(first), len(second)] == [4, 2]
    assert {row.passes for row in first} == {0.25} and {row.passes for row in second} == {0.5}
    assert {row.steps for row in first} == {1} and {row.steps for row in second} == {2}
    better = sorted(first, key=lambda row: (-row.dev, row.trial))[:2]
    assert [row.trial for row in second] == [row.trial for row in better]
    best = min(second, key=lambda row: (-row.dev, row.trial))
    assert about.chosen == best.settings and about.dev == best.dev
    assert (chosen.training.learning_rate, chosen.settings.rank) == tuple(best.settings.values())
    assert chosen.training.epochs == 1 and chosen.training.evaluations == arm(task).training.evaluations
    assert (about.trials, about.trainings, about.steps, about.dev_answers) == (4, 6, 8, 18)
    assert about.train_tokens == sum(row.train_tokens for row in rows) > 0
    assert [path.name for path in (context.folder.arm("lora+epochs=1") / "tune").iterdir()] == ["trials.jsonl"]
    assert context.folder.cost().of("lora+epochs=1").tune_seconds > 0


def test_trials_that_are_on_disk_are_not_run_again(context: StudyContext, task, monkeypatch, tmp_path: Path) -> None:
    def until(calls: int) -> Any:
        """fit, which is interrupted in the middle of a training after that many calls."""
        made = []

        def interrupted(*given: Any) -> Any:
            made.append(given)
            if len(made) > calls:
                given[2].mkdir(parents=True, exist_ok=True)
                (given[2] / "half").touch()
                raise KeyboardInterrupt
            return fit(*given)

        return interrupted

    other = replace(context, folder=StudyFolder(tmp_path / "other"))
    whole = tune(other, arm(task))
    for calls in (2, 3):
        monkeypatch.setattr(luthier.studies.tune, "fit", until(calls))
        with pytest.raises(KeyboardInterrupt):
            tune(context, arm(task))
    monkeypatch.setattr(luthier.studies.tune, "fit", until(1))
    assert tune(context, arm(task)) == whole
    monkeypatch.setattr(luthier.studies.tune, "fit", until(0))
    assert tune(context, arm(task)) == whole
    places = [one.folder.arm("lora+epochs=1") / "tune" for one in (context, other)]
    assert len({(place / "trials.jsonl").read_bytes() for place in places}) == 1
    assert [path.name for path in places[0].iterdir()] == ["trials.jsonl"]


def test_trials_of_other_settings_are_refused(context: StudyContext, task) -> None:
    tune(replace(context, trials=2), arm(task))
    with pytest.raises(FolderError, match="holds trials of other settings"):
        tune(context, arm(task))


def test_settings_that_cannot_be_trained_lose(context: StudyContext, task, monkeypatch) -> None:
    tried = [{"learning_rate": 1e-3}, {"learning_rate": 1e30}]
    monkeypatch.setattr(luthier.studies.tune, "configurations", lambda *_: tried)
    _, about = tune(context, arm(task, "full+epochs=4"))
    assert about.chosen == tried[0] and about.failed == 1
    (failed,) = [row for row in trials_of(context, "full+epochs=4") if not row.steps]
    assert failed.dev is None and "no longer a number" in failed.reason
    monkeypatch.setattr(luthier.studies.tune, "configurations", lambda *_: [tried[1], {"learning_rate": 2e30}])
    with pytest.raises(SettingsError, match="every trial failed; the first said: the loss is no longer a number"):
        tune(context, arm(task, "full+epochs=5"))


def test_nothing_is_tried_unless_asked_for(context: StudyContext, task) -> None:
    own = arm(task)
    assert tune(replace(context, trials=0), own) == (own, TuningResult(trials=0))
    assert not context.folder.path.exists()
