"""scale run: a ladder of small trainings sized to some minutes, whose largest size is predicted before it is trained.

    OUT/ladder.json        what the minutes buy: every cell, planned before the first one runs, and the predictions
    OUT/cells/NAME/        the training of a cell, as `pretrain` writes it
    OUT/points.csv         a row for each finished cell, ready for `scale fit`

A ladder has four sizes and four ratios of tokens to parameters. Two cells of the smallest size have two more seeds, so
the spread of seeds is known. A ladder that was stopped goes on; its plan is that of the first sitting.

The rule for rate and batch: every cell has pretrain's learning rate and a batch of the square root of its tokens, at
least 1,024. Cells of the smallest and the largest size check it, with half and twice the rate, and half and twice the
batch. They are no points. All cells compute in fp32, so that points of two machines lie on one law.

With a trunk the cells of one size and seed are one training of which each is a branch: the rate rises and stays, and
over the last COOLDOWN of a cell's steps it falls. A cell begins where the fall of the next shorter one began. So the
batch and the order of rows are those of the longest, the rise is that of the shortest, and the steps in common are made
once.
"""

from __future__ import annotations

import csv
import io
import math
import time
from pathlib import Path

import numpy as np
import torch

from luthier.errors import FolderError, SettingsError
from luthier.files import locked, write_text
from luthier.progress import bar, hushed, say
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.pretrain_record import PretrainRecord
from luthier.results.record import read_lines_of
from luthier.results.scaling_record import Cell, LadderRecord, Prediction
from luthier.scratch.backtest import LEVEL, predictor
from luthier.scratch.corpus import DOCSTRINGS, read_corpus
from luthier.scratch.objectives import Vocabulary
from luthier.scratch.points import FEWEST, Points
from luthier.scratch.pretrain import pretrain, sweep_parts
from luthier.scratch.pretraining import Pretraining
from luthier.scratch.rows import RowBatches, loss_of
from luthier.scratch.shape import training_flops
from luthier.scratch.transformer import Transformer

WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384)  # of 512, RATIOS ask for more tokens than a training may have
SIZES = 4  # of a ladder
RATIOS = (5, 10, 20, 40)  # tokens a parameter
SEEDS = 3  # of the smallest size at the first and last ratio
COOLDOWN = 0.2  # share of a cell's steps over which its rate falls, with a trunk
RULE = (1.0, 1.0)  # rate and batch, in the rule's
BESIDE = ((0.5, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0))  # of the smallest and the largest size at the first ratio
VOCABULARY, ROW = 512, 128
GIGA = 1e9
COLUMNS = ("run", "parameters", "parameters_without_embeddings", "tokens", "flops", "loss", "seed")
TRUNK_COLUMNS = ("shared_steps", "seconds")  # steps that a shorter cell has made; seconds of all others


def settings_of(
    width: int, tokens: int, seed: int, corpus: str, beside: tuple[float, float] = RULE, longest: int | None = None
) -> Pretraining:
    """A cell's training: depth grows with width, and heads are 16 to 32 wide.

    `beside`: rate and batch to the rule's. `longest`: tokens of the longest cell of its trunk; all cells of a trunk
    rise as the shortest would alone.
    """
    rate, batch = beside
    warmup = Pretraining().warmup * (1 if longest is None else RATIOS[0] / RATIOS[-1])
    return Pretraining(
        corpus=corpus, vocabulary=VOCABULARY, width=width, layers=max(2, min(8, width // 24)),
        heads=max(1, width // 32), tokens=tokens, row=ROW, seed=seed, evaluations=1, held_out_bytes=100_000,
        learning_rate=rate * Pretraining().learning_rate, precision="fp32",
        batch_tokens=int(batch * max(1_024, math.isqrt(longest or tokens))), trunk_tokens=longest,
        cooldown=None if longest is None else COOLDOWN, warmup=warmup,
    )  # fmt: skip


def settings_in(cell: Cell, corpus: str, trunk: bool) -> Pretraining:
    """The training of a planned cell, with or without a trunk."""
    longest = cell.parameters * RATIOS[-1] if trunk else None
    return settings_of(cell.width, cell.tokens, cell.seed, corpus, (cell.rate, cell.batch), longest)


def planned(minutes: float, rate: float, corpus: str, trunk: bool = False) -> list[Cell]:
    """The cells of the largest ladder that fits into the minutes at `rate` FLOPs a second, smallest first.

    Raises SettingsError when not even the smallest ladder fits.
    """
    best: list[Cell] = []
    for first in range(len(WIDTHS) - SIZES + 1):
        cells = _cells(WIDTHS[first : first + SIZES], corpus, trunk)
        if sum(cell.own_flops for cell in cells) > minutes * 60 * rate:
            break
        best = cells
    if not best:
        least = sum(cell.own_flops for cell in _cells(WIDTHS[:SIZES], corpus, trunk)) / rate / 60
        raise SettingsError(f"--minutes is {minutes:g}; the smallest ladder takes about {least:.1f} here, so give more")
    return best


def _cells(widths: tuple[int, ...], corpus: str, trunk: bool) -> list[Cell]:
    cells: list[Cell] = []
    for width in widths:
        for ratio in RATIOS:
            repeated = width == widths[0] and ratio in (RATIOS[0], RATIOS[-1])
            checked = width in (widths[0], widths[-1]) and ratio == RATIOS[0]
            kinds = [(seed, RULE) for seed in range(SEEDS if repeated else 1)]
            kinds += [(0, beside) for beside in BESIDE] if checked else []
            for seed, (rate, batch) in kinds:
                shape = settings_of(width, 10**6, 0, corpus).shape(VOCABULARY)
                with torch.device("meta"):  # counted, not made
                    parameters = sum(parameter.numel() for parameter in Transformer(shape).parameters())
                name = f"w{width}-r{ratio}-s{seed}"
                name += "" if (rate, batch) == RULE else f"-rate{rate:g}-batch{batch:g}"
                cell = Cell(
                    name=name, width=width, ratio=ratio, seed=seed, parameters=parameters, tokens=ratio * parameters,
                    flops=0, rate=rate, batch=batch,
                )  # fmt: skip
                settings = settings_in(cell, corpus, trunk)
                found = {"flops": training_flops(shape, settings.tokens_read, ROW)}
                if trunk and (shorter := begun_by(cell, cells)):
                    common = settings_in(shorter, corpus, trunk)
                    tokens = common.shared_steps * common.rows_a_step * ROW
                    found["shared_flops"] = training_flops(shape, tokens, ROW)
                cells.append(cell.model_copy(update=found))
    return cells


def begun_by(cell: Cell, cells: list[Cell]) -> Cell | None:
    """With a trunk: the longest shorter cell of the same training, from whose copy this one begins."""

    def training(one: Cell) -> tuple[float, ...]:
        return one.width, one.seed, one.rate, one.batch

    shorter = [one for one in cells if training(one) == training(cell) and one.tokens < cell.tokens]
    return max(shorter, key=lambda one: one.tokens, default=None)


def measured_rate(width: int = 64) -> float:
    """FLOPs a second of a few training steps of a small model on this machine."""
    settings = settings_of(width, 10**6, 0, DOCSTRINGS)
    shape = settings.shape(VOCABULARY)
    module = Transformer(shape)
    rows = RowBatches(["x" * 4000], lambda text: [ord(sign) for sign in text], Vocabulary(VOCABULARY, 0),
                      objective="causal", row=ROW, steps=1, rows_a_step=32, micro_rows=32, seed=0)  # fmt: skip
    batch = next(iter(rows))[0]
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        loss_of(module, batch)[0].backward()
        seconds.append(time.perf_counter() - began)
    return training_flops(shape, 32 * ROW, ROW) / float(np.median(seconds[1:]))


def run_ladder(
    minutes: float, out: Path, *, corpus: str = DOCSTRINGS, trunk: bool = False, command: str = ""
) -> LadderRecord:
    """Trains every cell, predicts the largest size from the smaller ones before it is trained, and writes points.csv.

    `trunk`: cells of one size and seed share their first steps.

    Raises SettingsError for minutes that buy no ladder, FolderError for a folder of another ladder.
    """
    if not (math.isfinite(minutes) and 0 < minutes <= 100_000):
        raise SettingsError(f"--minutes is {minutes:g}; give a number above 0")
    with locked(out):
        sweep_parts(out, LadderRecord)
        record = LadderRecord.read_if_there(out)
        if record is None:
            torch.manual_seed(0)
            rate = measured_rate()
            record = LadderRecord(
                format=1, minutes=minutes, corpus=corpus, flops_a_second=rate,
                cells=planned(minutes, rate, corpus, trunk), predictions=[], level=LEVEL,
                **({"trunk": True} if trunk else {}),
            )  # fmt: skip
            record.write(out)
        elif (record.minutes, record.corpus, record.trunk) != (minutes, corpus, trunk):
            kind = "with" if record.trunk else "without"
            raise FolderError(
                f"{out}: holds a ladder of {record.minutes:g} minutes {kind} --trunk; name a new folder with --out"
            )
        say(ladder_words(record))
        text = read_corpus(corpus)
        largest = max(cell.width for cell in record.cells)
        with bar("train", sum(cell.own_flops for cell in record.cells) / GIGA, "GFLOP") as shown:
            for cell in record.cells:
                if cell.width == largest and not record.predictions:
                    record = record.model_copy(update={"predictions": _predictions(record, out, largest)})
                    record.write(out)
                shorter = begun_by(cell, record.cells) if trunk else None
                begin = None if shorter is None else out / "cells" / shorter.name
                with hushed():
                    pretrain(
                        settings_in(cell, corpus, trunk), out / "cells" / cell.name, command, text=text,
                        tokenizers=out / "tokenizer", begin=begin,
                    )  # fmt: skip
                _write_points(record, out)
                shown.advance(cell.own_flops / GIGA, cell.name)
        return record


def ladder_words(record: LadderRecord) -> str:
    """What the minutes buy."""
    total, shared = (sum(values) for values in zip(*((c.own_flops, c.shared_flops) for c in record.cells), strict=True))
    sizes = sorted({cell.parameters for cell in record.cells})
    return (
        f"{record.minutes:g} minutes at {record.flops_a_second / 1e9:.0f} GFLOP/s buy {len(record.cells)} trainings, "
        f"{sizes[0]:,} to {sizes[-1]:,} parameters, {RATIOS[0]} to {RATIOS[-1]} tokens a parameter: {total:.2g} FLOPs"
        + (f"; steps that trainings share are made once and not again, for {shared:.2g} FLOPs" if record.trunk else "")
    )


def finished(record: LadderRecord, out: Path) -> list[tuple[Cell, PretrainRecord]]:
    """The points: cells by the rule whose training has ended."""
    return _ended([cell for cell in record.cells if not cell.is_check], out)


def _ended(cells: list[Cell], out: Path) -> list[tuple[Cell, PretrainRecord]]:
    found = []
    for cell in cells:
        trained = PretrainRecord.read_if_there(out / "cells" / cell.name)
        if trained is not None and trained.finished and trained.held_out is not None:
            found.append((cell, trained))
    return found


def loss_a_byte(trained: PretrainRecord) -> float:
    """Nats a byte of the held-out documents."""
    assert trained.held_out is not None
    return float(trained.held_out.value) * math.log(2)


def _predictions(record: LadderRecord, out: Path, largest: int) -> list[Prediction]:
    done = [(cell, trained) for cell, trained in finished(record, out) if cell.width < largest]
    if len(done) < FEWEST:
        raise FolderError(f"{out}: only {len(done)} smaller cells are finished; run the ladder again")
    n, d = (np.array(values, float) for values in zip(*((t.parameters, t.tokens) for _, t in done), strict=True))
    losses = np.array([loss_a_byte(trained) for _, trained in done])
    # Seeds of one cell are one run: they say nothing about other sizes.
    runs = tuple(f"{cell.width}-{cell.ratio}" for cell, _ in done)
    made = predictor(Points(n, d, losses, d, runs))
    ahead = [cell for cell in record.cells if cell.width == largest and not cell.is_check]
    loss, low, high = made.tested.interval(
        np.array([cell.parameters for cell in ahead], float), np.array([cell.tokens for cell in ahead], float)
    )
    return [
        Prediction(cell=cell.name, loss=float(loss[k]), low=float(low[k]), high=float(high[k]))
        for k, cell in enumerate(ahead)
    ]


def _write_points(record: LadderRecord, out: Path) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*COLUMNS, *(TRUNK_COLUMNS if record.trunk else ())))
    for cell, trained in finished(record, out):
        row: tuple[object, ...] = (
            f"{cell.width}-{cell.ratio}", trained.parameters, trained.parameters_without_embeddings, trained.tokens,
            f"{trained.flops:.6g}", f"{loss_a_byte(trained):.6f}", cell.seed,
        )  # fmt: skip
        if record.trunk:
            steps = read_lines_of(Step, out / "cells" / cell.name / METRICS_FILE)
            row = (*row, trained.shared_steps or 0, f"{sum(step.seconds for step in steps):.3f}")
        table.writerow(row)
    write_text(out / "points.csv", text.getvalue())


PREDICTION_HEADER = ("cell", "predicted", "90 % interval", "reached", "inside")


def prediction_rows(record: LadderRecord, out: Path) -> list[tuple[str, ...]]:
    """Each cell of the largest size: predicted and reached, in nats a byte."""
    reached = {cell.name: loss_a_byte(trained) for cell, trained in finished(record, out)}
    rows: list[tuple[str, ...]] = []
    for one in record.predictions:
        loss = reached.get(one.cell)
        inside = "-" if loss is None else "yes" if one.low <= loss <= one.high else "no"
        rows.append((one.cell, f"{one.loss:.4f}", f"{one.low:.4f} to {one.high:.4f}",
                     "-" if loss is None else f"{loss:.4f}", inside))  # fmt: skip
    return rows


RULE_HEADER = ("parameters", "tokens", "the rule", *(f"rate x {rate:g}, batch x {batch:g}" for rate, batch in BESIDE))


def rule_rows(record: LadderRecord, out: Path) -> list[tuple[str, ...]]:
    """Of each size that checks the rule: its loss by the rule in nats a byte, and how much more it is beside it."""
    rows: list[tuple[str, ...]] = []
    for width in sorted({cell.width for cell in record.cells if cell.is_check}):
        cells = [cell for cell in record.cells if (cell.width, cell.ratio, cell.seed) == (width, RATIOS[0], 0)]
        loss = {(cell.rate, cell.batch): loss_a_byte(trained) for cell, trained in _ended(cells, out)}
        more = [f"{loss[one] - loss[RULE]:+.4f}" if {one, RULE} <= loss.keys() else "-" for one in BESIDE]
        by_rule = f"{loss[RULE]:.4f}" if RULE in loss else "-"
        rows.append((f"{cells[0].parameters:,}", f"{cells[0].tokens:,}", by_rule, *more))
    return rows
