"""Folders of training jobs: made, run in a child, and given back as SageMaker would after a machine was taken away."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import children
from tests.cli.ground import LORA, files, make_files
from tests.commands import Said

SETTINGS = {"arms": f"zero-shot,{LORA}", "precision": "fp32", "test": "3"}


def make_job(base: Path, model: Callable[[str], Path], **settings: Any) -> Path:
    """A job's folder with the channels `task` and `model`, on the second of the platform's names for a machine."""
    make_files(base / "made", model)
    for name in ("task", "model"):
        shutil.copytree(base / "made" / name, base / "input" / "data" / name)
    shutil.rmtree(base / "made")
    (base / "input" / "config").mkdir()
    write(base, "hyperparameters", {**SETTINGS, **settings})
    write(base, "resourceconfig", {"current_host": "algo-2", "hosts": ["algo-2"]})
    for name in ("model", "checkpoints", "output/data"):
        (base / name).mkdir(parents=True, exist_ok=True)
    return base


def write(base: Path, name: str, table: Any) -> None:
    (base / "input" / "config" / f"{name}.json").write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")


def run(base: Path, before: children.Before = children.nothing) -> Said:
    """`luthier sagemaker-train` in a child process."""
    os.environ["SAGEMAKER_BASE_DIR"] = str(base)
    return children.run(children.command("sagemaker-train"), base.parent, before)


def failure(base: Path) -> str | None:
    """What the user would see as FailureReason."""
    path = base / "output" / "failure"
    return path.read_text(encoding="utf-8") if path.exists() else None


def new_machine(base: Path, fresh: Path) -> None:
    """A machine that has never seen the job: its channels under the old paths, and an empty cache of the user."""
    shutil.rmtree(base)
    shutil.rmtree(base.parent / "cache", ignore_errors=True)
    shutil.copytree(fresh, base)


def restored(base: Path, fresh: Path) -> None:
    """A new machine with the files of the checkpoints.

    S3 holds files: an empty folder is gone, and so are times and rights.
    """
    kept = {path.relative_to(base): path.read_bytes() for path in (base / "checkpoints").rglob("*") if path.is_file()}
    new_machine(base, fresh)
    for path, data in kept.items():
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_bytes(data)


def made(base: Path) -> dict[str, bytes]:
    """What a job leaves: the study, the model folder, the output; but what hangs on a clock."""
    return {
        f"{part}/{name}": data
        for part in ("checkpoints", "model", "output")
        for name, data in files(base / part).items()
        if Path(name).name not in ("README.md", "SHA256SUMS")  # they hash and show seconds
    }
