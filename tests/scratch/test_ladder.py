"""scale run: what minutes buy, a largest size predicted before it is trained, and a ladder that goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from luthier.errors import FolderError, SettingsError
from luthier.results.scaling_record import LadderRecord
from luthier.scratch import ladder
from luthier.scratch.points import read_points
from luthier.scratch.pretrain import Pretraining
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


@pytest.mark.slow
def test_the_largest_size_is_predicted_before_it_is_trained(
    texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "WIDTHS", (8, 16, 24, 32))
    monkeypatch.setattr(ladder, "RATIOS", (1, 2, 3))
    monkeypatch.setattr(ladder, "SEEDS", 1)
    monkeypatch.setattr(ladder, "measured_rate", lambda: 1e13)
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
