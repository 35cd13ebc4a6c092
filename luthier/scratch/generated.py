"""Generated sequences that ask for one ability: associative recall, copying, counting. Imports no torch.

Each is a list of ids and the positions whose token can be known from what stands before it; all others are random.
"""

from __future__ import annotations

import random

Sequence = tuple[list[int], list[int]]  # ids, positions that can be known


def recall(vocabulary: int, pairs: int, dice: random.Random) -> Sequence:
    """Pairs of a key and a value, then all keys again in another order, each with its value to be known.

    Keys are the lower half of the ids, values the upper (associative recall: Graves et al. 2014; Arora et al. 2023).
    """
    keys = dice.sample(range(vocabulary // 2), pairs)
    value = {key: dice.randrange(vocabulary // 2, vocabulary) for key in keys}
    again = dice.sample(keys, pairs)
    ids = [token for key in [*keys, *again] for token in (key, value[key])]
    return ids, [2 * pairs + 2 * n + 1 for n in range(pairs)]


def distances(ids: list[int], known: list[int]) -> list[int]:
    """How many tokens lie between a recalled value and where it stood first."""
    first = {ids[n]: n for n in range(len(known) * 2 - 2, -1, -2)}  # key -> its first place
    return [position - 1 - first[ids[position - 1]] for position in known]


def copying(vocabulary: int, length: int, dice: random.Random) -> Sequence:
    """Random ids, the border 0, and the ids again."""
    ids = [dice.randrange(1, vocabulary) for _ in range(length)]
    return [*ids, 0, *ids], list(range(length + 1, 2 * length + 1))


def counting(vocabulary: int, length: int, dice: random.Random) -> Sequence:
    """A first id and a step, then the count modulo the vocabulary; known from the third on."""
    start, step = dice.randrange(vocabulary), dice.randrange(1, vocabulary)
    return [(start + n * step) % vocabulary for n in range(length)], list(range(2, length))
