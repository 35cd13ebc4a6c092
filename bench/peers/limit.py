"""What the machine can do at best: square matrix products in fp32 and bf16, and memory read and triad bandwidth.

`device` is cpu or cuda. On a GPU fp32 products may use its TF32 units only where torch does so by itself.
"""

from __future__ import annotations

import common
import numpy as np
import torch

SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192, 16_384)}
REPEATS = 5
DOUBLES = 1 << 26  # 512 MiB an array, more than any cache


def best(run) -> float:
    """Seconds of the fastest of REPEATS runs after one that warms up."""
    run()
    seconds = []
    for _ in range(REPEATS):
        began = common.now()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append((common.now() - began)["seconds"])
    return min(seconds)


def products(dtype, device) -> dict[str, float]:
    """FLOP/s of C = A B by size: 2 n^3 operations each."""
    rates = {}
    for n in SIZES[device]:
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        rates[str(n)] = 2 * n**3 / best(lambda a=a, b=b: a @ b)
    return rates


def triad(device) -> float:
    """Bytes/s of a = b + s c (McCalpin 1995, STREAM), counted as three arrays moved."""
    a, b, c = (torch.ones(DOUBLES, dtype=torch.float64, device=device) for _ in range(3))
    return 3 * 8 * DOUBLES / best(lambda: torch.add(b, c, alpha=3.0, out=a))


def read(device) -> float:
    """Bytes/s of a sum over one array."""
    a = torch.ones(DOUBLES, dtype=torch.float64, device=device)
    return 8 * DOUBLES / best(lambda: a.sum())


def main():
    device = common.order().get("device", "cpu")
    common.report(
        ("torch", "numpy"),
        fp32_flops=products(torch.float32, device),
        bf16_flops=products(torch.bfloat16, device),
        triad_bytes_per_second=triad(device),
        read_bytes_per_second=read(device),
        numpy=np.__version__,
    )


if __name__ == "__main__":
    main()
