"""pretrain.html: loss by step, bits a byte beside the compressors, and what the model writes."""

from __future__ import annotations

from pathlib import Path

from luthier.reports.plots import curves
from luthier.reports.sheet import Section, write_sheet
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.pretrain_record import BitsPerByte, PretrainRecord
from luthier.results.record import read_lines_of

PAGE = "pretrain.html"


def bits_rows(record: PretrainRecord) -> list[tuple[str, ...]]:
    """(text, bits a byte, interval, xz, bzip2, documents, bytes) of each held-out text."""
    texts: tuple[tuple[str, BitsPerByte | None], ...] = (
        ("held-out documents", record.held_out),
        ("held-out packages", record.elsewhere),
    )

    def ends(one: BitsPerByte) -> str:
        return "-" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"

    return [
        (
            name, f"{one.value:.3f}", ends(one), f"{one.xz:.3f}", f"{one.bzip2:.3f}", f"{one.documents:,}",
            f"{one.bytes:,}",
        )
        for name, one in texts
        if one is not None
    ]  # fmt: skip


BITS_HEADER = ("text", "bits a byte", "95 % interval", "xz -9e", "bzip2 -9", "documents", "bytes")


def record_words(record: PretrainRecord) -> list[str]:
    """What was trained, in sentences."""
    words = [
        f"{record.parameters:,} parameters ({record.parameters_without_embeddings:,} without embeddings) read "
        f"{record.tokens or 0:,} tokens in {record.steps:,} steps, {record.flops:.2g} FLOPs, with products in "
        f"{record.precision}; the last tenth of the steps had a loss of {record.loss or 0:.3f} nats a token."
    ]
    if record.shared_steps:
        words.append(
            f"The first {record.shared_steps:,} of the steps were made by a shorter training that begins the same; the "
            "FLOPs are those of all steps."
        )
    if record.held_out:
        words.append(
            "xz and bzip2 saw the held-out documents alone; the model saw none of them, but the training text before."
        )
    return words


def write_page(out: Path, record: PretrainRecord) -> Path:
    """Writes the page into the training's folder."""
    lines = read_lines_of(Step, out / METRICS_FILE)
    measure = "minus bits a byte" if record.held_out else "minus the loss"
    best = max((line for line in lines if line.dev is not None), key=lambda line: line.dev or 0, default=None)
    drawn = curves({"model": lines}, {"model": best.step if best else None}, measure)
    sections = [Section("Loss by step", figure=drawn)]
    if rows := bits_rows(record):
        sections.append(Section("Bits a byte", header=BITS_HEADER, rows=rows))
    for sample in record.samples or []:
        sections.append(Section(f"Behind “{' '.join(sample.prompt.split())}”", code=sample.text))
    sections.append(Section("Make it again", [f"text sha256 {record.corpus_sha256}"], code=record.command))
    return write_sheet(out / PAGE, "A model from nothing", record_words(record), sections)
