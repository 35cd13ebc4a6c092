"""scale fit and scale plan: points -> law.json and scale.html; compute -> parameters and tokens by every law."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path

import numpy as np

from luthier.errors import SettingsError
from luthier.files import locked, sha256_of, write_text
from luthier.reports.sheet import Section, write_sheet
from luthier.results.scaling_record import (
    BacktestRow,
    BudgetRow,
    IsoflopRow,
    LawParameters,
    LawRecord,
    LeftOutPoint,
    Plan,
    PlanRow,
    Ranged,
    RepeatedRow,
    Span,
)
from luthier.scratch import figures
from luthier.scratch.backtest import LEVEL, RESAMPLES, Backtest, Predictor, Tested, predictor
from luthier.scratch.isoflop import Isoflop, isoflop
from luthier.scratch.law_fit import DELTA, law_of
from luthier.scratch.laws import AdditiveLaw, Floats, Law, Published
from luthier.scratch.points import read_points
from luthier.scratch.repeated import apart, half_lives
from luthier.settings import checked_seed

PAGE = "scale.html"
MOST_FLOPS = 1e40  # beyond any machine; a number of 300 digits is a mistake


def fit_points(
    file: Path,
    out: Path,
    *,
    columns: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    delta: float = DELTA,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LawRecord:
    """Fits the points of a file; writes law.json, the figures and scale.html into `out`; returns the record.

    Raises DataError and SettingsError as `read_points` does, SettingsError for a delta or number of resamples out of
    range, FolderError when the disk refuses.
    """
    checked_seed(seed, "scale fit")
    if not (math.isfinite(delta) and 1e-6 <= delta <= 1e3):
        raise SettingsError(f"--delta is {delta:g}; give a number from 0.000001 to 1000, in units of the log loss")
    if not 20 <= resamples <= 10_000:
        raise SettingsError(f"--resamples is {resamples}; give a whole number from 20 to 10000")
    points, left_out = read_points(file, columns, without)
    fitted, again = apart(points) or (points, None)
    made = predictor(fitted, delta=delta, resamples=resamples, seed=seed)
    repeated = None if again is None else half_lives(made.minimum.law, again, delta=delta)
    second = isoflop(fitted)
    record = LawRecord(
        format=1,
        points_file=file.name,
        points_sha256=sha256_of(file),
        points=len(fitted),
        runs=len(set(fitted.runs)),
        left_out=[LeftOutPoint(**asdict(one)) for one in left_out],
        repeated_points=int(points.repeated_n.sum()),
        delta=delta,
        seed=seed,
        objective=made.minimum.objective,
        gradient=made.minimum.gradient,
        starts=made.minimum.starts,
        reached=made.minimum.reached,
        level=made.tested.level,
        parameters=_parameters(made.tested),
        resamples=[[round(float(value), 6) for value in theta] for theta in made.tested.thetas_R5],
        width=made.tested.width,
        backtests=_backtest_rows(made.backtests),
        sizes=_span(fitted.parameters_n),
        tokens=_span(fitted.tokens_n),
        flops=_span(fitted.flops_n),
        isoflop=_isoflop_row(second),
        repeated=None if repeated is None else RepeatedRow(r_d=repeated.r_d, r_n=repeated.r_n),
    )
    with locked(out):
        record.write(out)
        _write_page(out, record, made, second)
    return record


def plan(flops: float, law: Path | None = None) -> Plan:
    """Where each law would spend `flops`: the built-in laws and, given the folder of a fit, that law with intervals.

    Raises SettingsError for compute out of range, FolderError for a damaged law.json.
    """
    if not (math.isfinite(flops) and 1e6 <= flops <= MOST_FLOPS):
        raise SettingsError(f"--flops is {flops:g}; give a number from 1e6 to {MOST_FLOPS:g}")
    rows, words = [], []
    if law is not None:
        record = LawRecord.read(law)
        rows.append(_fitted_row(record, flops))
        words += extrapolation_words(record, flops)
    rows += [_published_row(one, flops) for one in Published.all()]
    words.append(
        "The laws differ in data, tokenizer and in which parameters they count; their losses cannot be compared."
    )
    return Plan(flops=flops, rows=rows, words=words)


def extrapolation_words(record: LawRecord, flops: float) -> list[str]:
    """How far `flops` lies from the points of a law, in words."""
    if flops > record.flops.most:
        beyond = math.log10(flops / record.flops.most)
        spanned = math.log10(record.flops.most / record.flops.least)
        return [
            f"{flops:.3g} FLOPs are {beyond:.1f} decades beyond the largest point ({record.flops.most:.3g}), and the "
            f"points span {spanned:.1f} decades: this is an extrapolation. "
            + ("Its intervals hold no more than what resampling the runs shows." if beyond > spanned else
               "The interval of the loss has the width that backtests over such distances ask for.")
        ]  # fmt: skip
    if flops < record.flops.least:
        return [
            f"{flops:.3g} FLOPs are below the smallest point ({record.flops.least:.3g}); no backtest looks down there."
        ]
    return []


def law_in(record: LawRecord) -> AdditiveLaw:
    """The law of a law.json."""
    one = record.parameters
    e, a, b, alpha, beta = (float(part.value) for part in (one.e, one.a, one.b, one.alpha, one.beta))
    return AdditiveLaw(e, a, b, alpha, beta)


def as_tested(record: LawRecord) -> Tested:
    """The law of a law.json with what its intervals need."""
    ends = float(record.flops.least), float(record.flops.most)
    width = None if record.width is None else float(record.width)
    return Tested(law_in(record), np.array(record.resamples, float), width, ends, float(record.level))


def _fitted_row(record: LawRecord, flops: float) -> PlanRow:
    tested = as_tested(record)
    best = tested.optimum_interval(flops)
    values = {name: value for name, (value, _, _) in best.items()}
    loss, low, high = tested.interval(np.array([values["parameters"]]), np.array([values["tokens"]]))
    best["loss"] = float(loss[0]), float(low[0]), float(high[0])
    return PlanRow(
        law=f"fitted to {record.points_file}", source=f"{record.points} points of {record.runs} runs",
        counts="as in these points", loss=best["loss"][0], **values,
        intervals={name: Ranged(value=value, low=low, high=high) for name, (value, low, high) in best.items()},
    )  # fmt: skip


def _published_row(law: Law, flops: float) -> PlanRow:
    n, d = (float(value) for value in law.optimum(flops))
    return PlanRow(
        law=law.name, source=law.source, counts=law.counts, parameters=n, tokens=d, tokens_a_parameter=d / n,
        loss=float(law.loss(n, d)), intervals=None,
    )  # fmt: skip


def _parameters(tested: Tested) -> LawParameters:
    laws = [law_of(theta) for theta in tested.thetas_R5]

    def ranged(of: Callable[[AdditiveLaw], float]) -> Ranged:
        low, high = tested.ends(np.array([of(law) for law in laws]))
        return Ranged(value=of(tested.law), low=float(low), high=float(high))

    return LawParameters(
        **{name: ranged(attrgetter(name)) for name in ("e", "a", "b", "alpha", "beta")},
        exponent=ranged(lambda law: law.beta / (law.alpha + law.beta)),
    )


def _span(values: Floats) -> Span:
    return Span(least=float(values.min()), most=float(values.max()))


def _backtest_rows(tests: tuple[Backtest, ...]) -> list[BacktestRow]:
    """Each cut with the share of its points inside the width that the other cuts alone would have given."""
    rows = []
    for one in tests:
        others = [np.abs(two.errors_m) / (1 + two.distances_m) for two in tests if two is not one]
        width = float(np.quantile(np.concatenate(others), LEVEL)) if others else 0.0
        covered = float(np.mean(np.abs(one.errors_m) <= width * (1 + one.distances_m)))
        rows.append(
            BacktestRow(
                quantile=one.quantile, flops=one.flops, fitted=one.fitted, predicted=len(one.errors_m),
                error=one.error, covered=covered,
            )
        )  # fmt: skip
    return rows


def _isoflop_row(second: Isoflop) -> IsoflopRow:
    budgets = [BudgetRow(**asdict(one)) for one in second.budgets]
    return IsoflopRow(**{**{k: v for k, v in vars(second).items() if k != "budgets"}, "budgets": budgets})


# ------------------------------------------------------------------------------------------------------------- page


NO_FLOOR = 1e-6  # nats


def law_words(record: LawRecord) -> list[str]:
    """What the fit says, in sentences."""
    exponent = record.parameters.exponent
    width = (
        f"A prediction's {record.level:.0%} interval is at least ±{record.width:.1%} wide: so wrong were laws of the "
        f"smaller points about the larger ones."
        if record.width is not None
        else "No backtest was possible with so few points: intervals hold no more than what resampling the runs shows."
    )
    words = [
        f"{record.points} points of {record.runs} runs; of {record.starts} starts {record.reached} ended in the lowest "
        f"minimum, {record.objective:.10g}, with a gradient of {record.gradient:.1g}.",
        f"Compute-optimal parameters grow as C^{exponent.value:.3f} ({exponent.low:.3f} to {exponent.high:.3f}).",
        width,
    ]
    if record.parameters.e.value < NO_FLOOR:
        words.append("E is at zero: the points are too far from the loss that no model gets below to show it.")
    if record.left_out:
        named = "; ".join(f"row {one.row} ({one.run}): {one.reason}" for one in record.left_out)
        count = "1 point was" if len(record.left_out) == 1 else f"{len(record.left_out)} points were"
        words.append(f"{count} left out: {named}.")
    if record.repeated_points and record.repeated is None:
        words.append(
            f"{record.repeated_points} points repeat tokens and count as if all were different, since too few points "
            "read each token once."
        )
    elif record.repeated:
        row = record.repeated
        words.append(
            f"{record.repeated_points} points repeat tokens and are in the law for repeated data alone: "
            f"R_D = {row.r_d:.3g}, R_N = {row.r_n:.3g}."
        )
    return words


def isoflop_words(row: IsoflopRow) -> str:
    if row.exponent is None:
        return "Approach 2 gives no exponent: fewer than two budgets have a parabola with its lowest point inside."
    text = f"Approach 2, the vertices of parabolas, gives C^{row.exponent:.3f}. It is biased where sizes lie off centre"
    if row.low is not None:
        text += f"; leaving one budget out it goes from {row.low:.3f} to {row.high:.3f}"
    return text + (
        f"; without each budget's farthest size it is {row.trimmed:.3f}." if row.trimmed is not None else "."
    )


def law_rows(record: LawRecord) -> list[tuple[str, str, str]]:
    """(name, value, interval) of each parameter."""
    names = {"e": "E", "a": "A", "b": "B", "alpha": "alpha", "beta": "beta", "exponent": "N_opt exponent"}
    return [
        (label, f"{one.value:.5g}", f"{one.low:.4g} to {one.high:.4g}")
        for key, label in names.items()
        if (one := getattr(record.parameters, key))
    ]


def plan_rows(made: Plan) -> list[list[str]]:
    """Rows for a table: law, parameters, tokens, tokens a parameter, loss; below a fitted law's its intervals."""
    rows = []
    keys = ("parameters", "tokens", "tokens_a_parameter", "loss")
    for row in made.rows:
        rows.append([row.law, *(f"{getattr(row, key):.3g}" for key in keys)])
        if row.intervals:
            ends = [row.intervals[key] for key in keys]
            rows.append(["  90 % interval", *(f"{one.low:.3g} to {one.high:.3g}" for one in ends)])
    return rows


PLAN_HEADER = ("law", "parameters", "tokens", "tokens a parameter", "loss")


def _write_page(out: Path, record: LawRecord, made: Predictor, second: Isoflop) -> None:
    drawn = {
        "loss": figures.losses(made),
        "backtest": figures.backtest(made),
        "optimum": figures.optima(made, second),
    }
    for name, svg in drawn.items():
        write_text(out / f"{name}.svg", svg)
    tested = [
        (f"{one.quantile:.0%}", f"{one.flops:.3g}", str(one.fitted), str(one.predicted), f"{one.error:.2%}",
         f"{one.covered:.0%}")
        for one in record.backtests
    ]  # fmt: skip
    budgets = [
        (
            f"{one.flops:.3g}",
            str(one.sizes),
            "–" if one.parameters is None else f"{one.parameters:.3g}",
            one.reason or "",
        )
        for one in record.isoflop.budgets
    ]
    sections = [
        Section("The law", ["L = E + A / N^alpha + B / D^beta, in nats; intervals by resampling whole runs."],
                ("", "value", "90 % interval"), law_rows(record), drawn["loss"]),
        Section("How wrong it was about larger points",
                ["Each law was fitted below a quantile of compute and predicted the points above it. Covered: inside "
                 "the interval that the other cuts alone give."],
                ("cut", "FLOPs", "fitted", "predicted", "90 % of errors below", "covered"), tested, drawn["backtest"]),
        Section("Where compute is best spent", [isoflop_words(record.isoflop)],
                ("budget (approach 2)", "sizes", "optimal parameters", "left out because"), budgets, drawn["optimum"]),
    ]  # fmt: skip
    if record.repeated:
        row = record.repeated
        text = f"A second pass is worth less than the first: R_D = {row.r_d:.3g} passes, R_N = {row.r_n:.3g}."
        sections.append(Section("Repeated data", [text, f"{record.repeated_points} points repeat tokens."]))
    write_sheet(out / PAGE, f"Scaling law of {record.points_file}", law_words(record), sections)
