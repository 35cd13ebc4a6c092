"""Interleaved rounds: every job once, then every job again; each run is a process of its own and is kept when it ends.

The results file is the state: a run that is in it is not done again, so a killed benchmark goes on where it stopped.
There is one file for each kind of machine (luthier/machine.py), and a run that others disturbed is none (quiet.py).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.jobs import Job
from bench.quiet import Quiet
from bench.rows import WHOLE, Size
from luthier import machine
from luthier.files import read_json, write_json

PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parent.parent
WORK = Path(__file__).parent / ".work"
NO_GPU = "not measured: no GPU here"
LONGEST_SECONDS = 900  # a run that takes longer is stopped and counted as a failure
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


@dataclass(frozen=True)
class Rounds:
    """How a round is run: `places` says where everything lies; no run starts after `deadline` (time.monotonic)."""

    places: dict[str, str]
    say: Callable[[str], None] = print
    deadline: float = math.inf
    size: Size = WHOLE
    quiet: Quiet = field(default_factory=Quiet)


def run_rounds(path: Path, results: dict[str, Any], jobs: list[Job], rounds: int, how: Rounds) -> None:
    """Runs what is missing up to `rounds` runs of each job, one round after the other, and keeps each in `path`.

    A run carries its round, its day and the commit that it was made at.
    """
    commit, changed = machine.commit()
    for number in range(1, rounds + 1):
        for job in jobs:
            results["labels"][job.key] = job.label
            if number in done(results, job):
                continue
            if time.monotonic() > how.deadline:
                return
            run, reason = None, missing(job, how.places)
            if reason is None:
                run, reason = undisturbed(job, how, results)
            if run is None:
                how.say(f"round {number}  {job.key}: {reason}")
                results["missing"][job.key] = reason
            else:
                how.say(f"round {number}  {job.key}: {run.get('seconds', run['whole_seconds']):.1f} s")
                about = {"round": number, "date": today(), "commit": commit, "changed": changed}
                results["runs"].setdefault(job.key, []).append(run | about)
                results["missing"].pop(job.key, None)
            write_json(path, results)


def done(results: dict[str, Any], job: Job) -> set[int]:
    """The rounds of which there is a run of the job."""
    return {run["round"] for run in results["runs"].get(job.key, [])}


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def undisturbed(job: Job, how: Rounds, results: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """(a run during which others left the machine alone, "") or (None, why not). What was refused is kept as `refused`
    in the results.
    """
    others: list[float] = []
    for attempt in range(how.quiet.tries):
        if others:
            time.sleep(how.quiet.pause)
        if attempt and time.monotonic() > how.deadline:
            break
        run, reason = measure(job, how.places, how.size)
        if run is None or how.quiet.allows(run["others_cores"]):
            return run, reason
        others.append(run["others_cores"])
        results.setdefault("refused", []).append({"job": job.key, "date": today(), "others_cores": others[-1]})
        how.say(f"         {job.key}: refused, others used {others[-1]:.2f} of a core ({how.quiet.most:g} are allowed)")
    return None, (
        f"refused {len(others)} times: others used at least {min(others):.2f} of a core, and {how.quiet.most:g} are "
        "allowed"
    )


def estimate(results: dict[str, Any], job: Job) -> float:
    """Seconds that one run of the job takes, loading included: what its runs took, else what it took elsewhere."""
    runs = results["runs"].get(job.key)
    return median(run["whole_seconds"] for run in runs) if runs else float(job.seconds)


def plan(results: dict[str, Any], jobs: list[Job], rounds: int, places: dict[str, str]) -> str:
    """What would be run, with the estimated time: a line a job, and the whole."""
    lines, seconds = [], 0.0
    for job in jobs:
        left = len(set(range(1, rounds + 1)) - done(results, job))
        if reason := missing(job, places):
            lines.append(f"{job.key:36} not run: {reason}")
            continue
        seconds += left * estimate(results, job)
        lines.append(f"{job.key:36} {left} x {estimate(results, job):3.0f} s")
    return "\n".join([*lines, f"{len(jobs)} jobs, rounds up to {rounds}: about {seconds / 60:.0f} minutes"])


def missing(job: Job, places: dict[str, str]) -> str | None:
    """Why this job cannot be run here, or None."""
    if job.device == "cuda" and not has_gpu():
        return NO_GPU
    if job.program and shutil.which(job.program) is None:
        return f"{job.program} is not on the path"
    if job.clone and not (WORK / job.clone).exists():
        return f"there is no clone of it in bench/.work/{job.clone}: make bench brings it, where there is a network"
    if job.venv and not interpreter(job).exists():
        return f"its own environment is not there: make .bench-venv-{job.venv}/.ready"
    for module in job.needs:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    weights = job.options.get("weights")
    if weights is not None and weights not in places:
        return f"the weights for it could not be made: {places.get(f'{weights}-problem', 'no converter')}"
    return None


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def interpreter(job: Job) -> Path:
    """The Python that runs a job: the benchmark's own, or that of the environment that the job names."""
    return ROOT / f".bench-venv-{job.venv}" / "bin" / "python" if job.venv else Path(sys.executable)


def measure(job: Job, places: dict[str, str], size: Size) -> tuple[dict[str, Any] | None, str]:
    """(what the peer measured, "") or (None, why not). How busy others kept the machine meanwhile is kept beside it."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if job.device == "cpu" else {}
    environment = {**os.environ, **QUIET, **hidden, **job.environment}
    before = machine.spent()
    code, out, err = run_alone(
        [str(interpreter(job)), str(PEERS / job.file), json.dumps(order_of(job, places, size))], environment
    )
    after = machine.spent()
    if code is None:
        return None, f"stopped after {LONGEST_SECONDS} s"
    if code != 0:
        return None, last_words(err) or f"ended with {code}"
    run = json.loads(out.strip().splitlines()[-1])
    others = after.others_since(before)
    return run | {
        "others_cores": None if others is None else round(others, 3),
        "whole_seconds": round(after.wall - before.wall, 1),
        "whole_cpu_seconds": round(after.own - before.own, 1),
    }, ""


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
    files = {"train": "train.jsonl", "scaling": "train.jsonl", "generate": "generate.jsonl", "serve": "generate.jsonl",
             "busy": "generate.jsonl"}  # fmt: skip
    part = job.group.removeprefix("gpu-").partition("-")[0]
    order = {key: places[key] for key in ("model", "scratch")}
    order |= {"examples": size.batch, "micro": size.micro, "new_tokens": size.new_tokens}
    if part in files:
        file = "generate-shots.jsonl" if job.options.get("shots") else files[part]
        order["rows"] = str(Path(places["work"]) / file)
    if part == "pretrain":
        about = ("row", "rows_a_step", "steps", "vocabulary")
        order |= {"text": places["text"]} | {name: getattr(size, name) for name in about}
    if job.clone:
        order["clone"] = str(WORK / job.clone)
    order |= job.options
    if "weights" in order:
        order["weights"] = places[order["weights"]]
    return order


def last_words(stderr: str) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    said = [line for line in lines if "Error" in line or "error" in line or "Exception" in line]
    return (said or lines or [""])[-1][:300]


def new_results(rows: dict[str, Any], device: str = "cpu") -> dict[str, Any]:
    """Results with nothing in them: where they are made, and of what rows."""
    about = {key: value for key, value in rows.items() if key != "model"}
    features = list(machine.processor().features) if device == "cpu" else []
    here = machine.describe(device) | {"kind": machine.kind(device), "features": features}
    if device != "cpu":
        here["gpu"] = here["kind"]
    return {
        "commands": [], "machine": here, "python": sys.version.split()[0], "rows": about, "labels": {}, "missing": {},
        "refused": [], "runs": {},
    }  # fmt: skip


def load_results(path: Path, rows: dict[str, Any], device: str = "cpu") -> dict[str, Any]:
    """The results so far; new ones where there are none, or where they are of other rows or another kind of machine."""
    new = new_results(rows, device)
    if not path.exists():
        return new
    old = dict(read_json(path))
    return old if old["rows"] == new["rows"] and old["machine"]["kind"] == new["machine"]["kind"] else new
