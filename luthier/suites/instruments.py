"""The four instruments of the panel: what each asks, what its number means, and what loss would matter.

    text       bits per UTF-8 byte of a document, its end included; unit: a document
    pairs      1 where the right sentence of a minimal pair is likelier, 1/2 for a tie; unit: a pair
    following  the share of an instruction's requirements that the answer obeys; unit: an instruction
    drift      KL(base || arm) in nats a token, over the base's own greedy answer; unit: a request

Drift has no margin: an answer that changed need not be worse. It describes how far an arm has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.errors import SettingsError
from luthier.settings import assignments
from luthier.stats.power import detectable_difference
from luthier.suites.instructions import instructions
from luthier.suites.items import Item
from luthier.suites.minimal_pairs import minimal_pairs
from luthier.suites.texts import documents, requests

LEVEL = 0.95  # of readings alone, and of all changes of a panel together
TIE = 1e-4  # nats; two sentences that differ by less are equally likely


@dataclass(frozen=True)
class Instrument:
    """One way to ask a model. `worse` is 1 where a higher value is worse, else -1.

    `usual_sd` is a standard deviation of one unit's change, from which the panel says before the run what it can
    detect: near the upper end of what arms that still did their task had (docs/forgetting.md). After the run panel.json
    holds the measured one, and what it detects.
    """

    name: str
    words: str
    unit: str
    worse: int
    usual_sd: float
    margin: float | None
    items: Callable[[], Sequence[Item]]
    ends: tuple[float, float] | None = None  # of its scale

    def before(self, comparisons: int) -> str:
        """What it can detect, in one sentence, before anything is asked."""
        count = len(self.items())
        least = detectable_difference(count, self.usual_sd, comparisons)
        matters = f"; {self.margin:g} would matter" if self.margin is not None else "; it describes and never decides"
        return (
            f"{self.name}: {count} {self.unit}s show a change of {least:.2g} in {self.words} in 80 of 100 panels, if "
            f"their changes have a standard deviation of {self.usual_sd:g}{matters}."
        )


INSTRUMENTS: dict[str, Instrument] = {
    one.name: one
    for one in (
        Instrument("text", "bits per byte", "document", 1, 0.04, 0.05, documents),
        Instrument("pairs", "the share of right choices", "pair", -1, 0.3, 0.05, minimal_pairs, (0.0, 1.0)),
        Instrument(
            "following", "the share of obeyed requirements", "instruction", -1, 0.25, 0.1, instructions, (0.0, 1.0)
        ),
        Instrument("drift", "KL in nats a token", "request", 1, 0.3, None, requests),
    )
}
DECIDING = tuple(name for name, one in INSTRUMENTS.items() if one.margin is not None)


def margins_from(text: str | Mapping[str, Any] | None) -> dict[str, float]:
    """instrument -> margin of those that decide: as `text` (`text=0.02,pairs=0.03`) says, else the usual ones.

    Raises SettingsError for another instrument, or a margin that is not above 0.
    """
    given = assignments(text, "margin") if isinstance(text, str) else dict(text or {})
    margins = {name: float(INSTRUMENTS[name].margin or 0) for name in DECIDING}
    for name, margin in given.items():
        if name not in margins:
            raise SettingsError(f"margin: '{name}' is no instrument that decides; there are: {', '.join(margins)}")
        if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 < margin < 100:
            raise SettingsError(f"margin: {name} is {margin!r}; give a number above 0, such as {name}={margins[name]}")
        margins[name] = float(margin)
    return margins
