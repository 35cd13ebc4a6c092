"""trial.html: what the budget bought, a plot and a table for each measure, and what the intervals allow to say."""

from __future__ import annotations

from pathlib import Path

from luthier.reports.plots import points
from luthier.reports.sheet import Section, write_sheet
from luthier.results.ratings_record import FigureRow
from luthier.results.trial_record import TrialMean, TrialRecord
from luthier.scratch import figures
from luthier.scratch.trial_cells import RECALL, TEXT, TEXT_TASKS
from luthier.scratch.trial_means import BITS, LOSS, SECONDS, SHARE_RIGHT, between

PAGE = "trial.html"
TITLES = {
    "lstm": "An LSTM beside a transformer",
    "families": "Three families at equal FLOPs",
    "recipe": "Each ingredient alone, at equal processor time",
}
TASKS = {
    TEXT: "Text",
    RECALL: "Recall",
    TEXT_TASKS[0]: "Classification: where a piece of text is from",
    TEXT_TASKS[1]: "Continuation: the next tokens",
    TEXT_TASKS[2]: "Rewriting: a piece without the tokens put into it",
}
BEST_IS_LOW = (BITS, LOSS)
QUALITY = (BITS, SHARE_RIGHT)
MOST_LINES = 4  # in one figure
UNEQUAL = 0.15  # share of the first arm's processor time by which an arm may miss it
HEADER = ("task", "measure", "arm", "mean", "95 % interval", "minus the first arm")


def mean_rows(record: TrialRecord) -> list[tuple[str, ...]]:
    """A row for each arm at each measure, without bands, as HEADER names them."""
    return [(one.task, one.measure, one.arm, *_cells(one)) for one in record.means if not one.at]


def _cells(one: TrialMean) -> tuple[str, str, str]:
    """Mean, interval, and difference from the first arm."""
    apart = "-"
    if one.difference is not None and one.difference_low is not None and one.difference_high is not None:
        apart = f"{_signed(one.difference)} ({_signed(one.difference_low)} to {_signed(one.difference_high)})"
    return _number(one.value), f"{_number(one.low)} to {_number(one.high)}", apart


def _whole_cell(one: TrialMean) -> str:
    mean, interval, _ = _cells(one)
    return f"{mean} ({interval})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3f}"


def trial_words(record: TrialRecord) -> list[str]:
    """What was found, in sentences: at each task the best arm, and whether it is told apart from the next."""
    words = []
    for task in dict.fromkeys(one.task for one in record.means):
        for measure in QUALITY:
            means = [one for one in record.means if (one.task, one.measure, one.at) == (task, measure, "")]
            if len(means) > 1:  # an encoder gives no likelihood of a text
                words.append(_best_words(record, sorted(means, key=lambda one: one.value), task, measure))
    if record.settings["kind"] == "recipe":
        words += _ingredient_words(record)
    words += _unequal_words(record)
    words.append("Each interval holds at 95 % on its own, over seeds and held-out units; of many, some will miss.")
    return words


def _best_words(record: TrialRecord, means: list[TrialMean], task: str, measure: str) -> str:
    best, next_best = means[:2] if measure in BEST_IS_LOW else means[:-3:-1]
    apart, low, high = between(record, (task, measure, ""), best.arm, next_best.arm)
    told = "are told apart" if (high < 0 if measure in BEST_IS_LOW else low > 0) else "are not told apart"
    return (
        f"{TASKS[task].partition(':')[0]}: {best.arm} is first with {_number(best.value)} {measure}, "
        f"{_signed(apart)} ({_signed(low)} to {_signed(high)}) from {next_best.arm}; the two {told}."
    )


def _ingredient_words(record: TrialRecord) -> list[str]:
    """Which ingredients are better than the plain decoder, which are worse, and of which it cannot be said."""
    sides: dict[str, list[str]] = {"Better than": [], "Worse than": [], "Not told apart from": []}
    for one in record.means:
        if one.measure == BITS and one.difference_low is not None and one.difference_high is not None:
            side = "Better than" if one.difference_high < 0 else "Worse than"
            sides[side if one.difference_low > 0 or one.difference_high < 0 else "Not told apart from"].append(one.arm)
    first = record.cells[0].arm
    return [f"{side} {first}: {', '.join(arms)}." for side, arms in sides.items() if arms]


def _unequal_words(record: TrialRecord) -> list[str]:
    """Which arms did not take the processor time that their steps were counted for."""
    timed = {(cell.arm, cell.task) for cell in record.cells if cell.budget == "time"}
    seconds = {(one.arm, one.task): one.value for one in record.means if one.measure == SECONDS}
    words = []
    for arm, task in (one for one in seconds if one in timed):
        first = next(cell.arm for cell in record.cells if cell.task == task)
        times = seconds[arm, task] / seconds[first, task]
        if abs(times - 1) > UNEQUAL:
            words.append(
                f"{TASKS[task].partition(':')[0]}: {arm} took {times:.2f} times the processor time of {first}, and was "
                "to take as much. Its steps took another time than was measured before; repeat it on a quiet machine."
            )
    return words


def write_page(out: Path, record: TrialRecord) -> Path:
    """Writes the page into the trial's folder: what was learned, then where in a text, then what it took."""
    by_measure: dict[tuple[str, str], list[TrialMean]] = {}
    for one in record.means:
        by_measure.setdefault((one.task, one.measure), []).append(one)
    learned: list[Section] = []
    in_bands: list[Section] = []
    took: list[Section] = []
    for (task, measure), means in by_measure.items():
        whole, bands = [one for one in means if not one.at], [one for one in means if one.at]
        if whole:
            (learned if measure in QUALITY else took).append(_section(record, task, whole))
        if bands:
            in_bands.append(_band_section(task, bands))
    sections = [
        *([_table_of_all(record)] if len(learned) > 1 else []),
        *learned,
        *in_bands,
        *took,
        Section("What the budget bought", [_budget_words(record)], PLAN_HEADER, plan_rows(record)),
        Section("Make it again", [f"text sha256 {record.corpus_sha256}"], code=record.command),
    ]
    return write_sheet(out / PAGE, TITLES[record.settings["kind"]], trial_words(record), sections)


def _table_of_all(record: TrialRecord) -> Section:
    """A row for each arm and a column for each task's measure of what was learned."""
    means = [one for one in record.means if one.measure in QUALITY and not one.at]
    columns = list(dict.fromkeys((one.task, one.measure) for one in means))
    cells = {(one.arm, one.task, one.measure): one for one in means}
    rows = []
    for arm in dict.fromkeys(cell.arm for cell in record.cells):
        own = [cells.get((arm, *column)) for column in columns]
        rows.append((arm, *("-" if one is None else _whole_cell(one) for one in own)))
    header = ("arm", *(f"{task}: {measure}" for task, measure in columns))
    return Section("In one table", ["Means with 95 % intervals."], header, rows)


def _section(record: TrialRecord, task: str, means: list[TrialMean]) -> Section:
    """A measure at a task, of all units together."""
    measure = means[0].measure
    drawn = [FigureRow(label=one.arm, value=one.value, low=one.low, high=one.high) for one in means]
    figure = points(_key(means), drawn, measure)
    if record.settings["kind"] == "recipe" and measure == BITS:
        apart = [
            FigureRow(label=one.arm, value=one.difference, low=one.difference_low, high=one.difference_high)
            for one in means
            if one.difference is not None
        ]
        figure = points(_key(means), apart, f"{measure}, minus {means[0].arm}", 0.0)
    header = ("arm", "mean", "95 % interval", f"minus {means[0].arm}")
    return Section(f"{TASKS[task]}: {measure}", [], header, [(one.arm, *_cells(one)) for one in means], figure)


def _band_section(task: str, means: list[TrialMean]) -> Section:
    """A measure at a task, by band of positions or distances. Of many arms the figure draws a few."""
    by, axis = ("distance", "tokens behind the first place") if task == RECALL else ("position", "position")
    arms = list(dict.fromkeys(one.arm for one in means))
    rows = [(at, *(_whole_cell(one) for one in means if one.at == at)) for at in dict.fromkeys(one.at for one in means)]
    texts, drawn = ["Means with 95 % intervals."], arms
    if len(arms) > MOST_LINES:
        last = {one.arm: one.value for one in means}  # in the last band
        ordered = sorted(arms[1:], key=lambda arm: last[arm], reverse=means[0].measure not in BEST_IS_LOW)
        drawn = [arms[0], *ordered[: MOST_LINES - 2], ordered[-1]]
        texts.append(f"The figure shows {arms[0]} and, by the last {by}, the best arms and the worst one.")
    figure = figures.by_band(f"{_key(means)}-{by}", [one for one in means if one.arm in drawn], axis)
    return Section(f"{TASKS[task]}: {means[0].measure} by {by}", texts, (by, *arms), rows, figure)


def _key(means: list[TrialMean]) -> str:
    return f"{means[0].task}-{means[0].measure}".replace(" ", "-")


PLAN_HEADER = ("task", "arm", "parameters", "steps", "tokens", "processor seconds", "FLOPs", "learning rates")


def plan_rows(record: TrialRecord) -> list[tuple[str, ...]]:
    """A row for each cell, as PLAN_HEADER names them."""
    rates = {(one.arm, one.task): one.learning_rate for one in record.results if not one.tries}
    return [
        (
            cell.task, cell.arm, f"{cell.parameters:,}", f"{cell.steps:,}", f"{cell.steps * cell.tokens_a_step:,}",
            f"{cell.steps * cell.seconds_a_step:,.1f}", f"{cell.steps * cell.flops_a_step:.3g}",
            f"{rates[cell.arm, cell.task]:g}",
        )
        for cell in record.cells
    ]  # fmt: skip


def _budget_words(record: TrialRecord) -> str:
    alike = {"time": "processor time", "tokens": "processor time, or as many tokens", "flops": "FLOPs"}
    kind = max((cell.budget for cell in record.cells), key=["time", "flops", "tokens"].index)
    return (
        f"At each task the arms had as much {alike[kind]} as the first. Steps were counted from measured steps before "
        "the first training; the learning rate of each arm is the best of those tried for an eighth of its steps."
    )
