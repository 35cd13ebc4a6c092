"""Generated sequences: what is said to be known can be known, and from what stands before it."""

from __future__ import annotations

import random

import pytest

from luthier.scratch.generated import copying, counting, distances, recall


@pytest.mark.parametrize("seed", range(20))
def test_recalled_values_stood_behind_their_keys(seed: int) -> None:
    ids, known = recall(64, 8, random.Random(seed))
    assert len(ids) == 32 and known == list(range(17, 32, 2))
    for position, distance in zip(known, distances(ids, known), strict=True):
        first = position - 1 - distance
        assert first < 16 and ids[first] == ids[position - 1] and ids[first + 1] == ids[position]


def test_a_copy_is_the_same_and_a_count_goes_on() -> None:
    ids, known = copying(32, 10, random.Random(0))
    assert [ids[n] for n in known] == ids[:10] and ids[10] == 0
    ids, known = counting(17, 12, random.Random(0))
    assert all((ids[n] - ids[n - 1]) % 17 == (ids[1] - ids[0]) % 17 for n in known)
