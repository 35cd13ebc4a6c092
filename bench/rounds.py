"""Interleaved rounds: every job once, then every job again; each run is a process of its own and is kept when it ends.

The results file is the state: a run that is in it is not done again, so a killed benchmark goes on where it stopped.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.jobs import Job
from bench.rows import BATCH, NEW_TOKENS
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


def new_results(rows: dict[str, Any], command: str) -> dict[str, Any]:
    """An empty results file: where it was made, of what, and how."""
    commit, changed = machine.commit()
    return {
        "command": command,
        "commit": commit,
        "changed": changed,
        "machine": machine.describe("cpu"),
        "python": sys.version.split()[0],
        "rows": {key: value for key, value in rows.items() if key != "model"},
        "labels": {},
        "missing": {},
        "runs": {},
    }


def run_rounds(
    path: Path,
    results: dict[str, Any],
    jobs: list[Job],
    rounds: int,
    places: dict[str, str],
    say: Callable[[str], None],
    deadline: float = math.inf,
) -> None:
    """Runs what is missing up to `rounds` runs of each job, one round after the other, and keeps each in `path`.

    No run is started after `deadline` (of `time.monotonic`).
    """
    for number in range(1, rounds + 1):
        for job in jobs:
            results["labels"][job.key] = job.label
            if len(results["runs"].get(job.key, [])) >= number:
                continue
            if time.monotonic() > deadline:
                return
            if reason := missing(job, places):
                results["missing"][job.key] = reason
                write_json(path, results)
                continue
            run, reason = measure(job, places)
            if run is None:
                say(f"round {number}  {job.key}: {reason}")
                results["missing"][job.key] = reason
            else:
                say(
                    f"round {number}  {job.key}: {run['seconds']:.1f} s"
                    if "seconds" in run
                    else f"round {number}  {job.key}"
                )
                results["runs"].setdefault(job.key, []).append(run | {"round": number})
                results["missing"].pop(job.key, None)
            write_json(path, results)


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


def measure(job: Job, places: dict[str, str]) -> tuple[dict[str, Any] | None, str]:
    """(what the peer measured, "") or (None, why not). The load of the machine before the run is kept beside it."""
    load = os.getloadavg()[0]
    environment = {**os.environ, **QUIET, **job.environment}
    began = time.time()
    try:
        done = subprocess.run(
            [str(interpreter(job)), str(PEERS / job.file), json.dumps(order_of(job, places))],
            capture_output=True, text=True, timeout=LONGEST_SECONDS, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"stopped after {LONGEST_SECONDS} s"
    if done.returncode != 0:
        return None, last_words(done.stderr) or f"ended with {done.returncode}"
    run = json.loads(done.stdout.strip().splitlines()[-1])
    return run | {"load_before": round(load, 2), "whole_seconds": round(time.time() - began, 1)}, ""


def order_of(job: Job, places: dict[str, str]) -> dict[str, Any]:
    """What the peer's process is told."""
    rows = {"train": "train.jsonl", "generate": "generate.jsonl", "scaling": "train.jsonl"}
    part = job.group.partition("-")[0]
    order = {"model": places["model"], "scratch": places["scratch"], "examples": BATCH, "new_tokens": NEW_TOKENS}
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


def load_results(path: Path, rows: dict[str, Any], command: str) -> dict[str, Any]:
    """The results so far, or a new file's."""
    return dict(read_json(path)) if path.exists() else new_results(rows, command)
