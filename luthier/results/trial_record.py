"""trial.json: small trainings under one budget, what each reached, and means over their seeds."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from luthier.results.record import FirstFormat, Number, Part, Record, SettingsTable


class TrialCell(Part):
    """An arm at a task, and what the budget buys it; measured and fixed before the first training."""

    arm: str
    task: str
    budget: Literal["time", "tokens", "flops"]  # what it has as much of as the first arm
    steps: int
    tokens_a_step: int
    seconds_a_step: Number  # of all processors together
    flops_a_step: Number
    parameters: int


class TrialScores(Part):
    """One measure of a training, by unit: a held-out document or a drawn row. A single value is of the whole training.

    `weights`: where it is a ratio of sums, a unit's part below the line.
    """

    measure: str
    at: str  # which band of positions or distances; "" for all
    values: list[Number]
    weights: list[Number] | None


class TrialResult(Part):
    """One training that has ended. `tries`: a shorter one, by which a learning rate was chosen, and not judged."""

    arm: str
    task: str
    seed: int
    tries: bool
    learning_rate: Number
    steps: int
    loss: Number  # nats a supervised token, of the last tenth of the steps
    scores: list[TrialScores]


class TrialMean(Part):
    """An arm's mean over seeds and units with its 95 % interval, and how far it lies from the first arm's.

    The difference is None for the first arm itself.
    """

    task: str
    measure: str
    at: str
    arm: str
    value: Number
    low: Number
    high: Number
    seeds: int
    units: int
    difference: Number | None
    difference_low: Number | None
    difference_high: Number | None


class TrialRecord(Record):
    """trial.json."""

    FILE: ClassVar[str] = "trial.json"
    REMEDY: ClassVar[str] = "name a new folder with --out"

    format: FirstFormat
    settings: SettingsTable
    command: str
    versions: dict[str, str]
    corpus_sha256: str
    processors: Number  # processor seconds in a second, while the cells were measured
    cells: list[TrialCell] = Field(min_length=1)
    results: list[TrialResult]
    means: list[TrialMean]
    finished: bool
