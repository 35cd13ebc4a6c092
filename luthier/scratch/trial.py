"""luthier trial: small trainings from nothing, each arm with as much of a budget as the others, over several seeds.

    OUT/trial.json        the plan, fixed before the first training; what each training reached; means with intervals
    OUT/runs/NAME/        a training, as the one loop writes it; on text as `pretrain` does
    OUT/tokenizer/        the tokenizer of all
    OUT/trial.html        plots and tables

Steps are counted before anything is trained: some steps of every arm are measured, in turns, and the processor time of
a step gives how many steps an arm gets. The counts are kept, so a trial that was stopped or is repeated from its plan
takes the same steps. Every arm takes the best of a few learning rates, each tried for an eighth of its steps.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

from safetensors.torch import load_file
from torch import nn

from luthier.errors import SettingsError
from luthier.files import locked
from luthier.machine import keep_freed_memory, versions
from luthier.progress import bar, hushed, say, stoppable
from luthier.results.trial_record import TrialCell, TrialRecord, TrialResult, TrialScores
from luthier.scratch import objectives
from luthier.scratch.corpus import Corpus, read_corpus
from luthier.scratch.drawn import Draw, train_drawn
from luthier.scratch.held_out import HeldOut, sample_of
from luthier.scratch.lstm import LSTM
from luthier.scratch.pretrain import (
    Work,
    fit,
    model_of,
    prepare,
    pretrain,
    refuse_other_settings,
    refuse_other_text,
)
from luthier.scratch.pretraining import FEWEST_STEPS, Pretraining
from luthier.scratch.shape import row_flops
from luthier.scratch.trial_cells import RECALL, TEXT, Cell, Trial, cells_of
from luthier.scratch.trial_means import SECONDS, TOKENS_A_SECOND, means_of
from luthier.scratch.trial_tasks import (
    PAIRS,
    RECALL_IDS,
    Pieces,
    TextTask,
    pieces_of,
    recall_row,
    recall_scores,
    text_scores,
)

DRAWN_ROWS = 32  # rows of a step where rows are drawn
ROUNDS = 4  # in which the steps of every cell are measured, each on rows of its own
MEASURED_STEPS = 20  # in a round
TRIED = 1 / 8  # of the steps, for each learning rate
OTHERWISE = 0.25  # of the time: reading, judging, writing


@dataclass
class Watch:
    """Clocks at the beginning of each step of one sitting: called before each micro-batch, of which a step has one."""

    processor: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def __call__(self) -> None:
        self.processor.append(time.process_time())
        self.wall.append(time.perf_counter())

    def seconds(self) -> tuple[float, float]:
        """Processor and wall seconds of a step, the mean of those seen; the first one is left out.

        No median: an LSTM takes three times as long for rows of several documents as for rows of one.
        """
        processor, wall = ((times[-1] - times[1]) / (len(times) - 2) for times in (self.processor, self.wall))
        return max(processor, 1e-6), max(wall, 1e-6)  # a clock may be coarse


@dataclass
class Desk:
    """What the trainings of a trial share."""

    trial: Trial
    out: Path
    command: str
    text: Corpus
    pieces: Pieces | None = None

    def work(self, settings: Pretraining) -> Work:
        return prepare(settings, self.out / "tokenizer", self.text)

    def task(self, cell: Cell, work: Work) -> TextTask:
        """One of the tasks on text, in the rows of the cell's family."""
        if self.pieces is None:
            self.pieces = pieces_of(self.text, self.trial.corpus, work.encode)
        return TextTask(cell.task, objectives.FAMILY[cell.settings.objective], self.pieces, work.ids)


def run_trial(trial: Trial, out: Path, command: str = "") -> TrialRecord:
    """Plans, trains every arm with every seed, judges, and writes trial.html; goes on with a trial that was stopped.

    Raises DataError for a text that cannot be read or used, SettingsError for minutes that are too few, FolderError for
    a folder of another trial.
    """
    keep_freed_memory()
    with locked(out), stoppable():
        given, cells = trial.model_dump(mode="json"), cells_of(trial)
        record = TrialRecord.read_if_there(out)
        if record is not None:
            refuse_other_settings(out, "trial", record.settings, given)
        desk = Desk(trial, out, command, read_corpus(trial.corpus))
        if record is None:
            record = _planned(desk, cells)
            record.write(out)
        else:
            refuse_other_text(out, record.corpus_sha256, desk.text.sha256)
        if not record.finished:
            say(plan_words(record))
            record = _trained(desk, cells, record)
            arms = list(dict.fromkeys(cell.arm for cell in cells))
            record = record.model_copy(update={"means": means_of(record.results, arms), "finished": True})
            record.write(out)
        from luthier.scratch.trial_page import write_page

        write_page(out, record)
        return record


def plan_words(record: TrialRecord) -> str:
    """What the minutes buy."""
    seeds, first = int(record.settings["seeds"]), record.cells[0]
    steps = sum(cell.steps * (seeds + TRIED * _rates(record, cell)) * cell.seconds_a_step for cell in record.cells)
    trainings = sum(seeds + _rates(record, cell) for cell in record.cells)
    return (
        f"{record.settings['minutes']:g} minutes buy {trainings} trainings of {len(record.cells)} cells: {first.arm}, "
        f"with {first.parameters:,} parameters, reads {first.steps * first.tokens_a_step:,} tokens of {first.task}; "
        f"all steps take about {steps:,.0f} processor seconds at {record.processors:.1f} processors"
    )


def _rates(record: TrialRecord, cell: TrialCell) -> int:
    """How many learning rates a cell tries."""
    cells = cells_of(Trial(**record.settings))
    return next(len(one.rates) for one in cells if (one.arm, one.task) == (cell.arm, cell.task))


# --------------------------------------------------------------------------------------------------------------- plan


def _planned(desk: Desk, cells: list[Cell]) -> TrialRecord:
    trial = desk.trial
    seconds, spent, processors = _measured(desk, cells)
    sizes = [_size(desk, cell) for cell in cells]
    first = {cell.task: number for number, cell in reversed(list(enumerate(cells)))}  # of each task
    prices = []
    for number, cell in enumerate(cells):
        one = first[cell.task]
        by = {"time": seconds[number], "tokens": seconds[one], "flops": seconds[one] * sizes[number][1] / sizes[one][1]}
        prices.append(by[cell.budget] / cell.share)
    trainings = [trial.seeds + TRIED * len(cell.rates) for cell in cells]
    beside = sum((trial.seeds + len(cell.rates)) * one for cell, one in zip(cells, spent, strict=True))
    least = FEWEST_STEPS * max(prices)
    rate = sum(n * one / price for n, one, price in zip(trainings, seconds, prices, strict=True))
    whole = (trial.minutes * 60 * processors * (1 - OTHERWISE) - beside) / rate
    if whole < least:
        needed = (least * rate + beside) / (1 - OTHERWISE) / processors / 60
        raise SettingsError(
            f"--minutes is {trial.minutes:.3g}; this trial takes at least {needed:.2g} here, so give more"
        )
    steps = [int(whole / price) for price in prices]
    return TrialRecord(
        format=1, settings=trial.model_dump(mode="json"), command=desk.command, versions=versions(),
        corpus_sha256=desk.text.sha256, processors=processors,
        cells=[
            TrialCell(
                arm=cell.arm, task=cell.task, budget=cell.budget, steps=count, tokens_a_step=tokens,
                seconds_a_step=second, flops_a_step=flops, parameters=parameters,
            )
            for cell, count, second, (tokens, flops, parameters) in zip(cells, steps, seconds, sizes, strict=True)
        ],
        results=[], means=[], finished=False,
    )  # fmt: skip


def _measured(desk: Desk, cells: list[Cell]) -> tuple[list[float], list[float], float]:
    """Processor seconds of a step of each cell and of all else around its steps; how many processors the steps used."""
    once = {cell.task: cell for cell in cells}.values()
    seen: list[list[tuple[float, float, float]]] = [[] for _ in cells]
    with bar("measure a step of every arm", len(once) + ROUNDS * len(cells), "measurements") as shown:

        def measured(cell: Cell, number: int) -> tuple[float, float, float]:
            with hushed():
                times = step_seconds(desk, cell, number)
            shown.advance()
            return times

        for cell in once:
            measured(cell, 0)  # what is made once, such as the tokenizer, is no cost of a training
        for number in range(ROUNDS):
            for cell, times in zip(cells, seen, strict=True):
                times.append(measured(cell, number))
    steps, spent = ([fmean(time[n] for time in times) for times in seen] for n in (0, 2))
    processor, wall = (sum(time[n] for times in seen for time in times) for n in (0, 1))
    return steps, spent, processor / wall


def step_seconds(desk: Desk, cell: Cell, seed: int) -> tuple[float, float, float]:
    """Processor and wall seconds of a step of the cell's training, from a few of them in a folder of their own; and
    processor seconds of what is done around them. `seed` draws the rows."""
    watch, began = Watch(), time.process_time()
    tokens = MEASURED_STEPS * cell.settings.rows_a_step * cell.settings.row
    settings = cell.settings.model_copy(update={"seed": seed, "tokens": tokens})
    with tempfile.TemporaryDirectory(prefix="luthier-trial-") as own:
        if cell.task == TEXT:
            fit(desk.work(settings), Path(own), lambda: 0.0, watch)
        else:
            train_drawn(
                _first(desk, cell, seed, None)[0], _draw(desk, cell), steps=MEASURED_STEPS, rows=DRAWN_ROWS, seed=seed,
                folder=Path(own), watch=watch,
            )  # fmt: skip
    processor, wall = watch.seconds()
    return processor, wall, max(0.0, time.process_time() - began - MEASURED_STEPS * processor)


def _size(desk: Desk, cell: Cell) -> tuple[int, float, int]:
    """(tokens read, FLOPs) of a step, and parameters."""
    settings, work = cell.settings, desk.work(cell.settings)
    family, rows, shape = objectives.FAMILY[settings.objective], settings.rows_a_step, work.shape
    read, losses, written = settings.row, settings.row, 0
    if family == "encoder":
        losses = round(objectives.SHARE * settings.row)
    if family == "encoder-decoder":
        _, _, read, written = objectives.span_lengths(objectives.tokens_for_inputs(settings.row))
        losses = written
    if cell.task == RECALL:
        shape, rows, read, losses = settings.shape(RECALL_IDS), DRAWN_ROWS, 4 * PAIRS - 1, PAIRS
    elif cell.task != TEXT:
        source, target = desk.task(cell, work).asked(0, range(10**3), random.Random(0))
        row = desk.task(cell, work).row(source, target)
        read, losses, written, rows = len(row.source) or len(row.ids), len(target), len(target), DRAWN_ROWS
        written = written if row.source else 0
    module = model_of(settings, shape)
    flops = rows * row_flops(shape, read, losses, written)
    if isinstance(module, LSTM):
        flops = module.training_flops(rows * read)
    return rows * (read + written), flops, sum(parameter.numel() for parameter in module.parameters())


# ---------------------------------------------------------------------------------------------------------- trainings


def _trained(desk: Desk, cells: list[Cell], record: TrialRecord) -> TrialRecord:
    """Every training that is not there yet, kept one by one."""
    plan = {(cell.arm, cell.task): cell for cell in record.cells}

    def seconds(trainings: list[tuple[Cell, int, float | None]]) -> float:
        planned = ((plan[cell.arm, cell.task], rate) for cell, _, rate in trainings)
        return sum(_steps(one, tries=rate is not None) * one.seconds_a_step for one, rate in planned)

    left, whole = _order(desk.trial, cells, record.results), seconds(_order(desk.trial, cells, []))
    with bar("train", whole, "processor seconds of steps", whole - seconds(left)) as shown:
        for cell, seed, rate in left:
            planned = plan[cell.arm, cell.task]
            chosen = _best_rate(record.results, cell) if rate is None else rate
            with hushed():
                result = _train(desk, cell, planned, seed, chosen, tries=rate is not None)
            record = record.model_copy(update={"results": [*record.results, result]})
            record.write(desk.out)
            (folder_of(desk.out, cell, seed, rate) / "checkpoint.safetensors").unlink(missing_ok=True)
            shown.advance(seconds([(cell, seed, rate)]), f"{cell.arm}, {cell.task}: loss {result.loss:.3f}")
    return record


def _steps(planned: TrialCell, *, tries: bool) -> int:
    return max(FEWEST_STEPS, int(TRIED * planned.steps)) if tries else planned.steps


def _order(trial: Trial, cells: list[Cell], done: list[TrialResult]) -> list[tuple[Cell, int, float | None]]:
    """What is still to be trained: task by task, rates first, then seed by seed, so that arms take turns."""
    known = {(one.arm, one.task, one.seed, one.learning_rate if one.tries else None) for one in done}
    order = []
    for task in dict.fromkeys(cell.task for cell in cells):
        own = [cell for cell in cells if cell.task == task]
        wanted: list[tuple[Cell, int, float | None]] = [(cell, trial.seed, rate) for cell in own for rate in cell.rates]
        wanted += [(cell, trial.seed + n, None) for n in range(trial.seeds) for cell in own]
        order += [one for one in wanted if (one[0].arm, one[0].task, *one[1:]) not in known]
    return order


def _best_rate(results: list[TrialResult], cell: Cell) -> float:
    """The learning rate whose shorter training came to the lowest loss."""
    tried = [one for one in results if one.tries and (one.arm, one.task) == (cell.arm, cell.task)]
    return float(min(tried, key=lambda one: one.loss).learning_rate)


def folder_of(out: Path, cell: Cell, seed: int, rate: float | None = None) -> Path:
    """The folder of a training."""
    name = "".join(sign if sign.isalnum() or sign == "-" else "-" for sign in f"{cell.task}-{cell.arm}".lower())
    return out / "runs" / (f"{name}-{seed}" if rate is None else f"{name}-rate-{rate:g}")


def _train(desk: Desk, cell: Cell, planned: TrialCell, seed: int, rate: float, *, tries: bool) -> TrialResult:
    folder, watch = folder_of(desk.out, cell, seed, rate if tries else None), Watch()
    steps = _steps(planned, tries=tries)
    if cell.task == TEXT:
        loss, scores = _text(desk, cell.settings, folder, watch, seed=seed, steps=steps, rate=rate, tries=tries)
    else:
        module, work = _first(desk, cell, seed, desk.out)
        losses = train_drawn(module, _draw(desk, cell), steps=steps, rows=DRAWN_ROWS, learning_rate=rate, seed=seed,
                             folder=folder, watch=watch)  # fmt: skip
        last = losses[-max(1, len(losses) // 10) :]
        loss, scores = sum(last) / len(last), []
        if not tries:
            scores = recall_scores(module) if cell.task == RECALL else desk.task(cell, work).scores(module)
    if not tries:
        # Steps that an earlier sitting took are not on these clocks; where nearly all were its, the plan's count.
        seconds = watch.seconds()[0] if len(watch.processor) > 3 else planned.seconds_a_step
        for measure, value in ((SECONDS, steps * seconds), (TOKENS_A_SECOND, planned.tokens_a_step / seconds)):
            scores.append(TrialScores(measure=measure, at="", values=[value], weights=None))
    return TrialResult(arm=cell.arm, task=cell.task, seed=seed, tries=tries, learning_rate=rate, steps=steps, loss=loss,
                       scores=scores)  # fmt: skip


def _text(
    desk: Desk, settings: Pretraining, folder: Path, watch: Watch, *, seed: int, steps: int, rate: float, tries: bool
) -> tuple[float, list[TrialScores]]:
    """A pretraining, through pretrain's own door, and what a model that gives texts a likelihood makes of them."""
    tokens = steps * settings.rows_a_step * settings.row
    settings = settings.model_copy(update={"seed": seed, "tokens": tokens, "learning_rate": rate})
    trained = pretrain(settings, folder, desk.command, text=desk.text, tokenizers=desk.out / "tokenizer", watch=watch)
    if tries or not settings.is_causal:
        return float(trained.loss or 0), []
    work = _weights(desk, settings, folder)
    held_out = HeldOut(sample_of(desk.text.held_out, settings.held_out_bytes), work.encode, work.ids.end, settings.row)
    scores = text_scores(
        work.module, desk.text, work.encode, held_out.nats(work.module), end=work.ids.end, row=settings.row,
        most_bytes=settings.held_out_bytes,
    )  # fmt: skip
    return float(trained.loss or 0), scores


def _weights(desk: Desk, settings: Pretraining, folder: Path) -> Work:
    work = desk.work(settings)
    work.module.load_state_dict(load_file(folder / "weights" / "model.safetensors"))
    return replace(work, module=work.module.eval())


def _first(desk: Desk, cell: Cell, seed: int, trained: Path | None) -> tuple[nn.Module, Work]:
    """The model that a training on drawn rows begins with: for a task on text, the one that was pretrained with the
    seed, where there are such."""
    settings = cell.settings.model_copy(update={"seed": seed})
    work = desk.work(settings)
    if cell.task == RECALL:
        return model_of(settings, settings.shape(RECALL_IDS)), work
    if trained is not None:
        work = _weights(desk, settings, folder_of(trained, replace(cell, task=TEXT), seed))
    return work.module, work


def _draw(desk: Desk, cell: Cell) -> Draw:
    """What draws the rows that a cell trains on."""
    return recall_row if cell.task == RECALL else desk.task(cell, desk.work(cell.settings)).draw
