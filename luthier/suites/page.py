"""panel.html: what a base knew and what each arm kept of it, instrument by instrument and group by group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from luthier.reports.plots import points
from luthier.reports.sheet import Section, write_sheet
from luthier.results.panel_record import Change, Panel, Reading
from luthier.results.ratings_record import FigureRow
from luthier.suites.instruments import INSTRUMENTS

PAGE = "panel.html"
HEADER = ("arm", "instrument", "base", "arm's", "loss", "interval", "margin", "verdict")


def change_rows(panel: Panel) -> list[tuple[str, ...]]:
    """The cells under HEADER, a row for each arm and instrument."""
    rows: list[tuple[str, ...]] = []
    for name, arm in panel.arms.items():
        for instrument, change in arm.changes.items():
            before = panel.bases[arm.base].get(instrument)
            margin = panel.instruments[instrument].margin
            rows.append((
                name, instrument, "" if instrument == "drift" else number(before.mean if before else None),
                number(arm.readings[instrument].mean), number(change.loss), ends(change),
                number(margin) if margin is not None else "none", change.verdict or "describes",
            ))  # fmt: skip
    return rows


def model_rows(panel: Panel) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(header, rows) of bases alone: a row for each instrument."""
    return ("model", "instrument", "mean", "interval", "n"), [
        (base, name, number(row.mean), ends(row), str(row.n))
        for base, rows in panel.bases.items()
        for name, row in rows.items()
    ]


def verdict_words(panel: Panel) -> list[str]:
    """One sentence for each arm, then for those that are left out."""
    said = []
    for name, arm in panel.arms.items():
        of = {
            kind: [i for i, c in arm.changes.items() if c.verdict == kind] for kind in ("lost", "kept", "cannot tell")
        }
        parts = [f"{kind} on {', '.join(of[kind])}" for kind in of if of[kind]]
        moved = "" if arm.changed_answers is None else f" {arm.changed_answers:.0%} of plain answers changed."
        said.append(f"{name}: {arm.verdict} ({'; '.join(parts)}).{moved}")
    return said + [f"{name} is not in the panel: {reason}." for name, reason in panel.left_out.items()]


def number(value: float | None) -> str:
    return "" if value is None else f"{value:z.3f}".replace("-", "\u2212")


def ends(of: Change | Reading) -> str:
    return "unknown" if of.low is None or of.high is None else f"{number(of.low)} to {number(of.high)}"


def write_page(folder: Path, panel: Panel) -> Path:
    """Writes the page beside panel.json."""
    sections = []
    if panel.arms:
        texts = [
            f"A loss is above 0 where the arm is worse. The intervals hold at once for the {panel.comparisons} changes "
            f"that decide, with {panel.level:.0%} confidence."
        ]
        sections.append(Section("What was kept", texts, HEADER, change_rows(panel)))
    sections += [_section(panel, name) for name in panel.instruments]
    weights = [f"{name}: {mark}" for name, mark in panel.weights.items()]
    sections.append(Section("Make it again", [f"versions {panel.versions}", *weights], code=panel.command))
    return write_sheet(folder / PAGE, "What was kept of what the base could do", verdict_words(panel), sections)


def _section(panel: Panel, name: str) -> Section:
    """One instrument: the losses of all arms as a figure, and the mean of every group under every model."""
    asked, instrument = panel.instruments[name], INSTRUMENTS[name]
    shown: Mapping[str, Reading] = {
        **({base: row[name] for base, row in panel.bases.items() if name in row} if name != "drift" else {}),
        **{arm: row.readings[name] for arm, row in panel.arms.items() if name in row.readings},
    }
    losses = {arm: row.changes[name] for arm, row in panel.arms.items() if name in row.changes}
    figure = points(
        f"loss-{name}",
        [FigureRow(label=arm, value=one.loss, low=one.low, high=one.high) for arm, one in losses.items()],
        f"loss in {instrument.words}", 0.0, asked.margin and 2 * asked.margin,
    ) if losses else ""  # fmt: skip
    groups = list(dict.fromkeys(group for row in shown.values() for group in row.groups))
    rows = [("all", *(number(row.mean) for row in shown.values()))]
    rows += [(group, *(number(row.groups.get(group)) for row in shown.values())) for group in groups]
    direction = "lower is better" if instrument.worse > 0 else "higher is better"
    return Section(
        f"{name}: {instrument.words}, {direction}",
        [asked.before],
        (instrument.unit + "s", *shown),
        rows if shown else [],
        figure,
    )
