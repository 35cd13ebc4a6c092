"""How busy others kept the machine while a command ran: a run that they disturbed is refused and made again.

A machine that does other work makes every tool slower, and not each by as much. What others used is luthier's own
sum (luthier.machine.Spent).
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_OTHERS = 0.1  # of a core


@dataclass(frozen=True)
class Quiet:
    """When a run is refused: where others used more than `most` of a core during it. It is tried `tries` times, with
    `pause` seconds before each further one.
    """

    most: float = MOST_OTHERS
    tries: int = 3
    pause: float = 20.0

    def allows(self, others: float | None) -> bool:
        """Whether a run stands; None, where the system does not say, does."""
        return others is None or others <= self.most
