"""Drawn rows follow from seed and step, and a tiny model learns from them through the one loop."""

from __future__ import annotations

import random

import torch

from luthier.scratch.drawn import DrawnRows, moved_letters, share_right, train_drawn
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Transformer


def repeat(dice: random.Random) -> Row:
    """The target of a token is the token itself, but for the first one."""
    ids = tuple(dice.randrange(8) for _ in range(6))
    return Row(ids, (0,) * 6, (IGNORE, *ids[1:]))


def test_letters_move_round_the_alphabet() -> None:
    row = moved_letters(random.Random(0), 9, 3, letters=5)
    assert row.ids[0] == 9 and len(row.ids) == 7 and row.targets[0] == IGNORE and max(row.ids[1:]) < 5
    assert row.targets[1:] == tuple((one + 3) % 5 for one in row.ids[1:])
    assert moved_letters(random.Random(0), 9, 3, letters=5) == row


def test_rows_go_on_where_they_stood() -> None:
    rows = list(DrawnRows(repeat, steps=5, rows=3, seed=1))
    later = DrawnRows(repeat, steps=5, rows=3, seed=1)
    later.load_state_dict({"position": 3})
    assert list(later) == rows[3:] and len(rows) == len(later) == 5
    assert rows != list(DrawnRows(repeat, steps=5, rows=3, seed=2))


def test_a_model_learns_and_its_losses_are_those_of_the_steps() -> None:
    torch.manual_seed(0)
    model = Transformer(Shape(vocabulary=8, width=16, layers=1, heads=2))
    before = share_right(model, repeat)
    losses = train_drawn(model, repeat, steps=60, rows=16, learning_rate=1e-2)
    assert len(losses) == 60 and losses[-1] < losses[0] / 2
    assert share_right(model, repeat) > max(0.9, before)
