"""Loops from nothing read the same text through the same tokenizer."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.flops import pretraining
from bench.text import pretraining_text

ROOT = Path(__file__).parents[2]
TEXTS = [f"Text {n} speaks of {n * n} things, of which {n} are {'red' if n % 3 else 'blue'}. " * 6 for n in range(40)]
ORDER = {
    "width": 16,
    "layers": 1,
    "heads": 2,
    "row": 16,
    "rows_a_step": 2,
    "steps": 9,
    "vocabulary": 1024,
    "bf16": False,
}


def told(peer: str, order: dict[str, Any]) -> dict[str, Any]:
    """What a peer's process reports."""
    command = [sys.executable, str(ROOT / "bench" / "peers" / peer), json.dumps(order)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def test_the_text_is_documents_and_the_same_as_ids(tmp_path: Path) -> None:
    folder = pretraining_text(tmp_path, TEXTS)
    assert [json.loads(line)["text"] for line in (folder / "documents.jsonl").read_text().splitlines()] == TEXTS
    words = pickle.loads((folder / "meta.pkl").read_bytes())["vocab_size"]
    ids = np.fromfile(folder / "train.bin", dtype=np.uint16)
    assert 257 <= words <= 1024 and ids.max() < words
    assert 30 <= (ids == ids[-1]).sum() < len(TEXTS)  # an end behind each, without what is held out
    before = (folder / "train.bin").stat().st_mtime_ns
    assert pretraining_text(tmp_path, ["other"]) == folder and (folder / "train.bin").stat().st_mtime_ns == before


@pytest.mark.slow
def test_our_loop_and_one_by_hand_do_the_same_work(tmp_path: Path) -> None:
    order = ORDER | {"text": str(pretraining_text(tmp_path, TEXTS)), "scratch": str(tmp_path)}
    ours, theirs = (told(peer, order) for peer in ("ours_pretrain.py", "handwritten_pretrain.py"))
    assert ours["tokens"] == theirs["tokens"] == 9 * 2 * 16
    assert ours["shape"] == theirs["shape"] and pretraining(ours) == pretraining(theirs)
    assert len(ours["losses"]) == 9 and len(theirs["losses"]) == 10
    assert all(run["seconds"] > 0 and run["work_seconds"] > 0 for run in (ours, theirs))
