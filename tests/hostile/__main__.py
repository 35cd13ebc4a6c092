"""`python -m tests.hostile 300`: tried and held, kind by kind."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.hostile.cases import cases
from tests.hostile.runs import Place, run


def main(count: int) -> None:
    os.environ["LUTHIER_PRECISION"] = "fp32"
    import luthier.studies.study  # noqa: F401 - imported once, before every fork

    tried, held = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as root:
        os.environ["LUTHIER_CACHE"] = f"{root}-cache"
        place = Place.new(Path(root))
        for case in cases(count):
            tried[case.kind] += 1
            if wrong := run(case, place):
                print(f"{case}: {wrong}", flush=True)
            else:
                held[case.kind] += 1
    for kind, number in tried.items():
        print(f"{kind:18} {held[kind]:3} of {number:3} held")
    print(f"{'all':18} {held.total():3} of {tried.total():3} held")


if __name__ == "__main__":
    main(int(sys.argv[1]))
