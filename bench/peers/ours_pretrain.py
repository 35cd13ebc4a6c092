"""luthier pretrain's own training on the text of the benchmark: its default model at a given width.

Its default optimizer is Muon. The others train with AdamW, which an order can ask for.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from luthier import machine

machine.keep_freed_memory()  # as `luthier pretrain` does

import common  # noqa: E402

from luthier.results.lines import METRICS_FILE, Step  # noqa: E402
from luthier.results.record import read_lines_of  # noqa: E402
from luthier.scratch.pretrain import fit, prepare  # noqa: E402
from luthier.scratch.pretraining import Pretraining  # noqa: E402


def settings(order):
    """The defaults, but for the text, the shape and the length; the clock is looked at after each step."""
    steps, a_step = order["steps"] + 1, order["rows_a_step"] * order["row"]
    shape = {key: order[key] for key in ("width", "layers", "heads", "row", "optimizer") if key in order}
    return Pretraining(
        corpus=str(Path(order["text"]) / "documents.jsonl"), vocabulary=order["vocabulary"], tokens=steps * a_step,
        batch_tokens=a_step, evaluations=steps, checkpoint_seconds=3600, **shape,
    )  # fmt: skip


def main():
    order = common.order()
    work = prepare(settings(order), Path(order["text"]) / "tokenizer")
    stamps = []

    def clock():
        stamps.append(common.now())
        return -len(stamps)  # each is worse than the first, so no further checkpoint is kept

    with tempfile.TemporaryDirectory(dir=order["scratch"]) as scratch:
        fit(work, Path(scratch), clock)
        _, *steps = read_lines_of(Step, Path(scratch) / METRICS_FILE)
    if len(steps) != order["steps"]:
        raise SystemExit(f"Error: {len(steps)} timed steps where {order['steps']} were ordered")
    took = stamps[-1] - stamps[0]
    parameters = sum(p.numel() for p in work.module.parameters())
    precision = "bf16 autocast" if work.precision == "bf16" else work.precision
    common.report_pretraining(
        ("luthier", "torch"), order, work.shape.vocabulary, took, losses=[s.loss for s in steps], precision=precision,
        parameters=parameters,
    )  # fmt: skip


if __name__ == "__main__":
    main()
