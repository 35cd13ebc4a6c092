"""What every peer's file shares: reading its order and the rows, and one JSON line at the end. No tool is touched here.

A peer is started as `python FILE ORDER`, where ORDER is JSON. The clock starts after loading, compiling and the warm-up
(one optimizer step; for generation one answer of 8 tokens), and stops when the last result is on the CPU.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple


def order() -> dict[str, Any]:
    """What to do: model folder, rows, method, batch and the peer's own options."""
    return dict(json.loads(sys.argv[1]))


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def training_batches(order: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The warm-up batch, then the timed ones: of like length, or dealt round robin where `order["mixed"]`."""
    all_rows = rows(order["rows"])
    place = "mixed" if order.get("mixed") else "batch"
    numbers = sorted({row[place] for row in all_rows if row[place] >= 0})[: order.get("steps")]
    return [[row for row in all_rows if row[place] == number] for number in [-1, *numbers]]


class Moment(NamedTuple):
    """Seconds on the wall's clock, and of work by all threads of this process: what a busy machine cannot stretch."""

    wall: float
    work: float

    def __sub__(self, earlier: Moment) -> dict[str, float]:
        return {"seconds": self.wall - earlier.wall, "work_seconds": self.work - earlier.work}


def now() -> Moment:
    return Moment(time.perf_counter(), time.process_time())


def report(packages: tuple[str, ...], **measured: Any) -> None:
    """Prints the one line that is read: what was measured, the peak of resident memory and the versions."""
    peak = 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    versions = {package: metadata.version(package) for package in packages}
    print("\n" + json.dumps({**measured, "peak_bytes": peak, "versions": versions}), flush=True)


def report_training(
    packages: tuple[str, ...], timed: list[list[dict[str, Any]]], took: dict[str, float], **more: Any
) -> None:
    """`report` with the tokens of the timed batches; padding counts as nothing."""
    flat = [row for batch in timed for row in batch]
    report(
        packages,
        tokens=sum(len(row["ids"]) for row in flat),
        supervised=sum(row["supervised"] for row in flat),
        squares=sum(len(row["ids"]) * (len(row["ids"]) + 1) // 2 for row in flat),
        examples=len(flat),
        **took,
        **more,
    )


def generation_batches(order: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The prompts in batches; one at a time, only the first `order["first"]` of a spread over all lengths."""
    all_rows = rows(order["rows"])
    if first := order.get("first"):
        all_rows = all_rows[:: max(1, len(all_rows) // first)][:first]
    size = order["batch"]
    return [all_rows[i : i + size] for i in range(0, len(all_rows), size)]


def report_generation(
    packages: tuple[str, ...],
    batches: list[list[dict[str, Any]]],
    answers: list[list[int]],
    took: dict[str, float],
    **more: Any,
) -> None:
    """`report` with the tokens read and written, and the first answer's ids for comparison."""
    lengths = [len(row["ids"]) for batch in batches for row in batch]
    report(
        packages,
        prompt_tokens=sum(lengths),
        new_tokens=sum(map(len, answers)),
        squares=sum((n + len(a)) * (n + len(a) + 1) // 2 for n, a in zip(lengths, answers, strict=True)),
        examples=len(lengths),
        passes=sum(max(map(len, _take(answers, batches, i))) for i in range(len(batches))),
        answer=list(answers[0]),
        **took,
        **more,
    )


def _take(answers: list[list[int]], batches: list[list[dict[str, Any]]], number: int) -> list[list[int]]:
    start = sum(map(len, batches[:number]))
    return answers[start : start + len(batches[number])]


def shared_length(batches: list[list[dict[str, Any]]]) -> int:
    """How many ids all prompts begin with."""
    prompts = [row["ids"] for batch in batches for row in batch]
    first, last = min(prompts), max(prompts)  # in lexical order, so all others lie between them
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, prompts)) - 1)
