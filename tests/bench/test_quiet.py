"""What is quiet enough for a run to stand."""

from __future__ import annotations

import math

from bench.quiet import Quiet


def test_what_is_quiet_enough() -> None:
    quiet = Quiet(most=0.1)
    assert quiet.allows(0.1) and quiet.allows(None) and not quiet.allows(0.11)
    assert Quiet(most=math.inf).allows(64.0)
