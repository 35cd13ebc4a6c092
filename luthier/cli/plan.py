"""`luthier plan`: what arms take, before they are run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli import screen
from luthier.cli.options import Json

if TYPE_CHECKING:  # `--help` imports none of it
    from luthier.arms.planned import Planner
    from luthier.planning.fits import Fits
    from luthier.results.plan_record import ArmPlan, PlanRecord


def plan(
    studies: Annotated[
        list[Path] | None, typer.Argument(metavar="STUDY", help="With --errors: studies whose plans are compared.")
    ] = None,
    *,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", help="An arm's short form; repeat for several; else lora.")
    ] = None,
    terms: Annotated[bool, typer.Option("--terms", help="Print every term with its reason.")] = False,
    prices: Annotated[Path | None, typer.Option(help="A price.toml; else one here, else the shipped one.")] = None,
    errors: Annotated[
        bool,
        typer.Option("--errors", help="Compare plans of studies with measured; without a study: what was learned."),
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget what earlier arms taught of this machine's seconds.")
    ] = False,
    probe: Annotated[bool, typer.Option("--probe", help="Measure this machine's rates for a few seconds.")] = False,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Say what arms will take before they are run: parameters, bytes, operations, seconds and money. Nothing is loaded;
    the model's configuration is enough.

    \b
    Example:
      luthier plan --model smollm2-135m --arm lora --arm full --tokens 512 --terms
    """
    from luthier.errors import SettingsError

    if sum((probe, forget, errors)) > 1:
        raise SettingsError("plan: give one of --probe, --forget and --errors")
    if studies and not errors:
        raise SettingsError(f"plan: {studies[0]} is for --errors, which compares studies; a plan needs --model")
    if probe:
        return _probe(as_json)
    if forget:
        return _forget()
    if errors:
        return _errors(studies, as_json) if studies else _learned(as_json)
    from luthier.arms.planned import Planner, PlanSpec
    from luthier.cli.options import typed_settings

    if not given.get("model"):
        raise SettingsError("plan: no model is named; give --model, such as --model smollm2-135m")
    if arms:
        given["arms"] = tuple(arms)
    planner = Planner(typed_settings(PlanSpec, given, "plan", {"arms": "arm"}))
    record = planner.record()
    if as_json:
        return screen.print_json(record.as_json())
    _print_table(record)
    for text, (name, row) in zip(planner.request.arms, record.arms.items(), strict=True):
        if terms:
            _print_terms(name, row, planner.shape.parameters)
        if row.phases or row.refused is not None:
            screen.print_lines([*_fits_lines(name, row, planner.fits(text))])
    _print_money(record, planner, prices)


def _print_table(record: PlanRecord) -> None:
    from luthier.planning.words import expected, gigabytes, operations

    rows = []
    for name, row in record.arms.items():
        trains, answers = row.training_bytes, row.answering
        peaks = ["-" if trains is None else gigabytes(trains), gigabytes(answers.peak_bytes) if answers else "-"]
        flops = operations(sum(phase.flops for phase in row.phases.values()))
        work = (flops, expected(row)) if row.phases else ("-", "-")
        rows.append((
            name, f"{row.parameters:,}", f"{row.trainable:,}", *peaks,
            "-" if row.micro_tokens is None else f"{row.micro_tokens:,}", *work,
        ))  # fmt: skip
    header = ("arm", "parameters", "train", "training", "answering", "tokens at once", "operations", "time")
    screen.print_table(header, rows)
    lines = [f"{name}: {row.refused}" for name, row in record.arms.items() if row.refused]
    lines += [f"{name}: time by {words}." for name, words in record.taught.items()]
    screen.print_lines([*lines, f"Accounting {record.accounting}; rates of {record.device} are {record.rates}."])


def _print_terms(name: str, row: ArmPlan, parameters: int) -> None:
    from luthier.planning.words import TEXTBOOK, gigabytes, why, why_taught

    for phase, plan in row.phases.items():
        rows = [(term.name, gigabytes(term.bytes), why(term.name)) for term in plan.terms]
        screen.print_table((f"{name}: {phase}", "bytes", "why"), [*rows, ("together", gigabytes(plan.peak_bytes), "")])
    times = [
        line
        for phase, plan in row.phases.items()
        if plan.taught is not None
        for line in (
            (
                f"{phase} by rates",
                f"{plan.taught.by_rates:,.1f} s",
                "operations, bytes, and what blocks take beside them",
            ),
            ("learned", f"{plan.taught.seconds - plan.taught.by_rates:+,.1f} s", why_taught(plan.taught)),
        )
    ]
    if times:
        screen.print_table((f"{name}: time", "seconds", "why"), [*times, ("together", f"{row.seconds:,.1f} s", "")])
    if row.training is not None:
        book = [(title, gigabytes(each * parameters), words) for title, each, words in TEXTBOOK]
        total = sum(each for _, each, _ in TEXTBOOK)
        last = ("together", gigabytes(total * parameters), f"{total} bytes a parameter")
        screen.print_table(("the textbook's sum, all weights in fp32", "bytes", "why"), [*book, last])


def _fits_lines(name: str, row: ArmPlan, found: Fits) -> list[str]:
    from luthier.planning.words import gigabytes

    memory = gigabytes(found.memory)
    what, lines = name, []
    if row.refused is None and not found.answers:
        what = f"{name} in training"
        more = f"{name}: answering takes {gigabytes(found.answering)}, which does not fit into {memory}"
        lines.append(f"{more}; --memory bounds what is answered at once.")
    if found.fits:
        most = f"at most {found.rows:,} rows at once, " if found.rows is not None else ""
        return [f"{what}: fits into {memory}; {most}with up to {found.bits} bits a weight.", *lines]
    if row.training is not None and row.training.peak_bytes <= found.memory:
        taken = gigabytes(found.bytes)
        return [f"{what}: fits into {memory} in parts of a step; all rows at once take {taken}.", *lines]
    at_once = " with all rows of a step at once" if found.trains else ""
    lines.append(f"{what}: does not fit into {memory}; it takes {gigabytes(found.bytes)}{at_once}.")
    together = found.changes and found.changes[0].bytes > found.memory
    if together:
        lines.append("  No single change is enough; one after the other:")
    lines += [f"  {change.words}: {gigabytes(change.bytes)}" for change in found.changes]
    if found.device is not None:
        lines.append(f"  The smallest listed device that holds it is {found.device}.")
    return lines


def _print_money(record: PlanRecord, planner: Planner, path: Path | None) -> None:
    from luthier.planning.prices import dollars, read_prices
    from luthier.planning.words import money

    found, devices = read_prices(path), planner.request.devices
    rows = [
        (name, machine, money(dollars(row.seconds, price, devices)), f"${price.dollars:g}/h, {price.date}")
        for name, row in record.arms.items()
        for machine, price in found.of_device(record.device).items()
        if row.seconds
    ]
    if rows:
        screen.print_table(("arm", "machine", "money", "price"), rows)
        screen.print_lines([f"Prices are those of {found.path}; each has its source there."])


def _errors(folders: list[Path], as_json: bool) -> None:
    from luthier.planning.words import duration, gigabytes
    from luthier.results.predicted import error_rows, summary

    rows = error_rows(folders)
    found = summary(rows)
    if as_json:
        return screen.print_json({"rows": [row.as_json() for row in rows], "summary": [one.as_json() for one in found]})
    shown = {"bytes": gigabytes, "seconds": duration}
    screen.print_table(
        ("study", "arm", "what", "predicted", "measured", "error", "term"),
        [
            (row.study, row.arm, row.what, shown[row.unit](row.predicted), shown[row.unit](row.measured),
             f"{row.error:+.1%}", row.term or "-")
            for row in rows
        ],
    )  # fmt: skip
    screen.print_lines(one.sentence for one in found)


def _learned(as_json: bool) -> None:
    """What finished arms taught of this machine's seconds: how far those by rates alone are off."""
    from luthier.planning.lessons import learned_here
    from luthier.planning.words import KINDS

    here, others = learned_here()
    if as_json:
        rows = [asdict(sort) | taught.as_json() for sort, taught in here.rows]
        return screen.print_json({"learned": rows, "unused": others})
    screen.print_table(
        ("phase", "weights", "model", "parameters", "method", "arms", "times", "95 of 100 arms"),
        [
            (sort.phase, sort.precision, sort.family, f"{sort.parameters:,}", KINDS[sort.kind], str(taught.arms),
             f"{taught.factor:.2f}", f"{taught.low:.2f} to {taught.high:.2f}")
            for sort, taught in here.rows
        ],
    )  # fmt: skip
    more = f" {others} more are of other rates, processors or versions, and are not used." if others else ""
    screen.print_lines([f"{len(here.lessons)} phases of finished arms taught what plans here are multiplied by.{more}"])


def _forget() -> None:
    from luthier.planning.lessons import forget

    screen.print_lines(["Forgotten." if forget() else "Nothing was learned yet."])


def _probe(as_json: bool) -> None:
    from luthier import machine
    from luthier.arms.probe import probe
    from luthier.planning.words import gigabytes, operations
    from luthier.progress import say

    before = machine.spent()
    rates = probe()
    if (why := machine.disturbed(before, machine.spent(), rates.device)) is not None:
        say(f"plan: {why}, so these rates may be too low; measure again on a quiet machine")
    if as_json:
        return screen.print_json(rates.as_json())
    rows = [(one.precision, str(one.rows), f"{one.weights:,}", operations(one.flops) + "/s") for one in rates.products]
    screen.print_table(("precision", "rows", "numbers of the matrix", "rate"), rows)
    at_work = [
        (one.precision, one.phase, *(f"{1e3 * one_of:,.0f} ms" for one_of in (one.planned, one.measured)))
        for one in rates.blocks
    ]
    screen.print_table(("precision", "blocks", "products and bytes alone", "measured"), at_work)
    screen.print_lines([f"Memory moves {gigabytes(rates.bandwidth)} a second. Kept for later plans."])
