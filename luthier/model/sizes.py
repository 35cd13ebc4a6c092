"""Sizes that a model's passes and narrow weights go by, and that plans count with. No torch when imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from luthier.errors import SettingsError

ATTENTION_BLOCK = 64  # queries at once in attention by blocks, the fastest of several sizes (docs/log.md)
MOST_KEYS = 512  # of more keys the backward pass computes the probabilities again: kept, they take too much memory
INT4_GROUP = 32  # weights that share a scale
LAID_OUT_BLOCK = 512  # outputs: MKL fills a weight in fp32 that it lays out up to whole blocks of them (docs/log.md)
NARROW_BLOCK = 64, 32  # outputs and inputs: oneDNN fills a weight in bf16 likewise
FEWEST_ROWS = 8  # for which weights in fp32 are laid out: fewer gain nothing, because memory bandwidth limits them
MOST_MEMORY_SHARE = 1 / 8  # of the machine's memory: weights that take more are not laid out a second time


@dataclass(frozen=True)
class Width:
    """One row of WIDTHS. `most` bounds the bytes of the linear weights, as a share of their bf16 size."""

    name: str
    bits: int
    by: str
    summary: str
    most: float

    @property
    def narrow(self) -> bool:
        """Whether the width replaces linear layers. Otherwise it casts the whole model."""
        return self.bits < 16


_ROWS = (
    Width("bf16", 16, "torch", "8 digits of mantissa", 1.0),
    Width("fp16", 16, "torch", "11 digits of mantissa, numbers up to 65,504", 1.0),
    Width("int8", 8, "bitsandbytes", "each output's weights scaled by their largest; int8 products", 0.52),
    Width("int4", 4, "torch", "-8 to 7, a scale for 32 weights", 0.29),
    Width(
        "nf4", 4, "bitsandbytes", "16 quantiles of the normal distribution, a scale for 64 weights, scaled again", 0.29
    ),
)
WIDTHS: dict[str, Width] = {row.name: row for row in _ROWS}
NARROW = tuple(row.name for row in _ROWS if row.narrow)


def width_called(name: str, where: str) -> Width:
    """The row of WIDTHS called `name`. Raises SettingsError that lists the rows."""
    if name not in WIDTHS:
        raise SettingsError(f"{where}: the width '{name}' is not known; there are: {', '.join(WIDTHS)}")
    return WIDTHS[name]


def laid_out_bytes(sizes: Iterable[tuple[int, int]], number: int) -> int:
    """Bytes of weights of (inputs, outputs), laid out in blocks (model/prepacked.py): MKL's of numbers of 4 bytes,
    oneDNN's of 2."""
    out_block, in_block = (LAID_OUT_BLOCK, 1) if number == 4 else NARROW_BLOCK
    return number * sum(-(-into // in_block) * in_block * -(-out // out_block) * out_block for into, out in sizes)


def fewest_rows(number: int) -> int:
    """How many answers are written at once at least where weights of numbers of so many bytes are laid out for them."""
    return FEWEST_ROWS if number == 4 else 1


def query_blocks(length: int) -> list[tuple[int, int]]:
    """(start, end) of each block of queries of a row of `length` tokens."""
    ends = [*range(ATTENTION_BLOCK, length, ATTENTION_BLOCK), length]
    return list(zip([0, *ends[:-1]], ends, strict=True))
