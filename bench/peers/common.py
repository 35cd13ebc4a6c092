"""What every peer's file shares: reading its order and the rows, and one JSON line at the end. No tool is touched here.

A peer is started as `python FILE ORDER`, where ORDER is JSON. The clock starts after loading, compiling and the warm-up
(one optimizer step; for generation one answer of 8 tokens), and stops when the last result is on the CPU.
"""

from __future__ import annotations

import hashlib
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
    """The warm-up batch, then the timed ones."""
    all_rows = rows(order["rows"])
    numbers = sorted({row["batch"] for row in all_rows})
    return [[row for row in all_rows if row["batch"] == number] for number in numbers]


class Moment(NamedTuple):
    """Seconds on the wall's clock, and of work by all threads of this process: what a busy machine cannot stretch."""

    wall: float
    work: float

    def __sub__(self, earlier: Moment) -> dict[str, float]:
        return {"seconds": self.wall - earlier.wall, "work_seconds": self.work - earlier.work}


def now() -> Moment:
    return Moment(time.perf_counter(), time.process_time())


def peak_bytes() -> int:
    """Most memory that torch held on a GPU; without one, most resident memory of this process, loading included, or of
    one that it started and waited for.

    The kernel's mark for this process alone, where there is one: `getrusage` also remembers the process it came from.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and (held := torch.cuda.max_memory_allocated()):
        return int(held)  # none where a tool works in another process
    children = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(1024 * own, children)


def report(packages: tuple[str, ...], **measured: Any) -> None:
    """Prints the one line that is read: what was measured, the peak of resident memory and the versions."""
    versions = {package: metadata.version(package) for package in packages}
    print("\n" + json.dumps({**measured, "peak_bytes": peak_bytes(), "versions": versions}), flush=True)


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


def report_pretraining(
    packages: tuple[str, ...], order: dict[str, Any], words: int, took: dict[str, float], **more: Any
) -> None:
    """`report` with the tokens of the timed steps and the shape; `words` are the ids of the vocabulary."""
    tokens = order["steps"] * order["rows_a_step"] * order["row"]
    shape = {key: order[key] for key in ("width", "layers", "heads", "row")}
    report(packages, tokens=tokens, shape=shape | {"vocabulary": words}, **took, **more)


def generation_batches(order: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The prompts in batches, shortest first.

    With `order["first"]`, so many of them from a spread over all lengths; with `order["middle"]`, the middle batch.
    """
    all_rows = rows(order["rows"])
    if first := order.get("first"):
        all_rows = all_rows[:: max(1, len(all_rows) // first)][:first]
    size = order["batch"]
    batches = [all_rows[i : i + size] for i in range(0, len(all_rows), size)]
    return [batches[len(batches) // 2]] if order.get("middle") else batches


def report_generation(
    packages: tuple[str, ...],
    order: dict[str, Any],
    batches: list[list[dict[str, Any]]],
    answers: list[list[int]],
    took: dict[str, float],
    **more: Any,
) -> None:
    """`report_counts` of the answers' ids, with those of the first one for comparison."""
    report_counts(packages, order, batches, [len(ids) for ids in answers], took, answer=list(answers[0]), **more)


def report_counts(
    packages: tuple[str, ...],
    order: dict[str, Any],
    batches: list[list[dict[str, Any]]],
    counts: list[int],
    took: dict[str, float],
    **more: Any,
) -> None:
    """`report` with the tokens read and written, and which prompts they were; `counts` are the tokens of each answer.

    Exits with a sentence where an answer is not as long as it was ordered: a tool that stopped, or padded, did other
    work than the rest.
    """
    prompts = [row["ids"] for batch in batches for row in batch]
    if found := set(counts) - {order["new_tokens"]}:
        sys.exit(f"Error: answers of {sorted(found)} tokens where {order['new_tokens']} were ordered")
    if len(counts) != len(prompts):
        sys.exit(f"Error: {len(counts)} answers to {len(prompts)} prompts")
    lengths = [len(ids) for ids in prompts]
    report(
        packages,
        prompt_tokens=sum(lengths),
        new_tokens=sum(counts),
        squares=sum((read + new) * (read + new + 1) // 2 for read, new in zip(lengths, counts, strict=True)),
        examples=len(lengths),
        passes=len(batches) * order["new_tokens"],
        prompts=hashlib.sha256(json.dumps(prompts).encode()).hexdigest()[:16],
        **took,
        **more,
    )


def shared_length(batches: list[list[dict[str, Any]]]) -> int:
    """How many ids all prompts begin with."""
    prompts = [row["ids"] for batch in batches for row in batch]
    first, last = min(prompts), max(prompts)  # in lexical order, so all others lie between them
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, prompts)) - 1)
