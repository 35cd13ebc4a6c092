"""What arms gained on the task against what they kept of general abilities: rows and figure, from panel.json.

Both are differences to the arm's own base, which may be another one than the study's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from luthier.reports.plots import BAND, GREY, KINDS, bend, bent, draw, names_beside, quiet_axes
from luthier.reports.read import ArmPage, StudyPage
from luthier.results.comparison import Pair
from luthier.results.panel_record import PanelArm
from luthier.results.study_record import ArmTable, StudyRecord

BASE = "zero-shot"  # the base model as every study asks it


@dataclass(frozen=True)
class ForgettingRow:
    """One arm of the panel: its gain over the base on the task's deciding metric, and what it kept."""

    arm: ArmPage
    gain: Pair | None  # the arm against its own base; None where one of them was not compared
    kept: PanelArm
    without_gain: str | None = None  # why the study cannot say what the arm gained


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
    rows = []
    for arm in page.arms:
        if arm.name not in asked:
            continue
        base = _own_base(page.study, arm.name)
        gain = page.compare.pair(arm.name, base) if base else None
        rows.append(ForgettingRow(arm, gain, asked[arm.name], None if base else _unknown(page.study, arm.name)))
    return rows


def _own_base(study: StudyRecord, arm: str) -> str | None:
    """The arm that asks the base of `arm` as zero-shot asks the study's; None where there is none."""
    if BASE not in study.arms or arm not in study.arms:
        return None

    def asked(name: str, of: str) -> ArmTable:
        """The arm's settings, with the hash of the base of `of` in the place of a model's name."""
        model = study.arms[of].model
        origin = study.models.get(model, study.model) if model else study.model
        return study.arms[name].model_copy(update={"model": origin.base_sha256})

    wanted = asked(BASE, arm)
    return next((name for name in (BASE, *study.arms) if asked(name, name) == wanted), None)


def _unknown(study: StudyRecord, arm: str) -> str:
    model = (study.arms[arm].model if arm in study.arms else None) or study.model.name
    return (
        f"What {arm} gained over its base is not known: no arm asks {model} as zero-shot does. "
        f"Add the arm zero-shot+model={model}."
    )


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
    """Two differences of each arm with both intervals; lines at 0, and a band up to the `margin` on x.

    What lies far beyond twice the margin is drawn nearer (`plots.bent`).
    """
    said = bent([end for arm in arms for end in arm.x], 2 * margin)
    x += f", {said}" if said else ""

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
        if said:
            bend(axes, 2 * margin)
        names_beside(figure, axes, [(arm.name, arm.x[0], arm.y[0], KINDS[arm.kind][0]) for arm in arms])
        quiet_axes(axes, x, y)

    words = "; ".join(f"{arm.name} {_ends(arm.y)} at {_ends(arm.x)}" for arm in arms)
    return draw(key, f"{y} against {x}: {words}.", paint, max(2.7, 0.8 + 0.22 * len(arms)))


def _ends(of: tuple[float, float | None, float | None]) -> str:
    value, low, high = of
    return f"{value:+.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
