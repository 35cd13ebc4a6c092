"""cost.json: what the clock and the memory said of every arm, over all sittings of a study."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from luthier.results.record import Number, Record


class Cost(Record):
    """Seconds, tokens and peaks of each arm."""

    FILE: ClassVar[str] = "cost.json"
    REMEDY: ClassVar[str] = "remove the file, and the study goes on without the seconds that were counted"

    seconds: Number = 0.0
    arms: dict[str, dict[str, Number]] = Field(default={})
