"""python -m bench: ours and its peers in interleaved rounds, then the table. See bench/README.md."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import signal
import sys
import time
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bench.jobs import Job, all_jobs
from bench.plot import scaling_svg
from bench.rounds import load_results, new_results, plan, run_rounds
from bench.rows import SMOKE, WHOLE, prepare
from bench.table import RESULTS, tables
from bench.weights import converted
from luthier.errors import LuthierError
from luthier.files import locked, read_json, write_json, write_text

WORK = Path(__file__).parent / ".work"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    patterns = "patterns joined by commas; * stands for anything, and a word fits wherever it stands in the name"
    parser.add_argument("--jobs", default="*", help=f"only jobs whose name (group/peer) fits: {patterns}")
    parser.add_argument("--skip", default="", help="no job whose name fits one of these")
    parser.add_argument("--extra", action="store_true", help="also the rows marked extra in bench/jobs.py")
    parser.add_argument("--rounds", type=int, default=3, help="times that each job is run (default 3)")
    parser.add_argument("--minutes", type=float, help="start no further run after this time; the next call goes on")
    parser.add_argument("--fresh", action="store_true", help="set the results so far aside and measure everything anew")
    parser.add_argument("--dry-run", action="store_true", help="print the jobs and the estimated time, and run nothing")
    parser.add_argument("--smoke", action="store_true", help="one tiny run each: does every tool run here? No timing")
    parser.add_argument("--out", type=Path, help="the results file")
    return parser.parse_args()


def fits(key: str, patterns: str) -> bool:
    """Whether a job's name holds one of the patterns that commas join."""
    return any(pattern and fnmatch(key, f"*{pattern}*") for pattern in patterns.split(","))


def chosen(given: argparse.Namespace) -> list[Job]:
    """The jobs that the options name. Exits with a sentence where there is none."""
    jobs = [job for job in all_jobs() if given.extra or not job.extra]
    jobs = [job for job in jobs if fits(job.key, given.jobs) and not fits(job.key, given.skip)]
    return jobs or sys.exit(f"no job fits --jobs {given.jobs}; try --dry-run --extra to see all names")


def prepared(jobs: list[Job], smoke: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """(what the rows are, where everything lies): made once, kept in bench/.work."""
    scratch, work = WORK / "scratch", WORK / "smoke" if smoke else WORK
    for folder in (scratch, work):
        folder.mkdir(parents=True, exist_ok=True)
    known, size = work / "rows.json", SMOKE if smoke else WHOLE
    rows = read_json(known) if known.exists() else {}
    if rows.get("size") != asdict(size):
        rows = prepare(work, size)
    places = {"model": rows["model"], "work": str(work), "scratch": str(scratch)}
    wanted = {job.options["weights"] for job in jobs if "weights" in job.options}
    return rows, places | (converted(rows["model"], WORK) if wanted else {})


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the peer that is running ends too
    try:
        with locked(WORK):  # two at once would slow each other
            bench(given)
    except LuthierError as error:
        sys.exit(str(error))


def bench(given: argparse.Namespace) -> None:
    """Runs what the options name, or says what it would run."""
    jobs, rounds = chosen(given), 1 if given.smoke else given.rounds
    rows, places = prepared(jobs, given.smoke)
    out = given.out or (WORK / "smoke" / "results.json" if given.smoke else RESULTS)
    results = new_results(rows) if given.fresh else load_results(out, rows)
    print(plan(results, jobs, rounds, places), flush=True)
    if given.dry_run:
        return
    if not results["commands"] and out.exists():
        out.replace(aside := out.with_suffix(".old.json"))
        print(f"what {os.path.relpath(out)} held is now in {os.path.relpath(aside)}")
    command = "python -m bench " + shlex.join(sys.argv[1:])
    results["commands"] = [c for c in results["commands"] if c != command] + [command]
    deadline = time.monotonic() + 60 * given.minutes if given.minutes else math.inf
    size = SMOKE if given.smoke else WHOLE
    run_rounds(out, results, jobs, rounds, places, lambda line: print(line, flush=True), deadline, size)
    write_json(out, results)
    if grown := results["runs"].get("scaling/ours"):
        write_text(out.with_name("scaling.svg"), scaling_svg(grown))
    print(f"\n{tables(results)}\n\nkept in {os.path.relpath(out)}")


if __name__ == "__main__":
    main()
