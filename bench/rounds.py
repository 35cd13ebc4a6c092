"""Interleaved rounds: every job once, then every job again; each run is a process of its own and is kept when it ends.

The results file is the state: a run that is in it is not done again, so a killed benchmark goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.jobs import Job
from bench.rows import WHOLE, Size
from luthier import machine
from luthier.files import read_json, write_json

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parent.parent
LONGEST_SECONDS = 900  # a run that takes longer is stopped and counted as a failure
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def run_rounds(
    path: Path,
    results: dict[str, Any],
    jobs: list[Job],
    rounds: int,
    places: dict[str, str],
    say: Callable[[str], None],
    deadline: float = math.inf,
    size: Size = WHOLE,
) -> None:
    """Runs what is missing up to `rounds` runs of each job, one round after the other, and keeps each in `path`.

    A run carries its round and the commit that it was made at. None is started after `deadline` (of `time.monotonic`).
    """
    commit, changed = machine.commit()
    for number in range(1, rounds + 1):
        for job in jobs:
            results["labels"][job.key] = job.label
            if len(results["runs"].get(job.key, [])) >= number:
                continue
            if time.monotonic() > deadline:
                return
            run, reason = None, missing(job, places)
            if reason is None:
                run, reason = measure(job, places, size)
            if run is None:
                say(f"round {number}  {job.key}: {reason}")
                results["missing"][job.key] = reason
            else:
                say(f"round {number}  {job.key}: {run.get('seconds', run['whole_seconds']):.1f} s")
                about = {"round": number, "commit": commit, "changed": changed}
                results["runs"].setdefault(job.key, []).append(run | about)
                results["missing"].pop(job.key, None)
            write_json(path, results)


def estimate(results: dict[str, Any], job: Job) -> float:
    """Seconds that one run of the job takes, loading included: what its runs took, else what it took elsewhere."""
    runs = results["runs"].get(job.key)
    return median(run["whole_seconds"] for run in runs) if runs else float(job.seconds)


def plan(results: dict[str, Any], jobs: list[Job], rounds: int, places: dict[str, str]) -> str:
    """What would be run, with the estimated time: a line a job, and the whole."""
    lines, seconds = [], 0.0
    for job in jobs:
        left = max(0, rounds - len(results["runs"].get(job.key, [])))
        if reason := missing(job, places):
            lines.append(f"{job.key:36} not run: {reason}")
            continue
        seconds += left * estimate(results, job)
        lines.append(f"{job.key:36} {left} x {estimate(results, job):3.0f} s")
    return "\n".join([*lines, f"{len(jobs)} jobs, rounds up to {rounds}: about {seconds / 60:.0f} minutes"])


def missing(job: Job, places: dict[str, str]) -> str | None:
    """Why this job cannot be run here, or None."""
    if job.venv and not interpreter(job).exists():
        return f"its own environment is not there: make .bench-venv-{job.venv}/.ready"
    for module in job.needs:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    weights = job.options.get("weights")
    if weights is not None and weights not in places:
        return f"the weights for it could not be made: {places.get(f'{weights}-problem', 'no converter')}"
    return None


def interpreter(job: Job) -> Path:
    """The Python that runs a job: the benchmark's own, or that of the environment that the job names."""
    return ROOT / f".bench-venv-{job.venv}" / "bin" / "python" if job.venv else Path(sys.executable)


def measure(job: Job, places: dict[str, str], size: Size) -> tuple[dict[str, Any] | None, str]:
    """(what the peer measured, "") or (None, why not). The load of the machine before the run is kept beside it."""
    load = os.getloadavg()[0]
    environment = {**os.environ, **QUIET, **job.environment}
    began = time.time()
    code, out, err = run_alone(
        [str(interpreter(job)), str(PEERS / job.file), json.dumps(order_of(job, places, size))], environment
    )
    if code is None:
        return None, f"stopped after {LONGEST_SECONDS} s"
    if code != 0:
        return None, last_words(err) or f"ended with {code}"
    run = json.loads(out.strip().splitlines()[-1])
    return run | {"load_before": round(load, 2), "whole_seconds": round(time.time() - began, 1)}, ""


def run_alone(command: list[str], environment: dict[str, str]) -> tuple[int | None, str, str]:
    """(exit code, or None where it took too long; what it printed; its errors).

    Nothing that the command started outlives this call, also when this process is told to stop meanwhile.
    """
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        out, err = child.communicate(timeout=LONGEST_SECONDS)
        return child.returncode, out, err
    except subprocess.TimeoutExpired:
        return None, "", ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def order_of(job: Job, places: dict[str, str], size: Size) -> dict[str, Any]:
    """What the peer's process is told."""
    rows = {"train": "train.jsonl", "generate": "generate.jsonl", "scaling": "train.jsonl"}
    part = job.group.partition("-")[0]
    order = {key: places[key] for key in ("model", "scratch")}
    order |= {"examples": size.batch, "micro": size.micro, "new_tokens": size.new_tokens}
    if part in rows:
        file = "generate-shots.jsonl" if job.options.get("shots") else rows[part]
        order["rows"] = str(Path(places["work"]) / file)
    order |= job.options
    if "weights" in order:
        order["weights"] = places[order["weights"]]
    return order


def last_words(stderr: str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = [line for line in lines if "Error" in line or "error" in line or "Exception" in line]
    return (said or lines or [""])[-1][:300]


def new_results(rows: dict[str, Any]) -> dict[str, Any]:
    """Results with nothing in them: where they are made, and of what rows."""
    about = {key: value for key, value in rows.items() if key != "model"}
    here = {"machine": machine.describe("cpu"), "python": sys.version.split()[0]}
    return {"commands": [], **here, "rows": about, "labels": {}, "missing": {}, "runs": {}}


def load_results(path: Path, rows: dict[str, Any]) -> dict[str, Any]:
    """The results so far; new ones where there are none, or where they are of other rows or another machine."""
    new = new_results(rows)
    if not path.exists():
        return new
    old = dict(read_json(path))
    same = old["rows"] == new["rows"] and all(old["machine"][k] == new["machine"][k] for k in ("processor", "cores"))
    return old if same else new
