"""Verdicts of the panel: planted losses are found, equal models are not called lost, hardly any change is no spread."""

from __future__ import annotations

import pytest

from luthier.results.panel_record import PanelItem
from luthier.stats.intervals import paired
from luthier.suites.instruments import DECIDING, INSTRUMENTS, LEVEL, margins_from
from luthier.suites.judge import arm_of, change_of, comparisons_of, readings, verdict
from tests.suites.lines import lines, redrawn

MARGINS, THREE = margins_from(None), comparisons_of(["arm"])


def test_an_arm_that_is_its_base_is_kept() -> None:
    arm = arm_of("base", lines(), lines(), MARGINS, THREE)
    assert arm.verdict == "kept"
    assert all(change.loss == 0 and change.nonzero == 0 for change in arm.changes.values())


@pytest.mark.parametrize(("instrument", "loss"), [("text", 0.1), ("pairs", 0.2), ("following", 0.15)])
def test_a_planted_loss_is_found_on_its_instrument(instrument: str, loss: float) -> None:
    arm = arm_of("base", lines(), lines(**{instrument: loss}), MARGINS, THREE)
    assert arm.verdict == "lost"
    assert arm.changes[instrument].verdict == "lost"
    assert arm.changes[instrument].loss == pytest.approx(loss, rel=0.5)
    assert {arm.changes[name].verdict for name in DECIDING if name != instrument} <= {"kept"}


def test_a_loss_below_the_margin_is_kept_and_one_around_it_cannot_be_told() -> None:
    assert arm_of("base", lines(), lines(text=0.02), MARGINS, THREE).verdict == "kept"
    narrow = {**MARGINS, "following": 0.01}
    arm = arm_of("base", lines(), lines(following=0.004), narrow, THREE)
    assert arm.changes["following"].verdict == "cannot tell" and arm.verdict == "cannot tell"


def test_drift_describes_and_never_decides() -> None:
    arm = arm_of("base", lines(), lines(drift=3.0), MARGINS, THREE)
    assert arm.changes["drift"].loss == pytest.approx(3) and arm.changes["drift"].verdict is None
    assert arm.verdict == "kept"


def test_a_panel_without_an_instrument_is_not_kept() -> None:
    after = {name: rows for name, rows in lines().items() if name != "pairs"}
    assert arm_of("base", lines(), after, MARGINS, THREE).verdict == "cannot tell"


def test_equal_models_are_lost_in_at_most_a_twentieth_of_redraws() -> None:
    """Two models that differ on many items and of which neither is better; the margins are too small to be kept."""
    margins = dict.fromkeys(DECIDING, 1e-6)
    before, after = lines(), lines(text=0.0, pairs=0.1, following=0.05)
    lost = 0
    for seed in range(200):
        lost += arm_of("base", *redrawn(before, after, seed, swap=True), margins, THREE).verdict == "lost"
    assert lost <= 10
    assert arm_of("base", before, after, margins, THREE).verdict == "lost", "without the exchange there is a loss"


def test_where_hardly_any_item_changed_the_spread_is_not_believed() -> None:
    few = paired([1.0] * 3 + [0.0] * 597, [0.0] * 600)
    none = paired([0.0] * 600, [0.0] * 600)
    level = 1 - (1 - LEVEL) / 3
    assert verdict(few, few.interval(level), 0.05, level, bounded=True) == "kept"
    assert verdict(few, few.interval(level), 0.004, level, bounded=True) == "cannot tell"
    assert verdict(few, few.interval(level), 0.05, level, bounded=False) == "cannot tell"
    assert verdict(none, none.interval(level), 0.05, level, bounded=False) == "kept"


def test_a_change_is_of_the_same_items_in_the_same_order() -> None:
    rows = lines()["pairs"]
    with pytest.raises(AssertionError):
        change_of(INSTRUMENTS["pairs"], rows, rows[::-1], 0.05, LEVEL)


def test_a_reading_has_its_interval_inside_the_scale_and_a_mean_for_each_group() -> None:
    rows = [PanelItem(instrument="pairs", id=str(i), group="ab"[i % 2], value=1.0 - (i == 0)) for i in range(40)]
    reading = readings({"pairs": rows})["pairs"]
    assert reading.n == 40 and reading.groups == {"a": 0.95, "b": 1.0}
    assert reading.high is not None and reading.high <= 1
