"""What the machine says of itself is plain, and peaks are measured from where one asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier import machine


def test_versions_name_what_shapes_numbers() -> None:
    found = machine.versions()
    assert {"python", "luthier", "torch", "transformers", "rouge-score"} <= set(found)


def test_the_description_is_plain_values() -> None:
    found = machine.describe("cpu")
    assert found["cores"] >= 1 and found["memory_bytes"] > 1e8 and found["device"] == "cpu"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system cannot start a peak anew")
def test_a_peak_counts_from_its_reset() -> None:
    machine.reset_peak()
    before = machine.peak_bytes()
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    assert machine.peak_bytes() > before + 150_000_000
    del held
    machine.reset_peak()
    assert machine.peak_bytes() < before + 100_000_000


def test_the_commit_is_that_of_our_own_checkout() -> None:
    commit, dirty = machine.commit()
    assert commit is None or (len(commit) == 40 and dirty in (True, False))
