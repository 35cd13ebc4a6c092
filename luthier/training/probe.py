"""The rates of this machine, measured in a few seconds: products of several sizes, and memory's bandwidth.

A plan reads them later (planning/devices.py). Products have the sizes of small and middle models' layers, with as many
rows as training reads at once, and as few as a decoding step has.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from luthier.files import cache_folder
from luthier.machine import describe, threads
from luthier.planning.devices import ProductRate, Rates

WIDTHS = ((576, 1536), (1024, 4096), (2048, 8192))  # (in, out) of a product
ROWS = (8, 48, 1024)
SECONDS = 0.2  # for each product, at least two runs
COPIED = 64 * 2**20  # numbers that are copied to measure the bandwidth


def probe(seconds: float = SECONDS) -> Rates:
    """Measures this machine and keeps the rates in the user's cache, where they replace older ones."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def measured(name: str, kind: torch.dtype, rows: int, inputs: int, outputs: int) -> ProductRate:
        rate = _product(kind, rows, inputs, outputs, seconds, device)
        return ProductRate(precision=name, rows=rows, weights=inputs * outputs, flops=rate)

    products = [
        measured(name, kind, rows, inputs, outputs)
        for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        for inputs, outputs in WIDTHS
        for rows in ROWS
    ]
    rates = Rates(
        format=1,
        processor=str(describe(device)["processor"]),
        threads=threads(),
        device=device,
        bandwidth=_bandwidth(seconds, device),
        products=products,
    )
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    rates.write(folder)
    return rates


def _product(kind: torch.dtype, rows: int, inputs: int, outputs: int, seconds: float, device: str) -> float:
    """Operations a second of x W^T."""
    x, weight = (torch.ones(*size, dtype=kind, device=device) for size in ((rows, inputs), (outputs, inputs)))
    return 2 * rows * inputs * outputs / _best(lambda: torch.nn.functional.linear(x, weight), seconds)


def _bandwidth(seconds: float, device: str) -> float:
    """Bytes a second of a copy, read and written."""
    source = torch.ones(COPIED, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), seconds)


@torch.inference_mode()
def _best(run: Callable[[], Any], seconds: float) -> float:
    """The fastest run of those that fit into `seconds`, at least two: others on the machine only slow it down."""
    fastest, end = float("inf"), time.perf_counter() + seconds
    while fastest == float("inf") or time.perf_counter() < end:
        for _ in range(2):
            began = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            fastest = min(fastest, time.perf_counter() - began)
    return fastest
