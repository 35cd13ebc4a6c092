"""What arms gained on the task against what they kept of general abilities: rows of the report, from panel.json."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.reports.plots import Crossed
from luthier.reports.read import ArmPage, StudyPage
from luthier.results.comparison import Pair
from luthier.results.panel_record import PanelArm

BASE = "zero-shot"  # the base model as every study asks it


@dataclass(frozen=True)
class ForgettingRow:
    """One arm of the panel: its gain over the base on the task's deciding metric, and what it kept."""

    arm: ArmPage
    gain: Pair | None  # the arm against the base; None where one of them was not compared
    kept: PanelArm


def forgetting_rows(page: StudyPage) -> list[ForgettingRow]:
    """A row for each arm of the panel, in the report's order."""
    asked = page.panel.arms if page.panel else {}
    return [
        ForgettingRow(arm, page.compare.pair(arm.name, BASE), asked[arm.name]) for arm in page.arms if arm.name in asked
    ]


def crossed(page: StudyPage, instrument: str) -> list[Crossed]:
    """The arms for a figure of gain against loss on one instrument, each with both intervals."""
    made = []
    for row in forgetting_rows(page):
        change, gain = row.kept.changes.get(instrument), row.gain
        if change is None or gain is None or gain.difference is None:
            continue
        made.append(
            Crossed(
                row.arm.name, row.arm.kind, (change.loss, change.low, change.high),
                (gain.difference, gain.simultaneous_low, gain.simultaneous_high),
            )
        )  # fmt: skip
    return made
