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
from bench.pages import RESULTS, tables
from bench.plot import scaling_svg
from bench.quiet import MOST_OTHERS, Quiet
from bench.rounds import NO_GPU, WORK, Rounds, has_gpu, load_results, new_results, plan, run_rounds
from bench.rows import RULES, SMOKE, WHOLE, prepare
from bench.text import pretraining_text
from bench.weights import converted
from luthier import machine
from luthier.errors import LuthierError
from luthier.files import locked, read_json, write_json, write_text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    patterns = "patterns joined by commas; * stands for anything, and a word fits wherever it begins in the name"
    parser.add_argument("--jobs", default="*", help=f"only jobs whose name (group/peer) fits: {patterns}")
    parser.add_argument("--skip", default="", help="no job whose name fits one of these")
    parser.add_argument("--extra", action="store_true", help="also the rows marked extra in bench/jobs.py")
    parser.add_argument("--rounds", type=int, default=3, help="times that each job is run (default 3)")
    parser.add_argument("--minutes", type=float, help="start no further run after this time; the next call goes on")
    parser.add_argument("--fresh", action="store_true", help="set the results so far aside and measure everything anew")
    parser.add_argument("--dry-run", action="store_true", help="print the jobs and the estimated time, and run nothing")
    parser.add_argument("--smoke", action="store_true", help="one tiny run each: does every tool run here? No timing")
    parser.add_argument("--out", type=Path, help="the folder of the results, a file for each kind of machine")
    refused = "a run is refused where others used more than this of a core during it (default 0.1)"
    parser.add_argument("--others", type=float, default=MOST_OTHERS, metavar="CORES", help=refused)
    parser.add_argument("--tries", type=int, default=3, help="times that a disturbed run is tried (default 3)")
    given = parser.parse_args()
    if given.rounds < 1 or given.tries < 1 or given.others < 0:
        parser.error("--rounds and --tries are whole numbers from 1, and --others a number from 0")
    return given


def fits(key: str, patterns: str) -> bool:
    """Whether a word of a job's name begins one of the patterns that commas join: `train` is no `pretrain`."""
    parts = [key[start:] for start in range(len(key)) if start == 0 or key[start - 1] in "/-"]
    return any(pattern and fnmatch(part, f"{pattern}*") for pattern in patterns.split(",") for part in parts)


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
    if (rows.get("size"), rows.get("rules")) != (asdict(size), RULES):
        rows = prepare(work, size)
    places = {"model": rows["model"], "work": str(work), "scratch": str(scratch)}
    wanted = {job.options["weights"] for job in jobs if "weights" in job.options}
    if any(job.group.startswith("pretrain") for job in jobs):
        places["text"] = str(pretraining_text(WORK))
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
    """Runs what the options name, or says what it would run: on a GPU first, where there is one."""
    jobs = chosen(given)
    rows, places = prepared(jobs, given.smoke)
    how = Rounds(
        places,
        lambda line: print(line, flush=True),
        time.monotonic() + 60 * given.minutes if given.minutes else math.inf,
        SMOKE if given.smoke else WHOLE,
        Quiet(math.inf if given.smoke else given.others, given.tries),  # a smoke's times say nothing
    )
    for device in ("cuda", "cpu"):
        if some := [job for job in jobs if job.device == device]:
            if device == "cuda" and not has_gpu():
                print("\n".join(f"{job.key:36} {NO_GPU}" for job in some), flush=True)
            else:
                measure_on(device, some, rows, given, how)


def measure_on(device: str, jobs: list[Job], rows: dict[str, Any], given: argparse.Namespace, how: Rounds) -> None:
    """The rounds of one device, in the results file of its kind."""
    folder = given.out or (WORK / "smoke" if given.smoke else RESULTS)
    out = folder / f"{machine.kind(device)}.json"
    rounds = 1 if given.smoke else given.rounds
    results = new_results(rows, device) if given.fresh else load_results(out, rows, device)
    print(plan(results, jobs, rounds, how.places), flush=True)
    if given.dry_run:
        return
    if not results["commands"] and out.exists():
        out.replace(aside := out.with_suffix(".old.json"))
        print(f"what {os.path.relpath(out)} held is now in {os.path.relpath(aside)}")
    command = "python -m bench " + shlex.join(sys.argv[1:])
    results["commands"] = [c for c in results["commands"] if c != command] + [command]
    run_rounds(out, results, jobs, rounds, how)
    write_json(out, results)
    if grown := results["runs"].get("scaling/ours"):
        write_text(out.with_suffix(".svg"), scaling_svg(grown))
    print(f"\n{tables(results)}\n\nkept in {os.path.relpath(out)}")


if __name__ == "__main__":
    main()
