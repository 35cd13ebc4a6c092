"""How busy others kept the machine while a command ran: a run that they disturbed is refused and made again.

A machine that does other work makes every tool slower, and not each by as much. What others used is all that the
processors did (/proc/stat, man 5 proc: user, nice, system, irq, softirq and steal) less what the run and its children
used (getrusage).
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

MOST_OTHERS = 0.1  # of a core
_BUSY = (0, 1, 2, 5, 6, 7)  # columns of /proc/stat: not idle, not waiting for a disk; guests are in user already


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


@dataclass(frozen=True)
class Spent:
    """Seconds so far: on the wall's clock, of all processors (None where the system does not say), of this process and
    the children that it waited for.
    """

    wall: float
    machine: float | None
    own: float

    def others_since(self, before: Spent) -> float | None:
        """Cores that others kept busy in between."""
        if self.machine is None or before.machine is None or self.wall <= before.wall:
            return None
        others = (self.machine - before.machine) - (self.own - before.own)
        return max(0.0, others) / (self.wall - before.wall)


def spent() -> Spent:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Spent(time.monotonic(), machine_seconds(), sum(one.ru_utime + one.ru_stime for one in used))


def machine_seconds(file: Path = Path("/proc/stat")) -> float | None:
    """Seconds that all processors worked since the machine was started."""
    try:
        ticks = file.read_text().split("\n", 1)[0].split()[1:]
        return sum(int(ticks[column]) for column in _BUSY) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
