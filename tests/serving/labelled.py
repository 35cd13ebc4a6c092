"""A small study of a classification."""

from __future__ import annotations

import json
from pathlib import Path

from luthier.studies.study import study
from tests import tiny


def labelled_study(model: Path, arm: str, folder: Path) -> Path:
    """A finished study in fp32 of one arm that answers labels."""
    task = folder / "task"
    task.mkdir(parents=True)
    for split, count in (("train", 18), ("dev", 6), ("test", 9)):
        rows = [
            {"id": f"{split}{i}", "input": one.input, "references": [tiny.LABELS[i % 3]], "meta": {}}
            for i, one in enumerate(tiny.examples(count, prefix=split))
        ]
        (task / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ", ".join(f'"{label}" = "{label}"' for label in tiny.LABELS)
    decide = '[decide]\nmetric = "accuracy"\n'
    (task / "task.toml").write_text(f'name = "calls"\n[classes]\nwords = {{ {words} }}\n{decide}')
    defaults = {"epochs": 1, "evaluations": 1, "batch_size": 4} if arm == "head" else None
    return study(task, model=str(model), arms=[arm], out=folder / "out", precision="fp32", defaults=defaults)
