"""What others did on the machine is what it did less what the run did."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.quiet import Quiet, Spent, machine_seconds, spent

TICKS = os.sysconf("SC_CLK_TCK")


def test_what_the_processors_did_is_read_from_the_kernel(tmp_path: Path) -> None:
    """Waiting and idling are no work, stolen time is, and a guest's is in user already."""
    file = tmp_path / "stat"
    file.write_text("cpu  100 20 30 9000 500 1 2 3 70 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    assert machine_seconds(file) == (100 + 20 + 30 + 1 + 2 + 3) / TICKS
    file.write_text("nothing of the kind\n")
    assert machine_seconds(file) is None and machine_seconds(tmp_path / "none") is None


def test_others_are_the_rest_over_the_time() -> None:
    before, after = Spent(10.0, 100.0, 5.0), Spent(20.0, 121.0, 24.0)
    assert after.others_since(before) == pytest.approx(0.2)  # 21 s of the machine less 19 of ours, in 10
    assert Spent(20.0, 110.0, 24.0).others_since(before) == 0.0  # ticks are coarse
    assert Spent(20.0, None, 24.0).others_since(before) is None
    assert before.others_since(before) is None


def test_a_child_that_was_waited_for_is_no_stranger() -> None:
    before = spent()
    work = "import time\nwhile time.process_time() < .3: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    assert spent().own - before.own >= 0.3


def test_what_is_quiet_enough() -> None:
    quiet = Quiet(most=0.1)
    assert quiet.allows(0.1) and quiet.allows(None) and not quiet.allows(0.11)
    assert Quiet(most=math.inf).allows(64.0)
