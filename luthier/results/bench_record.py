"""bench.json: benchmarks of lm-eval, asked of arms and models; and the lines of their items."""

from __future__ import annotations

from typing import ClassVar

from luthier.records import Verdict
from luthier.results.record import FirstFormat, Number, Part, Record

ITEMS_FILE = "bench.jsonl"


class BenchItem(Part):
    """One item of one task, answered by one model: a line of bench.jsonl."""

    model: str
    task: str
    id: str
    values: dict[str, Number]  # metric -> value of this item


class BenchMean(Part):
    """A model on one metric of a task. `harness` is lm-eval's own number, None where it gives another kind."""

    mean: Number
    low: Number | None
    high: Number | None
    n: int
    harness: Number | None


class BenchPair(Part):
    """Two models on a task's first metric, paired by item; the interval holds for all pairs of this run at once."""

    task: str
    metric: str
    a: str
    b: str
    difference: Number  # a minus b
    low: Number | None
    high: Number | None
    n: int
    verdict: Verdict  # of a: whether it is better, with the metric's own direction


class Bench(Record):
    """A run of lm-eval's tasks."""

    FILE: ClassVar[str] = "bench.json"
    REMEDY: ClassVar[str] = "remove the file and run the benchmark again"

    format: FirstFormat
    command: str
    versions: dict[str, str]
    level: Number
    margin: Number  # a difference that matters, for *equivalent*
    limit: int | None  # items a task; None: all
    chat: bool  # whether requests went through the chat template
    few_shot: int | None
    models: dict[str, str]  # model -> what its weights are known by
    tasks: dict[str, dict[str, dict[str, BenchMean]]]  # task -> model -> metric
    higher_is_better: dict[str, dict[str, bool]]  # task -> metric
    pairs: tuple[BenchPair, ...]
    notes: tuple[str, ...]
    asked_sha256: str | None = None  # of the tasks and of how they are asked; None: it was not kept
