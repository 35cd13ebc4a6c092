"""scale run: what minutes buy, a largest size predicted before it is trained, and a ladder that goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from luthier.errors import FolderError, SettingsError
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.pretrain_record import PretrainRecord
from luthier.results.record import read_lines_of
from luthier.results.scaling_record import LadderRecord
from luthier.scratch import ladder
from luthier.scratch.points import read_points
from luthier.scratch.pretraining import Pretraining
from luthier.scratch.scale import fit_points
from luthier.scratch.transformer import Transformer


@pytest.fixture
def texts(tmp_path: Path) -> str:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(30):
        words = " ".join(f"the {name} came home at {number + k}" for k, name in enumerate(["boat", "cat", "dog"] * 20))
        (folder / f"{number}.txt").write_text(words)
    return str(folder)


def test_more_minutes_buy_larger_models_and_never_more_than_they_hold() -> None:
    small, large = ladder.planned(10, 2e10, "docstrings"), ladder.planned(400, 2e10, "docstrings")
    assert max(c.parameters for c in small) < max(c.parameters for c in large)
    assert sum(c.flops for c in small) <= 10 * 60 * 2e10
    assert len(small) == 4 * 4 + 2 * 2 + 2 * 4 and len({c.name for c in small}) == len(small)
    with pytest.raises(SettingsError, match="the smallest ladder takes about"):
        ladder.planned(0.001, 2e10, "docstrings")


def test_every_ladder_of_the_minutes_that_may_be_given_is_planned() -> None:
    assert max(c.width for c in ladder.planned(100_000, 1e14, "docstrings", trunk=True)) == ladder.WIDTHS[-1]


def test_steps_that_a_trunk_shares_are_paid_once_and_buy_larger_models() -> None:
    alone, shared = (ladder.planned(20, 1e11, "docstrings", trunk) for trunk in (False, True))
    assert max(c.parameters for c in alone) < max(c.parameters for c in shared)
    assert sum(c.own_flops for c in shared) <= 20 * 60 * 1e11 < sum(c.flops for c in shared)
    assert not any(c.shared_flops for c in alone)
    by_name = {c.name: c for c in shared}
    for cell in shared:
        settings = ladder.settings_in(cell, "docstrings", trunk=True)
        shorter = ladder.begun_by(cell, shared)
        seeds = (0, 1, 2) if cell.width == min(c.width for c in shared) else (0,)
        assert (shorter is None) == (cell.ratio == ladder.RATIOS[0]) and cell.seed in seeds
        if shorter is None:
            assert cell.shared_flops == 0
            continue
        before = ladder.settings_in(shorter, "docstrings", trunk=True)
        assert (before.batch_tokens, before.trunk_tokens) == (settings.batch_tokens, settings.trunk_tokens)
        assert cell.shared_flops / cell.flops == pytest.approx(before.shared_steps / settings.steps)
    longest = by_name[f"w{shared[-1].width}-r{ladder.RATIOS[-1]}-s0"]
    assert ladder.settings_in(longest, "docstrings", trunk=True).trunk_tokens == longest.tokens


def test_what_is_said_before_counts_shared_steps_once() -> None:
    def words(trunk: bool) -> str:
        cells = ladder.planned(20, 1e11, "docstrings", trunk)
        about = {"minutes": 20, "corpus": "docstrings", "flops_a_second": 1e11, "predictions": [], "level": 0.9}
        return ladder.ladder_words(LadderRecord(format=1, cells=cells, trunk=trunk, **about))

    assert words(False).endswith("26,328 to 131,520 parameters, 5 to 40 tokens a parameter: 1.6e+13 FLOPs")
    assert "41,248 to 492,640 parameters, 5 to 40 tokens a parameter: 1.2e+14 FLOPs; steps that" in words(True)


def test_a_cell_has_the_parameters_that_its_plan_counts() -> None:
    for cell in ladder.planned(200, 2e10, "docstrings"):
        module = Transformer(ladder.settings_of(cell.width, cell.tokens, 0, "docstrings").shape(ladder.VOCABULARY))
        assert cell.parameters == sum(p.numel() for p in module.parameters())


def test_the_rule_is_checked_at_the_smallest_and_the_largest_size() -> None:
    cells = ladder.planned(200, 2e10, "docstrings")
    checks = [cell for cell in cells if cell.is_check]
    assert {cell.width for cell in checks} == {min(c.width for c in cells), max(c.width for c in cells)}
    rule = ladder.settings_of(64, 10**6, 0, "docstrings")
    for cell in checks:
        given = ladder.settings_of(64, 10**6, 0, "docstrings", (cell.rate, cell.batch))
        assert given.learning_rate == pytest.approx(cell.rate * rule.learning_rate)
        assert given.batch_tokens == pytest.approx(cell.batch * rule.batch_tokens)
    assert rule.learning_rate == Pretraining().learning_rate


def test_the_rate_is_that_of_real_steps() -> None:
    assert 1e8 < ladder.measured_rate(16) < 1e14


def small(monkeypatch: pytest.MonkeyPatch, seeds: int) -> None:
    """A ladder of seconds."""
    monkeypatch.setattr(ladder, "WIDTHS", (8, 16, 24, 32))
    monkeypatch.setattr(ladder, "RATIOS", (1, 2, 3))
    monkeypatch.setattr(ladder, "SEEDS", seeds)
    monkeypatch.setattr(ladder, "measured_rate", lambda: 1e13)


@pytest.mark.slow
def test_the_largest_size_is_predicted_before_it_is_trained(
    texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, seeds=1)
    out, trained = tmp_path / "out", []
    real = ladder.pretrain

    def watched(settings, folder, command, **shared):
        trained.append((folder.name, len(LadderRecord.read(out).predictions)))
        if len(trained) == 10:
            raise KeyboardInterrupt
        return real(settings, folder, command, **shared)

    monkeypatch.setattr(ladder, "pretrain", watched)
    with pytest.raises(KeyboardInterrupt):
        ladder.run_ladder(1, out, corpus=texts)
    record = ladder.run_ladder(1, out, corpus=texts)  # goes on
    assert [count for name, count in trained if name.startswith("w32")] == [3] * 7
    assert all(count == 0 for name, count in trained[:10])
    points, left_out = read_points(out / "points.csv")
    assert len(points) == 12 and len(record.cells) == 12 + 2 * 4 and not left_out
    with open(out / "points.csv") as file:
        assert next(csv.reader(file)) == list(ladder.COLUMNS)
    rows = ladder.prediction_rows(record, out)
    assert len(rows) == 3 and all(row[4] in ("yes", "no") for row in rows)
    checks = ladder.rule_rows(record, out)
    assert [row[0] for row in checks] == [f"{c.parameters:,}" for c in record.cells[:: len(record.cells) - 1]]
    assert all(len(row) == len(ladder.RULE_HEADER) and float(row[3]) != 0 != float(row[5]) for row in checks)
    with pytest.raises(FolderError, match="holds a ladder of 1 minutes"):
        ladder.run_ladder(2, out, corpus=texts)
    with pytest.raises(FolderError, match="holds a ladder of 1 minutes without --trunk"):
        ladder.run_ladder(1, out, corpus=texts, trunk=True)


@pytest.mark.slow
def test_a_ladder_with_a_trunk_has_the_cells_that_are_trained_alone(
    texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped once in the middle of a trunk; with two seeds of two cells, and a law of its points."""
    small(monkeypatch, seeds=2)
    out, begun = tmp_path / "out", []
    real = ladder.pretrain

    def watched(settings, folder, command, *, begin, **shared):
        begun.append((folder.name, begin and begin.name))
        if len(begun) == 9:
            raise KeyboardInterrupt
        return real(settings, folder, command, begin=begin, **shared)

    monkeypatch.setattr(ladder, "pretrain", watched)
    with pytest.raises(KeyboardInterrupt):
        ladder.run_ladder(1, out, corpus=texts, trunk=True)
    record = ladder.run_ladder(1, out, corpus=texts, trunk=True)
    assert record.trunk and len(record.predictions) == 3
    assert ("w8-r3-s1", "w8-r1-s1") in begun and ("w8-r2-s0", "w8-r1-s0") in begun and ("w32-r1-s0", None) in begun
    with open(out / "points.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*ladder.COLUMNS, *ladder.TRUNK_COLUMNS]
    cells = [cell for cell in record.cells if not cell.is_check]
    assert len(rows) == len(cells) == 14
    for cell, row in zip(cells, rows, strict=True):
        settings = ladder.settings_in(cell, texts, trunk=True)
        alone = real(settings, tmp_path / "alone" / cell.name, tokenizers=out / "tokenizer")
        mine = PretrainRecord.read(out / "cells" / cell.name)
        assert (mine.shared_steps is None) == (cell.ratio == 1)
        assert mine == alone.model_copy(update={"shared_steps": mine.shared_steps})
        assert float(row["flops"]) == pytest.approx(alone.flops, rel=1e-5) and int(row["tokens"]) == alone.tokens
        steps = read_lines_of(Step, out / "cells" / cell.name / METRICS_FILE)
        assert int(row["shared_steps"]) == (mine.shared_steps or 0) == sum(step.seconds == 0 for step in steps)
        assert float(row["seconds"]) == pytest.approx(sum(step.seconds for step in steps), abs=1e-3)
    assert all(float(row[3]) != 0 != float(row[5]) for row in ladder.rule_rows(record, out))
    assert fit_points(out / "points.csv", tmp_path / "law", resamples=20).points == 14
