"""What each width takes of a model, measured: python -m bench.widths [MODEL]

A row a width: the linear layers' bytes and the whole model's, as shares of what they take in bf16, counted over every
storage that can be reached from the modules; and the size of the file that is shipped.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from luthier.model.model import load
from luthier.model.sizes import WIDTHS
from luthier.model.widths import file_bytes, quantize, read, save, weigh


def row(model: str, width: str) -> str:
    """One line of the table, of the model as it is read back from its folder."""
    with tempfile.TemporaryDirectory() as part:
        folder = Path(part) / "model"
        save(quantize(load(model, precision="fp32"), width), folder)
        found, megabytes = weigh(read(folder, width, "fp32").module), file_bytes(folder) / 1e6
    ratios = f"{found.linear_ratio:.3f} | {found.ratio:.3f} | {found.embedding}"
    return f"| `{width}` | {WIDTHS[width].by} | {ratios} | {megabytes:.1f} |"


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m"
    print("| width | by | linear weights / bf16 | whole model / bf16 | embedding | file, MB |")
    print("|---|---|---:|---:|---|---:|")
    for width in WIDTHS:
        print(row(model, width), flush=True)


if __name__ == "__main__":
    main()
