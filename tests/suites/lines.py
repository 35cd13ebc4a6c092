"""Lines of a panel, made up: a base, and arms that lost as much as a test says."""

from __future__ import annotations

import random

from luthier.results.panel_record import PanelItem
from luthier.suites.instruments import INSTRUMENTS
from luthier.suites.judge import Lines


def lines(seed: int = 0, **worse: float) -> dict[str, list[PanelItem]]:
    """A model's lines. It is worse than `lines()` by about so much: `text=0.1` needs a tenth of a bit more."""
    made: dict[str, list[PanelItem]] = {}
    for name, one in INSTRUMENTS.items():
        draw, own = random.Random(f"base-{name}"), random.Random(f"own-{name}-{seed}")
        rows = []
        for item in one.items():
            value, by = draw.random(), worse.get(name, 0.0)
            if name == "text":
                value = 1 + value / 2 + (by + own.gauss(0, 0.02) if worse else 0)
            elif name == "pairs":
                value = float(value < 0.85) if own.random() >= 2 * by or not worse else float(own.random() < 0.5)
            elif name == "following":
                value = min(1.0, max(0.0, round(4 * value) / 4 - (0.25 if own.random() < 4 * by else 0)))
            else:
                value = by
            rows.append(PanelItem(instrument=name, id=item.id, group=item.group, value=value))
        made[name] = rows
    return made


def redrawn(before: Lines, after: Lines, seed: int, swap: bool = False) -> tuple[Lines, Lines]:
    """Both with items drawn again with replacement; `swap` exchanges the two at random, item by item, so that neither
    is better."""
    pairs: tuple[dict[str, list[PanelItem]], dict[str, list[PanelItem]]] = ({}, {})
    for name in after:
        draw = random.Random(f"redraw-{name}-{seed}")
        for a, b in draw.choices(list(zip(before[name], after[name], strict=True)), k=len(after[name])):
            both = (b, a) if swap and draw.random() < 0.5 else (a, b)
            for rows, row in zip(pairs, both, strict=True):
                rows.setdefault(name, []).append(row)
    return pairs
