"""luthier's own training, on the same rows in the same batches."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ours_loop import Ours  # isort: skip - before anything else that brings torch

import common

from luthier.records import Prompt
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.record import read_lines_of


def prompt(row):
    """A row of the benchmark as the record that the line carries."""
    cut = row["prompt_tokens"]
    return Prompt(id=row["id"], text="", prompt_ids=tuple(row["ids"][:cut]), target_ids=tuple(row["ids"][cut:]))


def main():
    order = common.order()
    warm_up, *timed = common.training_batches(order)
    ours = Ours(order)

    def trained(rows, folder):
        began = common.now()
        result = ours.train([prompt(row) for row in rows], len(warm_up), folder)
        took = common.now() - began
        losses = [step.loss for step in read_lines_of(Step, folder / METRICS_FILE)]
        return took | {"seconds": result.seconds}, losses

    with tempfile.TemporaryDirectory(dir=order["scratch"]) as scratch:
        _, first = trained(warm_up, Path(scratch) / "warm-up")
        took, losses = trained([row for batch in timed for row in batch], Path(scratch) / "timed")
    precision = {"torch.float32": "fp32", "torch.bfloat16": "bf16"}[str(ours.model.dtype)]
    packages = ("luthier", "torch", "transformers", "peft")
    common.report_training(packages, timed, took, losses=first + losses, precision=precision)


if __name__ == "__main__":
    main()
