"""panel.json: general abilities before and after training, and the lines of what was asked.

PanelItem   one item asked of one model: a line of panel/NAME.jsonl
Reading     a model on one instrument          Change   an arm against its base on one instrument, with its verdict
PanelArm    one arm: its readings, its changes, its verdict
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from luthier.results.record import FirstFormat, Number, Part, Record

Kept = Literal["kept", "lost", "cannot tell"]
ITEMS_FOLDER = "panel"  # beside panel.json: a file of lines for each model


class PanelItem(Part):
    """One item of one instrument, asked of one model. Of `value` the instrument says what it means."""

    instrument: str
    id: str
    group: str
    value: Number
    nats: Number | None = None  # of a document, or of a pair's right sentence
    wrong_nats: Number | None = None  # of a pair's wrong sentence
    bytes: int | None = None  # of a document
    tokens: list[int] | None = None  # of the base's own answer, from which drift is measured
    text: str | None = None  # an answer
    changed: bool | None = None  # drift: whether another token is the likeliest one somewhere in the answer


class Reading(Part):
    """A model on one instrument: the mean over its units with an interval for it alone."""

    mean: Number
    low: Number | None
    high: Number | None
    n: int
    groups: dict[str, Number]  # group -> its mean


class Change(Part):
    """An arm against its base on one instrument, item by item. `loss` is above 0 where the arm is worse.

    `low` and `high` hold for all changes of this panel at once.
    """

    loss: Number
    low: Number | None
    high: Number | None
    n: int
    sd: Number | None  # of one unit's change
    nonzero: int  # units that changed at all
    verdict: Kept | None  # None: this instrument only describes
    detectable: Number | None  # a true loss that as many units show in 80 of 100 panels, if they vary as these did


class PanelArm(Part):
    """One arm, or a model held against another."""

    base: str  # a key of `bases`
    readings: dict[str, Reading]  # by instrument
    changes: dict[str, Change]
    changed_answers: Number | None  # the share of plain requests whose answer changed
    verdict: Kept  # lost: on some instrument; kept: on all that decide


class Asked(Part):
    """An instrument of this panel."""

    unit: str
    items: int
    margin: Number | None  # the loss that would matter; None: it only describes
    before: str  # what it can detect, said before the run
    sha256: str  # of its items


class Panel(Record):
    """General abilities of a base and of what was trained on it."""

    FILE: ClassVar[str] = "panel.json"
    REMEDY: ClassVar[str] = "remove the file and start the panel again"

    format: FirstFormat
    command: str
    versions: dict[str, str]
    level: Number  # of readings alone, and of all changes together
    comparisons: int  # changes that share one error rate
    instruments: dict[str, Asked]
    weights: dict[str, str]  # base or arm -> what its weights are known by
    bases: dict[str, dict[str, Reading]]  # base -> instrument -> reading
    arms: dict[str, PanelArm]
    left_out: dict[str, str]  # arm -> why it is not in the panel

    @property
    def not_kept(self) -> dict[str, Kept]:
        """The arms that are not shown to be kept, with their verdicts; of an arm that was left out nobody can tell."""
        judged: dict[str, Kept] = {name: arm.verdict for name, arm in self.arms.items() if arm.verdict != "kept"}
        return judged | dict.fromkeys(self.left_out, "cannot tell")


def items_file(folder: Path, name: str, mark: str) -> Path:
    """Where the lines of a base or an arm stand. `mark` is a hash of its weights and of the items: lines of other
    weights have another file."""
    return folder / ITEMS_FOLDER / f"{name.replace('/', '-')}-{mark[:12]}.jsonl"
