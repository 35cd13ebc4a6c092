"""What fits into a memory: the most rows at once, the widest precision, the smallest listed device, and what to change.

A change is tried by planning the arm again. Changes stand in the order of what they cost: first those that cost only
time, then those that round the base, then those that change what is learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from luthier.planning.devices import DEVICES, Device

MOST_ROWS = 4096  # that are looked for
SPLIT = 8  # devices of the largest machine for rent
WIDEST_FIRST = ("32", "16", "8", "4")  # bits of a frozen weight


@dataclass(frozen=True)
class Question:
    """An arm as `fits` varies it. `bits` of the model's weights; `rows` at once; `tokens` of the longest row.

    `trains`: whether rows and recomputation are a choice. `shards`: whether the loop may be split over devices.
    """

    bits: str
    rows: int
    tokens: int
    recompute: bool
    method: str
    devices: int = 1
    trains: bool = True
    shards: bool = True


@dataclass(frozen=True)
class Change:
    """One change, with the bytes that are needed after it, and after those before it where none alone is enough."""

    words: str
    bytes: float


@dataclass(frozen=True)
class Fits:
    """`rows` None: not even one row fits, or the arm does not train, and answers as many at once as there are.

    `bits` None: no precision; `device` None: no listed one is large enough. `trains`: whether the arm does; then
    `bytes` are those of its training, and `answering` those that it answers with.
    """

    bytes: float
    memory: float
    rows: int | None
    bits: str | None
    device: str | None
    changes: list[Change]
    trains: bool = True
    answering: float = 0.0

    @property
    def answers(self) -> bool:
        """Whether an arm that trains fits while it answers, too."""
        return self.answering <= self.memory

    @property
    def fits(self) -> bool:
        return self.bytes <= self.memory


Step = tuple[str, dict[str, Any]]  # what is changed in words, and the fields of Question
Peak = Callable[[Question], float | None]  # bytes; None where the method does not go with the change


def fits(question: Question, memory: float, peak: Peak, answering: float = 0.0) -> Fits:
    """What of `question` fits into `memory` bytes. `peak` plans it; `answering` are the bytes of a trained arm then."""
    peak = cache(peak)  # the ways of asking overlap
    needed = peak(question)
    total = float("inf") if needed is None else needed
    return Fits(
        bytes=total,
        memory=memory,
        rows=_most_rows(question, memory, peak) if question.trains else None,
        bits=next((bits for bits in WIDEST_FIRST if _within(peak(replace(question, bits=bits)), memory)), None),
        device=_smallest_device(max(total, answering)),
        changes=[] if total <= memory else _changes(question, memory, peak),
        trains=question.trains,
        answering=answering,
    )


def _within(needed: float | None, memory: float) -> bool:
    return needed is not None and needed <= memory


def _most_rows(question: Question, memory: float, peak: Peak) -> int | None:
    """The most rows at once, found by halving: a peak grows with the rows.

    It mostly grows in proportion, so the peaks of one row and of the most say which rows to try first.
    """

    def taken(rows: int) -> float | None:
        return peak(replace(question, rows=rows))

    low, high = 1, MOST_ROWS
    least, most = taken(low), taken(high)
    if least is None or least > memory:
        return None
    if _within(most, memory):
        return high
    guess = high if most is None else low + int((memory - least) / (most - least) * (high - low))
    while high - low > 1:
        rows = next((one for one in (guess, guess + 1, guess - 1) if low < one < high), (low + high) // 2)
        low, high = (rows, high) if _within(taken(rows), memory) else (low, rows)
    return low


def _smallest_device(needed: float) -> str | None:
    large: list[Device] = sorted(DEVICES.values(), key=lambda one: (one.memory, one.name))
    return next((one.name for one in large if one.memory >= needed), None)


def _changes(question: Question, memory: float, peak: Peak, most: int = 3) -> list[Change]:
    """The cheapest changes that make it fit: single ones, else the fewest together."""
    steps: list[Step] = []
    if question.trains and question.rows > 1:
        steps.append(("one row at a time", {"rows": 1}))
    if question.trains and not question.recompute:
        steps.append(("compute the blocks again on the way back", {"recompute": True}))
    narrower = WIDEST_FIRST[WIDEST_FIRST.index(question.bits) + 1 :] if question.bits in WIDEST_FIRST else ()
    own = question.method in ("full", "domain", "select", "bitfit")  # its own weights move
    steps += [(f"{bits} bits for {'the' if own else 'frozen'} weights", {"bits": bits}) for bits in narrower]
    if own:
        steps.append(("lora instead of " + question.method, {"method": "lora"}))
    if question.tokens > 1:
        steps.append(("rows half as long", {"tokens": question.tokens // 2}))
    if question.shards and question.devices < SPLIT:
        steps.append((f"split over {SPLIT} devices (fsdp)", {"devices": SPLIT}))
    found = [
        Change(words, needed)
        for words, keys in steps
        if (needed := peak(replace(question, **keys))) is not None and needed <= memory
    ]
    if found:
        return found[:most]
    return _together(question, memory, peak, steps)


def _together(question: Question, memory: float, peak: Peak, steps: list[Step]) -> list[Change]:
    """The first changes that together make it fit, each with the bytes that are needed after it.

    A change that alone saves nothing may do so after another. Of two that change the same, the later one stays.
    """
    done: dict[tuple[str, ...], Change] = {}
    now, needed = question, peak(question)
    while needed is None or needed > memory:
        for words, keys in steps:
            after = peak(replace(now, **keys))
            if after is not None and (needed is None or after < needed):
                done.pop(tuple(keys), None)
                done[tuple(keys)] = Change(words, after)
                now, needed = replace(now, **keys), after
                break
        else:
            return []
    return list(done.values())
