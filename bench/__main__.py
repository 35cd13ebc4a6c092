"""python -m bench: ours and its peers in interleaved rounds, then the table. See bench/README.md."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from pathlib import Path

from bench.jobs import PARTS, jobs
from bench.plot import scaling_svg
from bench.rounds import load_results, run_rounds
from bench.rows import prepare
from bench.table import tables
from bench.weights import converted
from luthier.files import read_json, write_json, write_text

HERE = Path(__file__).parent
WORK = HERE / ".work"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, joined by commas: {', '.join(PARTS)}")
    parser.add_argument("--jobs", default="", help="only jobs whose name holds one of these words, joined by commas")
    parser.add_argument("--skip", default="", help="no job whose name holds one of these words, joined by commas")
    parser.add_argument("--rounds", type=int, default=3, help="times that each job is run (default 3)")
    parser.add_argument("--minutes", type=float, help="start no further run after this time; the next call goes on")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "results.json", help="the results file")
    return parser.parse_args()


def named(key: str, words: str) -> bool:
    """Whether a job's name holds one of the words that commas join."""
    return any(word and word in key for word in words.split(","))


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the peer that is running ends too
    parts = given.only.split(",")
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"--only: {', '.join(sorted(unknown))} is no part; the parts are: {', '.join(PARTS)}")
    scratch = WORK / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    rows = read_json(WORK / "rows.json") if (WORK / "rows.json").exists() else prepare(WORK)
    places = {"model": rows["model"], "work": str(WORK), "scratch": str(scratch)}
    if "generate" in parts:
        places |= converted(rows["model"], WORK)
    wanted = [job for job in jobs(parts) if not given.jobs or named(job.key, given.jobs)]
    wanted = [job for job in wanted if not named(job.key, given.skip)]
    results = load_results(given.out, rows, "python -m bench " + " ".join(sys.argv[1:]))
    deadline = time.monotonic() + 60 * given.minutes if given.minutes else math.inf
    rounds = 1 if given.quick else given.rounds
    run_rounds(given.out, results, wanted, rounds, places, lambda line: print(line, flush=True), deadline)
    write_json(given.out, results)
    if grown := results["runs"].get("scaling/ours"):
        write_text(given.out.with_name("scaling.svg"), scaling_svg(grown))
    print(f"\n{tables(results)}\n\nkept in {os.path.relpath(given.out)}")


if __name__ == "__main__":
    main()
