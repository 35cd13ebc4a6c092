"""Devices: memory, bandwidth and rates, stated by their makers or measured on this machine.

A stated rate is a peak. Training reaches a part of it (`SHARE`), which a measured rate holds already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from luthier import machine
from luthier.errors import FolderError, SettingsError
from luthier.files import cache_folder
from luthier.results.record import FirstFormat, Number, Part, Record

if TYPE_CHECKING:
    from luthier.planning.learned import Learned

SHARE = {"cuda": 0.45, "cpu": 0.6, "mps": 0.45}  # of a stated peak that large products of a training reach
# Of blocks at work. The adapted ones are what LoRA's updates take, where they stay beside the weights that answer.
Phase = Literal["training", "reading", "writing", "adapted reading", "adapted writing"]
HERE = "here"  # the machine that plans


@dataclass(frozen=True)
class Device:
    """One device. `flops` are operations a second by precision, `bandwidth` bytes a second, `memory` bytes."""

    name: str
    kind: Literal["cpu", "cuda", "mps"]
    memory: float
    bandwidth: float
    flops: dict[str, float]
    measured: Rates | None = None
    learned: Learned | None = None  # from finished arms on it (learned.py); None: nothing

    def rate(self, precision: str, weights: float = 1e7, rows: float = 1024) -> float:
        """Operations a second of a product of `rows` rows with a matrix of `weights` numbers."""
        if self.measured is not None:
            return self.measured.rate(precision, weights, rows)
        known = self.flops.get(precision) or self.flops["fp32"]
        return SHARE[self.kind] * known

    def beside(self, phase: Phase, precision: str) -> float:
        """Seconds of one unit of a phase that blocks took beside products and bytes; 0 where no probe saw them."""
        return self.measured.beside(phase, precision) if self.measured is not None else 0.0

    @property
    def source(self) -> str:
        return "measured" if self.measured is not None else "stated"


class ProductRate(Part):
    """A measured product: `rows` rows with a matrix of `weights` numbers."""

    precision: str
    rows: int
    weights: int
    flops: Number  # operations a second


class BlockTime(Part):
    """Blocks of a small model at work. `planned` are the seconds of their products and bytes alone.

    `units` are the numbers that all activations of training or reading hold, and the calls of a block in writing; of
    what is adapted the numbers that go into adapted layers and come out, and the calls of such a layer. There `planned`
    is what the same blocks took without an update.
    """

    precision: str
    phase: Phase
    units: Annotated[Number, Field(gt=0)]
    planned: Number
    measured: Number

    @property
    def beside(self) -> float:
        """Seconds of one unit beside products and bytes: norms, casts, attention, and the program that calls them."""
        return max(0.0, self.measured - self.planned) / self.units


class Rates(Record):
    """rates.json in the user's cache: what a probe of this machine measured."""

    FILE: ClassVar[str] = "rates.json"
    REMEDY: ClassVar[str] = "remove the file, and measure again with `luthier plan --probe`"

    format: FirstFormat = 1
    processor: str
    threads: int
    device: str
    bandwidth: Number  # bytes a second, read and written
    products: list[ProductRate]
    blocks: tuple[BlockTime, ...] = ()  # none in a file of earlier versions

    def beside(self, phase: Phase, precision: str) -> float:
        """`BlockTime.beside`; 0 for what was not measured."""
        return next((one.beside for one in self.blocks if (one.phase, one.precision) == (phase, precision)), 0.0)

    def rate(self, precision: str, weights: float, rows: float) -> float:
        """The rate of the measured product nearest in the logarithm of both sizes."""
        of_precision = [one for one in self.products if one.precision == precision] or self.products

        def distance(one: ProductRate) -> float:
            return abs(math.log(one.weights / max(weights, 1))) + 2 * abs(math.log(one.rows / max(rows, 1)))

        return float(min(of_precision, key=distance).flops)


_GB, _TERA = 1e9, 1e12
# Dense rates without sparsity, memory and bandwidth, from the makers' data sheets. A laptop's and Apple's are typical.
_ROWS = (
    Device("laptop", "cpu", 16 * _GB, 50e9, {"fp32": 0.4 * _TERA, "bf16": 0.2 * _TERA}),
    Device("m2", "mps", 16 * _GB, 100e9, {"fp32": 3.6 * _TERA, "bf16": 3.6 * _TERA}),
    Device("m3-max", "mps", 48 * _GB, 400e9, {"fp32": 14.2 * _TERA, "bf16": 14.2 * _TERA}),
    Device("t4", "cuda", 16 * _GB, 320e9, {"fp32": 8.1 * _TERA, "bf16": 8.1 * _TERA, "fp16": 65 * _TERA}),
    Device("a10g", "cuda", 24 * _GB, 600e9, {"fp32": 31.2 * _TERA, "bf16": 70 * _TERA}),
    Device("l4", "cuda", 24 * _GB, 300e9, {"fp32": 30.3 * _TERA, "bf16": 121 * _TERA}),
    Device("rtx-4090", "cuda", 24 * _GB, 1008e9, {"fp32": 82.6 * _TERA, "bf16": 165 * _TERA}),
    Device("a100-40", "cuda", 40 * _GB, 1555e9, {"fp32": 19.5 * _TERA, "bf16": 312 * _TERA}),
    Device("l40s", "cuda", 48 * _GB, 864e9, {"fp32": 91.6 * _TERA, "bf16": 362 * _TERA}),
    Device("a100", "cuda", 80 * _GB, 2039e9, {"fp32": 19.5 * _TERA, "bf16": 312 * _TERA}),
    Device("h100", "cuda", 80 * _GB, 3350e9, {"fp32": 67 * _TERA, "bf16": 989 * _TERA}),
    Device("h200", "cuda", 141 * _GB, 4800e9, {"fp32": 67 * _TERA, "bf16": 989 * _TERA}),
)
DEVICES: dict[str, Device] = {row.name: row for row in _ROWS}


def device(name: str) -> Device:
    """The device called `name`; 'here' is this machine's processor. Raises SettingsError that lists the names."""
    if name == HERE:
        return processor()
    if name.lower() not in DEVICES:
        raise SettingsError(f"device '{name}' is not known; there are: {HERE}, {', '.join(DEVICES)}")
    return DEVICES[name.lower()]


def this_machine(kind: str) -> Device | None:
    """What computes here, 'cpu' or another kind. None for a GPU without a probe: nothing says how fast it is."""
    if kind == "cpu":
        return processor()
    rates = _rates_of(kind)
    if rates is None or kind != "cuda":
        return None
    return of_rates(rates)


def of_rates(rates: Rates) -> Device:
    """The device that was measured, whose memory is not asked for."""
    kind: Literal["cpu", "cuda"] = "cuda" if rates.device == "cuda" else "cpu"
    return Device(HERE, kind, math.inf, float(rates.bandwidth), {}, rates)


def processor() -> Device:
    """This machine's processor: its memory, and its measured rates where a probe of it is kept, else a laptop's."""
    plain = replace(DEVICES["laptop"], name=HERE, memory=float(machine.memory_bytes()))
    rates = _rates_of("cpu")
    return plain if rates is None else replace(plain, bandwidth=float(rates.bandwidth), measured=rates)


def _rates_of(kind: str) -> Rates | None:
    """Kept rates that were measured on a machine with this processor, and with as many threads where it computes."""
    rates = kept_rates()
    if rates is None or (rates.processor, rates.device) != (machine.processor().name, kind):
        return None
    return rates if kind != "cpu" or rates.threads == machine.threads() else None


def kept_rates() -> Rates | None:
    """The rates in the user's cache, if a probe was made; None for a user without a place for a cache."""
    try:
        cache = cache_folder()
    except FolderError:
        return None
    return Rates.read_if_there(cache)
