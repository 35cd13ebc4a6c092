"""What arms gained on the task against what they kept of general abilities: rows and figure, from panel.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from luthier.reports.plots import BAND, GREY, KINDS, draw, names_beside, quiet_axes
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


@dataclass(frozen=True)
class Crossed:
    """An arm between two differences, each as (value, low, high) of its interval; an unknown end is None."""

    name: str
    kind: str  # a key of plots.KINDS
    x: tuple[float, float | None, float | None]
    y: tuple[float, float | None, float | None]


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


def crosses(key: str, arms: Sequence[Crossed], x: str, y: str, margin: float) -> str:
    """Two differences of each arm with both intervals; lines at 0, and a band up to the `margin` on x."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvspan(0, margin, color=BAND, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=1, linestyle="--")
        axes.axhline(0, color=GREY, linewidth=1, linestyle="--")
        for arm in arms:
            colour, marker = KINDS[arm.kind]
            (at, left, right), (height, low, high) = arm.x, arm.y
            if left is not None and right is not None:
                axes.plot((left, right), (height, height), color=colour, linewidth=1.2, alpha=0.6)
            if low is not None and high is not None:
                axes.plot((at, at), (low, high), color=colour, linewidth=1.2, alpha=0.6)
            axes.plot(at, height, marker, color=colour, markersize=7, markeredgecolor="white")
        axes.margins(x=0.08)
        names_beside(figure, axes, [(arm.name, arm.x[0], arm.y[0], KINDS[arm.kind][0]) for arm in arms])
        quiet_axes(axes, x, y)

    words = "; ".join(f"{arm.name} {_ends(arm.y)} at {_ends(arm.x)}" for arm in arms)
    return draw(key, f"{y} against {x}: {words}.", paint, max(2.7, 0.8 + 0.22 * len(arms)))


def _ends(of: tuple[float, float | None, float | None]) -> str:
    value, low, high = of
    return f"{value:+.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
