"""Training batches: every example once an epoch, in an order that seed and place decide, within the memory allowed."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.records import Prompt
from luthier.training.batches import Batches, length_of, micro_batches


def prompts(lengths: list[int]) -> list[Prompt]:
    return [Prompt(f"p{i}", "", tuple(range(n)), (1, 2)) for i, n in enumerate(lengths)]


def made(
    count: int = 50, *, batch_size: int = 8, micro_tokens: int = 100, epochs: float = 1.0, seed: int = 0
) -> Batches:
    rows = prompts([(i * 37) % 90 + 1 for i in range(count)])
    return Batches(rows, batch_size=batch_size, micro_tokens=micro_tokens, epochs=epochs, seed=seed)


def ids(step: list[list[Prompt]]) -> list[str]:
    return [prompt.id for part in step for prompt in part]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 50, 300])
def test_every_example_once_an_epoch(count: int) -> None:
    batches = made(count, epochs=3)
    steps = list(batches)
    assert len(steps) == len(batches) == 3 * -(-count // 8)
    epoch = len(steps) // 3
    for start in range(0, len(steps), epoch):
        seen = Counter(id for step in steps[start : start + epoch] for id in ids(step))
        assert seen == Counter({f"p{i}": 1 for i in range(count)})


def test_the_order_is_the_seeds_and_changes_with_the_epoch() -> None:
    orders = [[ids(step) for step in made(seed=seed, epochs=2)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    half = len(orders[0]) // 2
    assert orders[0][:half] != orders[0][half:]


@pytest.mark.parametrize("epochs, steps", [(0.01, 1), (0.5, 4), (1.0, 7), (1.5, 11)])
def test_parts_of_an_epoch(epochs: float, steps: int) -> None:
    assert len(list(made(epochs=epochs))) == steps


def test_it_goes_on_from_anywhere() -> None:
    whole = [ids(step) for step in made(epochs=2.5)]
    for stop in range(len(whole) + 1):
        first = made(epochs=2.5)
        before = [ids(step) for step in itertools.islice(first, stop)]
        second = made(epochs=2.5)
        second.load_state_dict(first.state_dict())
        assert before + [ids(step) for step in second] == whole


def test_batches_hold_like_lengths_and_are_mixed() -> None:
    batches = made(400, batch_size=8)
    steps = [[length_of(p) for part in step for p in part] for step in batches]
    padded = sum(max(step) * len(step) for step in steps)
    assert padded / sum(map(sum, steps)) < 1.1
    longest = [max(step) for step in steps]
    assert longest != sorted(longest)


@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=40), micro_tokens=st.integers(1, 600))
def test_micro_batches_are_the_batch_within_the_memory(lengths: list[int], micro_tokens: int) -> None:
    batch = prompts(lengths)
    parts = micro_batches(batch, micro_tokens)
    assert Counter(id for part in parts for id in ids([part])) == Counter(p.id for p in batch)
    for part in parts:
        assert len(part) == 1 or len(part) * max(map(length_of, part)) <= micro_tokens


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(SettingsError, match="no training example"):
        made(0)
