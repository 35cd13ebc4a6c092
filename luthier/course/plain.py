"""Values as plain JSON, and when two of them are the same: what a child hands to its parent, which compares.

Only values of the very types of Python, torch and numpy are taken. An object of a learner's own class, whose `__eq__`
may say anything, is none of them. Imports nothing of the house, since it also runs in a child.
"""

from __future__ import annotations

import math
from typing import Any

MOST_VALUES = 100_000
RELATIVE = 1e-6


def plain(value: Any, room: list[int] | None = None) -> Any:
    """JSON of a value. Raises TypeError for a type that is no plain one, ValueError for too many values."""
    left = room if room is not None else [MOST_VALUES]
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind in (list, tuple):
        return [plain(one, left) for one in value]
    if kind in (set, frozenset):
        return {"set": sorted((plain(one, left) for one in value), key=repr)}
    if isinstance(value, dict):  # also a Counter or a defaultdict; what its class says of its items counts for nothing
        pairs = [[plain(key, left), plain(one, left)] for key, one in dict.items(value)]
        return {"dict": sorted(pairs, key=lambda pair: repr(pair[0]))}
    if kind.__module__ in ("torch", "numpy") and kind.__name__ in _NUMBERS:
        return plain(value.tolist(), left)
    raise TypeError(f"it is a {kind.__name__}, and not a number, a text, or a list of these")


_NUMBERS = {"Tensor", "ndarray", "float64", "float32", "int64", "int32", "bool_", "bool"}


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal; floats within a millionth, and 4 is 4.0, but True is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        try:
            return one == other or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=1e-9)
        except OverflowError:  # a whole number that is no float
            return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(type(one) is type(other) and one == other)
