"""luthier trial: equal budgets, the same numbers after a stop, every family asked the same, intervals over seeds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from luthier.errors import DataError, FolderError, SettingsError
from luthier.results.trial_record import TrialRecord, TrialResult, TrialScores
from luthier.scratch import objectives, trial_cells, trial_tasks
from luthier.scratch import trial as work
from luthier.scratch.corpus import read_corpus
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.trial_cells import Trial, cells_of
from luthier.scratch.trial_means import SECONDS, TOKENS_A_SECOND, between, interval_of, means_of, table_of
from luthier.scratch.trial_page import mean_rows, trial_words
from luthier.scratch.trial_tasks import Pieces, TextTask, pieces_of, recall_row, recall_scores, rights_of

SMALL: dict[str, Any] = {"minutes": 0.3, "vocabulary": 300, "width": 8, "layers": 1, "heads": 1, "row": 64,
                         "batch_tokens": 128, "held_out_bytes": 1500}  # fmt: skip
CLOCKS = (SECONDS, TOKENS_A_SECOND)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two folders of 40 texts with words of their own."""
    folder = tmp_path_factory.mktemp("texts")
    for name, words in (("harbour", "boat sail rope mast anchor"), ("kitchen", "pan salt bread oven spoon")):
        (folder / name).mkdir()
        for number in range(40):
            dice = random.Random(f"{name}{number}")
            drawn = " ".join(f"the {dice.choice(words.split())} of {dice.randrange(1000)}" for _ in range(30))
            (folder / name / f"{number}.txt").write_text(drawn)
    return str(folder)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that do not hang on the machine, and one rate to try."""

    def seconds(desk: work.Desk, cell: trial_cells.Cell, seed: int) -> tuple[float, float, float]:
        one = 0.03 if cell.arm.startswith(("LSTM", "Muon")) else 0.06
        return one, one, 0.01

    monkeypatch.setattr(work, "step_seconds", seconds)
    for name in ("TEXT_RATES", "DRAWN_RATES"):
        monkeypatch.setattr(trial_cells, name, (0.01,))


def kept(record: TrialRecord) -> list[dict[str, Any]]:
    """All results without clocks."""
    return [
        one.as_json() | {"scores": [s.as_json() for s in one.scores if s.measure not in CLOCKS]}
        for one in record.results
    ]


def test_a_recipe_that_was_stopped_comes_to_the_same_numbers(
    texts: str, tmp_path: Path, steady: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_cells, "INGREDIENTS", {"Muon": {"optimizer": "muon"}})
    trial = Trial(kind="recipe", corpus=texts, **SMALL)
    whole = work.run_trial(trial, tmp_path / "whole", "luthier trial recipe")
    real, count = work._train, 0

    def watched(*given: Any, **more: Any) -> TrialResult:
        nonlocal count
        count += 1
        if count == 6:
            raise KeyboardInterrupt
        return real(*given, **more)

    monkeypatch.setattr(work, "_train", watched)
    with pytest.raises(KeyboardInterrupt):
        work.run_trial(trial, tmp_path / "stopped")
    monkeypatch.setattr(work, "step_seconds", lambda *_: pytest.fail("a plan is made once"))
    again = work.run_trial(trial, tmp_path / "stopped")
    assert kept(again) == kept(whole) and count == len(whole.results) + 1 == 3 + 9 + 1
    plain, muon, default = whole.cells
    assert plain.steps == default.steps and muon.steps in (2 * plain.steps, 2 * plain.steps + 1)
    assert [one.seed for one in whole.results if not one.tries] == [0] * 3 + [1] * 3 + [2] * 3
    assert len({tuple(one.scores[0].values) for one in whole.results if not one.tries}) == 9
    assert not list(tmp_path.rglob("checkpoint.safetensors"))

    rows, words = mean_rows(whole), trial_words(whole)
    assert [row[2] for row in rows[:3]] == ["plain", "Muon", "pretrain's default"] and rows[0][5] == "-"
    said = " ".join(words)
    assert all(said.count(side) <= 1 for side in ("Better than plain", "Worse than plain", "Not told apart from plain"))
    clocks = {one.arm: one for one in whole.means if one.measure == SECONDS}
    for times in (0.8, 1.1, 1.62):  # a machine that became slower, or faster, under one arm
        slower = clocks["Muon"].model_copy(update={"value": times * clocks["plain"].value})
        others = [one for one in whole.means if one.measure != SECONDS]
        said = " ".join(trial_words(whole.model_copy(update={"means": [*others, clocks["plain"], slower]})))
        assert (f"Muon took {times:.2f} times the processor time of plain" in said) == (times != 1.1)
    page = (tmp_path / "whole" / "trial.html").read_text()
    assert page.count("<svg") == 4 and "luthier trial recipe" in page and "minus plain" in page

    with pytest.raises(FolderError, match="another minutes"):
        work.run_trial(trial.model_copy(update={"minutes": 2.0}), tmp_path / "whole")


def test_an_lstm_has_as_much_time_or_as_many_tokens(texts: str, tmp_path: Path, steady: None) -> None:
    record = work.run_trial(Trial(kind="lstm", corpus=texts, **SMALL | {"minutes": 0.6}), tmp_path)
    cells = {(cell.arm, cell.task): cell for cell in record.cells}
    for task in ("text", "recall"):
        transformer, time, tokens = (cells[arm, task] for arm in dict.fromkeys(cell.arm for cell in record.cells))
        assert transformer.steps == tokens.steps and time.steps in (2 * tokens.steps, 2 * tokens.steps + 1)
        assert abs(time.parameters / transformer.parameters - 1) < 0.25
    bands = [one.at for one in record.means if one.task == "text" and one.measure == "nats a token"]
    assert bands[::3][:4] == ["1", "2", "3 to 4", "5 to 8"]
    assert sum(one.task == "recall" and one.at != "" for one in record.means) == 3 * len(trial_tasks.DISTANCES)
    assert (tmp_path / "trial.html").read_text().count("<svg") == 3 + 3 + 1 + 1


@pytest.mark.slow
def test_three_families_are_asked_three_tasks(texts: str, tmp_path: Path, steady: None) -> None:
    record = work.run_trial(Trial(kind="families", corpus=texts, **SMALL | {"minutes": 3}), tmp_path)
    for task in ("text", *trial_cells.TEXT_TASKS):
        spent = [cell.steps * cell.flops_a_step for cell in record.cells if cell.task == task]
        assert len(spent) == 3 and min(spent) > 0.85 * max(spent)
    asked = {(one.task, one.arm) for one in record.means if one.measure == "share right"}
    assert asked == {(task, arm) for task in trial_cells.TEXT_TASKS for arm in trial_cells.OBJECTIVES}
    best = max(one.value for one in record.means if one.task == "classification" and one.measure == "share right")
    assert best > 0.8  # the two folders share few words


def test_a_plan_spends_its_minutes_and_says_when_they_are_too_few(texts: str, tmp_path: Path, steady: None) -> None:
    trial = Trial(kind="families", corpus=texts, **SMALL | {"minutes": 2})
    record = work._planned(work.Desk(trial, tmp_path, "", read_corpus(texts)), cells_of(trial))
    steps = sum(cell.steps * cell.seconds_a_step * (3 + 1 / 8) for cell in record.cells)
    beside = 12 * 4 * 0.01
    assert 0.85 < (steps + beside) / (2 * 60 * record.processors * 0.75) <= 1
    assert record.processors == pytest.approx(1)
    for task in ("text", *trial_cells.TEXT_TASKS):
        spent = [cell.steps * cell.flops_a_step for cell in record.cells if cell.task == task]
        assert max(spent) - min(spent) <= max(cell.flops_a_step for cell in record.cells if cell.task == task)
    said = work.plan_words(record)
    assert "2 minutes buy 48 trainings of 12 cells" in said and f"{record.cells[0].parameters:,} parameters" in said
    short = trial.model_copy(update={"minutes": 0.01})
    with pytest.raises(SettingsError, match=r"--minutes is 0.01; this trial takes at least [\d.]+ here"):
        work._planned(work.Desk(short, tmp_path, "", read_corpus(texts)), cells_of(short))


def test_seconds_of_a_step_are_measured(texts: str, tmp_path: Path) -> None:
    trial = Trial(kind="lstm", corpus=texts, **SMALL)
    desk = work.Desk(trial, tmp_path, "", read_corpus(texts))
    for cell in (cells_of(trial)[0], cells_of(trial)[4]):
        processor, wall, beside = work.step_seconds(desk, cell, 0)
        assert 0 < processor < 10 and 0 < wall < 60 and 0 <= beside < 60
    watch = work.Watch([0.0, 9.0, 10.0, 12.0, 13.0], [0.0, 9.0, 11.0, 13.0, 15.0])
    assert watch.seconds() == pytest.approx((4 / 3, 2.0))


def test_of_several_rates_the_one_with_the_lowest_loss_is_taken() -> None:
    cell = cells_of(Trial(kind="recipe"))[1]
    results = [_result(cell.arm, 0, [], tries=True, rate=rate, loss=loss) for rate, loss in
               ((0.001, 3.0), (0.01, 2.0), (0.1, 4.0))]  # fmt: skip
    results += [_result("another", 0, [], tries=True, rate=1.0, loss=0.1), _result(cell.arm, 0, [], rate=2.0, loss=0.1)]
    assert work._best_rate(results, cell) == 0.01


def test_an_ingredient_stands_alone_and_the_default_is_pretrain_s() -> None:
    arms = {cell.arm: cell.settings for cell in cells_of(Trial(kind="recipe"))}
    plain, default = arms.pop("plain"), arms.pop(trial_cells.DEFAULT)
    for name, settings in arms.items():
        changed = {key for key, value in settings.model_dump().items() if getattr(plain, key) != value}
        assert changed == set(trial_cells.INGREDIENTS[name]) and len(changed) == 1
    fields = type(default).model_fields
    assert {key: getattr(default, key) for key in trial_cells.PLAIN} == {
        key: fields[key].default for key in trial_cells.PLAIN
    }


# -------------------------------------------------------------------------------------------------------------- tasks


class Knows(nn.Module):
    """Gives every token that stands in `right` a high logit at its place, and elsewhere token 0."""

    def __init__(self, right: Tensor) -> None:
        super().__init__()
        self.right_BT = nn.Parameter(right.float(), requires_grad=False)

    def forward(self, ids_BT: Tensor, documents_BT: Tensor | None = None, **more: Any) -> Tensor:
        return nn.functional.one_hot(self.right_BT.long(), 20).float()


def test_a_score_is_what_is_right_up_to_the_first_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row((1,) * 5, (0,) * 5, (IGNORE, 4, 5, 6, 7))] * 2
    module = Knows(torch.tensor([[9, 4, 5, 0, 7], [9, 0, 5, 6, 7]]))
    assert rights_of(module, rows) == [[True, True, False, True], [False, True, True, True]]
    pieces = Pieces(("a", "b"), ((), ()), ((0, ()),))
    task = TextTask("continuation", "decoder", pieces, objectives.Vocabulary(10, 0))
    monkeypatch.setattr(TextTask, "judged", lambda self: [[rows[0]], [rows[1]]])
    assert task.scores(module)[0].values == [0.5, 0.0]


@pytest.mark.parametrize("family", ["decoder", "encoder", "encoder-decoder"])
def test_a_family_is_asked_for_the_same_in_its_own_way(family: str, texts: str) -> None:
    ids = objectives.Vocabulary(257, 256)
    pieces = pieces_of(read_corpus(texts), texts, lambda text: list(text.encode()))
    assert set(pieces.groups) == {"harbour", "kitchen"} and 0.5 <= pieces.likeliest < 1
    for name in trial_cells.TEXT_TASKS:
        task = TextTask(name, family, pieces, ids)
        assert task.judged() == task.judged()
        source, target = task.asked(1, pieces.train[1][0], random.Random(3))
        row = task.row(source, target)
        assert tuple(one for one in row.targets if one != IGNORE) == target
        read = row.source or row.ids
        assert source == tuple(read[: len(source)] if row.source else read[1 : len(source) + 1])
        if family == "encoder":
            assert row.ids[-len(target) :] == (ids.mask,) * len(target)
        else:  # a token is asked from those before it alone
            assert row.ids[-len(target) :] == (ids.end, *target[:-1])
        if name == "classification":
            assert target == (1,)
        if name == "rewriting":
            place = iter(source)
            assert all(token in place for token in target) and len(source) == len(target) + trial_tasks.FOREIGN


def test_recall_is_judged_by_distance() -> None:
    row = recall_row(random.Random(0))
    known = [index for index, target in enumerate(row.targets) if target != IGNORE]
    assert len(known) == trial_tasks.PAIRS and all(
        row.ids[row.ids.index(row.ids[index]) + 1] == row.targets[index] for index in known
    )

    class Near(nn.Module):
        """Recalls what stood at most 30 tokens ago."""

        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, ids_BT: Tensor, documents_BT: Tensor | None = None, **more: Any) -> Tensor:
            logits = torch.zeros(*ids_BT.shape, trial_tasks.RECALL_IDS)
            for row, ids in enumerate(ids_BT.tolist()):
                for index, token in enumerate(ids):
                    first = ids.index(token)
                    if 0 < index - first <= 30:
                        logits[row, index, ids[first + 1]] = 1
            return logits

    scores = {one.at: float(np.mean(one.values)) for one in recall_scores(Near())}
    assert scores["1 to 15"] == scores["16 to 30"] == 1 and scores["31 to 45"] == scores["46 to 62"] == 0
    assert 0 < scores[""] < 1


def test_a_text_of_one_folder_cannot_be_classified(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text(f"the boat of {number} " * 30)
    with pytest.raises(DataError, match="several folders"):
        pieces_of(read_corpus(str(tmp_path)), str(tmp_path), lambda text: list(text.encode()))


# -------------------------------------------------------------------------------------------------------------- means


def _result(arm: str, seed: int, scores: list[TrialScores], tries: bool = False, rate: float = 0.01,
            loss: float = 1.0) -> TrialResult:  # fmt: skip
    return TrialResult(arm=arm, task="text", seed=seed, tries=tries, learning_rate=rate, steps=10, loss=loss,
                       scores=scores)  # fmt: skip


def test_a_ratio_s_mean_is_that_of_the_sums_and_a_planted_difference_is_found() -> None:
    dice = np.random.default_rng(0)
    sizes = dice.integers(50, 2000, 60)
    results = []
    for seed in range(3):
        hard = 2 + dice.normal(0, 0.05)
        for arm, gain in (("plain", 0.0), ("better", -0.3)):
            bits = sizes * (hard + gain + dice.normal(0, 0.02, 60))
            scores = TrialScores(measure="bits a byte", at="", values=bits.tolist(), weights=sizes.tolist())
            clock = TrialScores(measure="processor seconds", at="", values=[10.0 + seed], weights=None)
            results.append(_result(arm, seed, [scores, clock]))
    means = {(one.measure, one.arm): one for one in means_of(results, ["plain", "better"])}
    plain, better = means["bits a byte", "plain"], means["bits a byte", "better"]
    sums = [sum(one.scores[0].values) / sizes.sum() for one in results if one.arm == "plain"]
    assert plain.value == pytest.approx(np.mean(sums)) and (plain.seeds, plain.units) == (3, 60)
    assert plain.difference is None and better.difference_high is not None and better.difference_high < -0.2
    assert better.difference == pytest.approx(better.value - plain.value)
    assert plain.low < plain.value < plain.high
    clock = means["processor seconds", "better"]
    assert (clock.value, clock.units, clock.difference) == (11.0, 1, 0.0)
    assert clock.high - clock.value == pytest.approx(4.303 * 1 / 3**0.5, rel=1e-3)  # t of two degrees of freedom


def test_units_of_a_ratio_have_the_spread_of_its_first_order() -> None:
    scores = [TrialScores(measure="m", at="", values=[2.0, 6.0], weights=[1, 3])] * 3
    assert table_of(scores) == pytest.approx(np.full((3, 2), 2.0))  # every unit has the ratio, so nothing varies
    value, low, high = interval_of(table_of(scores))
    assert (value, low, high) == pytest.approx((2, 2, 2))


def test_two_arms_that_are_not_first_are_set_against_each_other() -> None:
    def scores(value: float) -> list[TrialScores]:
        return [TrialScores(measure="share right", at="", values=[value, value, value + 0.1], weights=None)]

    results = [_result(arm, seed, scores(value + seed / 100)) for seed in range(3)
               for arm, value in (("a", 0.1), ("b", 0.3), ("c", 0.7))]  # fmt: skip
    record = TrialRecord.model_construct(results=results)
    value, low, high = between(record, ("text", "share right", ""), "c", "b")
    assert value == pytest.approx(0.4) and low == pytest.approx(high) == pytest.approx(0.4)
