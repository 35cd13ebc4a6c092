"""Makes the golden, compares two, and keeps one; see the package."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests import golden
from tests.golden.kept import KEPT, keep, least_gap, write_kept
from tests.golden.made import ENVIRONMENT, make
from tests.golden.settled import LISTING, differing, listing, settle


def run(root: Path, gaps: bool = False) -> None:
    """The studies in `root`, settled, and their listing; with `gaps`, says how close a greedy choice ever was."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LUTHIER_CACHE"] = cache  # looks at test sets are counted there, and stand in compare.json
        make(root)
        settle(root)
        if gaps:
            print("the least gap of two tokens is {:.1e} ({})".format(*least_gap(root)))
    (root / LISTING).write_text(listing(root), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=golden.__doc__)
    parser.add_argument("out", nargs="?", type=Path, help="a new folder for the studies and their listing")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="print the files that differ")
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name} anew, which the test compares with")
    given = parser.parse_args()
    if given.compare:
        found = differing(*given.compare)
        print("\n".join(found) or "the same bytes")
        raise SystemExit(bool(found))
    if not given.keep and (given.out is None or given.out.exists()):
        raise SystemExit("golden: name a new folder")
    if ENVIRONMENT.items() - os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "tests.golden", *sys.argv[1:]], os.environ | ENVIRONMENT)
    if given.keep:
        with tempfile.TemporaryDirectory() as place:
            run(Path(place) / "out", gaps=True)
            write_kept(keep(Path(place) / "out"))
    else:
        run(given.out)
        sys.stdout.write((given.out / LISTING).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
