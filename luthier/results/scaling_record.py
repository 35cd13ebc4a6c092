"""law.json and ladder.json: a fitted scaling law with its backtests, a plan by it, and trainings that it predicts."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from luthier.results.record import FirstFormat, Number, Part, Record

Resample = Annotated[list[Number], Field(min_length=5, max_length=5)]  # ln a, ln b, ln e, alpha, beta


class Ranged(Part):
    """A value and its interval over resampled runs."""

    value: Number
    low: Number
    high: Number


class Span(Part):
    """The least and the largest of the points."""

    least: Number
    most: Number


class LeftOutPoint(Part):
    """A point that does not count."""

    row: int
    run: str
    reason: str


class BacktestRow(Part):
    """A law of the points below a quantile of compute, and its error on those above."""

    quantile: Number
    flops: Number
    fitted: int
    predicted: int
    error: Number  # the `level` quantile of |ln predicted - ln loss|
    covered: Number  # share of its predicted points inside the interval that the other cuts give


class BudgetRow(Part):
    """One budget of approach 2. `parameters` is None, with a reason, where its parabola has no vertex inside."""

    flops: Number
    sizes: int
    parameters: Number | None
    reason: str | None
    off_centre: Number | None


class IsoflopRow(Part):
    """Approach 2: N_opt = factor C^exponent. `low` and `high`: with one budget left out; `trimmed`: each budget's
    farthest size left out."""

    exponent: Number | None
    factor: Number | None
    low: Number | None
    high: Number | None
    trimmed: Number | None
    budgets: list[BudgetRow]


class RepeatedRow(Part):
    """The two half-lives of repeated data, in passes; the law's other numbers are those of `LawRecord.parameters`."""

    r_d: Number
    r_n: Number


class LawParameters(Part):
    """L = e + a / N^alpha + b / D^beta, and the exponent of N_opt, beta / (alpha + beta)."""

    e: Ranged
    a: Ranged
    b: Ranged
    alpha: Ranged
    beta: Ranged
    exponent: Ranged


class LawRecord(Record):
    """law.json."""

    FILE: ClassVar[str] = "law.json"
    REMEDY: ClassVar[str] = "fit the points again with luthier scale fit"

    format: FirstFormat
    points_file: str
    points_sha256: str
    points: int
    runs: int
    left_out: list[LeftOutPoint]
    repeated_points: int  # not in the fit, but in `repeated`
    delta: Number
    seed: int
    objective: Number
    gradient: Number
    starts: int
    reached: int
    level: Number
    parameters: LawParameters
    resamples: list[Resample] = Field(min_length=1)
    width: Number | None  # relative, at distance 0, as the backtests ask for; None: no backtest was possible
    backtests: list[BacktestRow]
    sizes: Span
    tokens: Span
    flops: Span
    isoflop: IsoflopRow
    repeated: RepeatedRow | None = Field(...)


class Cell(Part):
    """One training of a ladder."""

    name: str
    width: int
    ratio: int  # tokens a parameter
    seed: int
    parameters: int
    tokens: int
    flops: Number  # of all its steps, as if it were trained alone
    rate: Number = 1  # times the rule's learning rate
    batch: Number = 1  # times the rule's batch
    shared_flops: Number = 0  # of `flops`, those of steps that a shorter cell of its trunk has made before

    @property
    def own_flops(self) -> float:
        """FLOPs that its training takes."""
        return float(self.flops - self.shared_flops)

    @property
    def is_check(self) -> bool:
        """Whether the cell checks the rule of rate and batch, and is no point."""
        return (self.rate, self.batch) != (1, 1)


class Prediction(Part):
    """What a cell's loss was predicted to be before it was trained, in nats a byte."""

    cell: str
    loss: Number
    low: Number
    high: Number


class LadderRecord(Record):
    """ladder.json: what the minutes buy, and what was predicted."""

    FILE: ClassVar[str] = "ladder.json"
    REMEDY: ClassVar[str] = "name a new folder with --out"

    format: FirstFormat
    minutes: Number
    corpus: str
    trunk: bool = False  # whether the cells of one size and seed share their first steps
    flops_a_second: Number  # measured before the plan
    cells: list[Cell] = Field(min_length=1)
    predictions: list[Prediction]
    level: Number


class PlanRow(Part):
    """Where a law would spend the compute."""

    law: str
    source: str
    counts: str  # which parameters it means
    parameters: Number
    tokens: Number
    tokens_a_parameter: Number
    loss: Number
    intervals: dict[str, Ranged] | None  # of a fitted law


class Plan(Part):
    """What `scale plan` prints."""

    flops: Number
    rows: list[PlanRow]
    words: list[str]
