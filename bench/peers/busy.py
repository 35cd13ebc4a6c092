"""What luthier takes on the machine as it is, and with as many spinning processes beside it as there are cores.

`ask`: one answer of the command, its start included. `study`: two arms on eight test examples, the whole command.
`batch`: 48 answers in one batch, by the clock of ours_generate.py. The idle run comes first; before it, one that is not
counted brings the files into memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import common

SPIN = "while True: pass"
LUTHIER = [sys.executable, "-m", "luthier"]
TEXT = "Ann: Are you coming to lunch?\nBen: Yes, at noon. Shall I bring Tom?\nAnn: Please do."
LONGEST_SECONDS = 400


@contextlib.contextmanager
def spinning(count):
    """So many processes that use whatever the machine gives them."""
    beside = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for one in beside:
            one.kill()
        for one in beside:
            one.wait()


def run(command):
    """(seconds, CPU-seconds, what it printed) of a command that must end well."""
    began, before = common.now(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS)
    after, took = resource.getrusage(resource.RUSAGE_CHILDREN), common.now() - began
    if done.returncode != 0:
        sys.exit(f"Error: {' '.join(command[:4])} ended with {done.returncode}: {done.stderr[-300:]}")
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took["seconds"], work, done.stdout


def ask(order):
    settings = [f"--max-new-tokens={order['new_tokens']}"]
    return run([*LUTHIER, "ask", order["model"], TEXT, *settings])[:2]


def study(order):
    with tempfile.TemporaryDirectory(dir=order["scratch"]) as scratch:
        out = ["--out", str(Path(scratch) / "study"), "--arms", "copy-3,zero-shot", "--dev", "2", "--test", "8"]
        return run([*LUTHIER, "study", "dialogues", "--model", order["model"], *out])[:2]


def batch(order):
    """The clock of the answers alone; the CPU-seconds too."""
    given = {key: order[key] for key in ("model", "scratch", "rows", "new_tokens", "batch")}
    said = run([sys.executable, str(Path(__file__).with_name("ours_generate.py")), json.dumps(given)])[2]
    found = json.loads(said.strip().splitlines()[-1])
    return found["seconds"], found["work_seconds"]


def main():
    order = common.order()
    work = {"ask": ask, "study": study, "batch": batch}[order["work"]]
    count = os.cpu_count() or 1
    if order["work"] != "batch":  # whose clock begins behind a warm-up of its own
        work(order)
    idle = work(order)
    with spinning(count):
        busy = work(order)
    common.report(
        ("luthier", "torch", "transformers"), seconds=idle[0], work_seconds=idle[1], busy_seconds=busy[0],
        busy_work_seconds=busy[1], spinning=count,
    )  # fmt: skip


if __name__ == "__main__":
    main()
