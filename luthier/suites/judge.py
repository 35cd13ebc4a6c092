"""Lines of the panel -> readings, changes against the base with their verdicts, panel.json. It needs no model.

A change is paired by item, and `loss` is above 0 where the arm is worse. All changes that decide share one error rate
(Bonferroni), because they are of different units. The verdict of one instrument:

    kept         the interval's high end is below the margin: less was lost than would matter
    lost         it is not, and the low end is above 0: something was lost
    cannot tell  neither

An arm is *lost* where one instrument says so, *kept* where all that decide do, else *cannot tell*.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

from luthier.results.panel_record import Change, Kept, PanelArm, PanelItem, Reading
from luthier.stats.intervals import (
    MIN_NONZERO,
    MIN_UNITS,
    Estimate,
    Interval,
    ends_of,
    finite_or_none,
    mean_of,
    paired,
)
from luthier.stats.power import detectable_difference
from luthier.stats.simultaneous import cautious, simultaneous_level
from luthier.suites.instruments import DECIDING, INSTRUMENTS, LEVEL, Instrument

Lines = Mapping[str, Sequence[PanelItem]]  # instrument -> its lines, in the order of its items


def readings(lines: Lines) -> dict[str, Reading]:
    """instrument -> reading of one model."""
    return {name: _reading(INSTRUMENTS[name], rows) for name, rows in lines.items() if rows}


def _reading(instrument: Instrument, rows: Sequence[PanelItem]) -> Reading:
    estimate = mean_of([row.value for row in rows])
    if instrument.ends:
        estimate = estimate.within(instrument.ends)
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row.value)
    means = {group: fmean(values) for group, values in groups.items()}
    return Reading(mean=estimate.value, **ends_of(estimate.interval(LEVEL)), n=estimate.n, groups=means)


def comparisons_of(arms: Collection[str]) -> int:
    """How many changes of so many arms share one error rate: those of the instruments that decide."""
    return max(1, len(arms)) * len(DECIDING)


def arm_of(base: str, before: Lines, after: Lines, margins: Mapping[str, float], comparisons: int) -> PanelArm:
    """An arm against its base. `after` may lack an instrument, which then says nothing."""
    level = simultaneous_level(LEVEL, comparisons)
    changes = {
        name: change_of(INSTRUMENTS[name], before[name], rows, margins.get(name), level)
        for name, rows in after.items()
        if rows
    }
    changed = [row.changed for row in after.get("drift", ()) if row.changed is not None]
    return PanelArm(
        base=base,
        readings=readings(after),
        changes=changes,
        changed_answers=fmean(changed) if changed else None,
        verdict=_overall([changes[name].verdict if name in changes else None for name in DECIDING]),
    )


def change_of(
    instrument: Instrument, before: Sequence[PanelItem], after: Sequence[PanelItem], margin: float | None, level: float
) -> Change:
    """The change on one instrument. Both hold the same items in the same order."""
    assert [row.id for row in before] == [row.id for row in after]
    sign = instrument.worse
    loss = paired([sign * row.value for row in after], [sign * row.value for row in before])
    ends = loss.interval(level)
    return Change(
        loss=loss.value,
        **ends_of(ends),
        n=loss.n,
        sd=finite_or_none(loss.sd),
        nonzero=loss.nonzero,
        verdict=None if margin is None else verdict(loss, ends, margin, level, bounded=instrument.ends is not None),
        detectable=detectable_difference(loss.n, loss.sd, level=level) if loss.n > 1 else None,
    )


def verdict(loss: Estimate, ends: Interval, margin: float, level: float, *, bounded: bool) -> Kept:
    """The verdict of one instrument. `bounded`: whether one unit's change lies within -1..1.

    Where hardly any unit changed, the spread is unknown: a bounded change is kept when so few that may change leave no
    room for the margin (`cautious`); one without bounds is kept when none changed at all.
    """
    if loss.n < MIN_UNITS:
        return "cannot tell"
    if loss.nonzero < MIN_NONZERO:
        kept = cautious(loss, level).high < margin if bounded else not loss.nonzero
        return "kept" if kept else "cannot tell"
    if ends.high < margin:
        return "kept"
    return "lost" if ends.low > 0 else "cannot tell"


def _overall(verdicts: Sequence[Kept | None]) -> Kept:
    if "lost" in verdicts:
        return "lost"
    return "kept" if all(one == "kept" for one in verdicts) else "cannot tell"
