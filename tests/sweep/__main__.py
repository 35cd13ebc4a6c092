"""`python -m tests.sweep [ARCHITECTURE ...]`: every architecture of transformers through luthier's doors, a table."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path


def main(names: list[str]) -> None:
    os.environ["LUTHIER_PRECISION"] = "fp32"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    warnings.simplefilter("ignore")
    from tests.sweep.configs import architectures
    from tests.sweep.doors import go_through

    counted = Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as root:
        os.environ["LUTHIER_CACHE"] = f"{root}/cache"
        for number, name in enumerate(names or architectures()):
            (place := Path(root) / str(number)).mkdir()
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # bars, and libraries' warnings
                outcome = go_through(name, place)
            shutil.rmtree(place)
            print(outcome, flush=True)
            counted[outcome.family, outcome.how] += 1
    for (family, how), count in sorted(counted.items()):
        print(f"{family:16} {how:9} {count:4}")


if __name__ == "__main__":
    main(sys.argv[1:])
