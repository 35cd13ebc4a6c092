"""Whole records of a study's folder for tests that make one by hand: every key that luthier writes, with what a test
wants otherwise in its place. `write(folder)` of each makes the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from luthier.results.arm_record import ArmRecord, TrainingRecord
from luthier.results.lines import Step
from luthier.results.multitask_record import MixtureRecord, MultitaskRecord
from luthier.results.study_record import StudyRecord

GENERATION = {"max_new_tokens": 40, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}
TRAINING = {
    "learning_rate": 0.001, "epochs": 2.0, "most_epochs": 2.0, "batch_size": 8, "micro_tokens": None, "warmup": 0.06,
    "weight_decay": 0.0, "clip_norm": 1.0, "evaluations": 3, "checkpoint_seconds": 25.0,
}  # fmt: skip
COUNTS: dict[str, Any] = {
    "trainable": 5568, "parameters": 40992, "train_examples": 20, "train_prompts_cut": 0, "train_tokens": 2044,
    "supervised_tokens": 493, "passes": 2.0, "steps": 6, "best_step": 3, "best_dev": 0.25, "saved_bytes": 27456,
}  # fmt: skip
PROMPTS = {"prompt_tokens_mean": 76.3, "prompts_cut": 0, "tokens_cut": 0, "shots_dropped": 0}
WEIGHT = {
    "linear_bytes": 92160, "linear_weights": 23040, "kept_weights": 0, "bytes": 141728, "weights": 35424,
    "embedding": "fp32", "linear_ratio": 2.0, "ratio": 2.0005, "width": "fp32", "file_bytes": 172112,
}  # fmt: skip
HASHES = {"train": "aa11", "dev": "bb22", "test": "cc33"}
MADE_BY = {
    "versions": {"python": "3.11.7", "luthier": "0.1.0"},
    "machine": {
        "system": "a system", "processor": "a processor", "cores": 2, "memory_bytes": 2**33, "device": "cpu",
    },
    "commit": None,
    "dirty": None,
}  # fmt: skip


def as_read(kind: Any, row: dict[str, Any]) -> Any:
    """The record that a file of this content gives."""
    import json

    return kind.model_validate_json(json.dumps(row))


def arm_table(method: str, **changes: Any) -> dict[str, Any]:
    """An arm's table in study.json."""
    table = {
        "method": method, "template": "plain", "width": None, "settings": {}, "training": {},
        "generation": GENERATION | {"max_new_tokens": None}, "model": None, "answer": None, "tune": [],
    }  # fmt: skip
    return table | changes


def study_record(arms: Iterable[str] | dict[str, Any], *, test: int = 40, **changes: Any) -> StudyRecord:
    """study.json of a finished study of these arms."""
    tables = arms if isinstance(arms, dict) else {name: arm_table(name) for name in arms}
    counts = {"train": 20, "dev": 6, "test": test}
    specification = {
        "task": "dialogues", "model": "smollm2-135m", "arms": list(tables), "defaults": {}, "train": None,
        "dev": None, "test": None, "seed": 0, "seeds": 1, "tune": 0, "likelihood": False, "memory": None,
        "precision": "auto",
    }  # fmt: skip
    task = {
        "name": "dialogues", "folder": "tasks/dialogues", "labels": [], "description": "Summarize a dialogue.",
        "metric": "rouge1", "margin": 0.02, "hashes": HASHES, "counts": counts, "of": counts,
        "templates": {"plain": "Summarize the following conversation.\n\n{input}"}, "notes": [], "test_opened": 1,
    }  # fmt: skip
    model = {
        "name": "smollm2-135m", "base_sha256": "dd44", "family": "decoder", "window": 8192, "precision": "bf16",
        "parameters": 134_515_008, "notes": [],
    }  # fmt: skip
    row = {
        "format": 1, "specification": specification, "arms": tables, "command": "luthier study dialogues",
        "task": task, "model": model, "models": {}, **MADE_BY, "power": [], "effort": [], "health": [],
        "status": "done",
    }  # fmt: skip
    for key in ("specification", "task", "model"):
        row[key] = row[key] | changes.pop(key, {})
    return as_read(StudyRecord, row | changes)


def arm_record(
    name: str, *, asks: bool = True, trained: bool = False, counts: dict[str, Any] | None = None, **changes: Any
) -> ArmRecord:
    """arm.json of a baseline (`asks` False), of a way of prompting, or of a trained arm."""
    known = (COUNTS if trained else {}) | (PROMPTS | {"weight": WEIGHT} if asks else {})
    known |= {"stopped": {"end": 40, "length": 0, "chosen": 0, "given": 0}, "empty": 0} | (counts or {})
    row = {
        "name": name, "method": name.split("-")[0], "summary": "an instruction and the input",
        "model": "smollm2-135m" if asks else None, "answers_by": "generation" if asks else "baseline",
        "template": "plain" if asks else None, "settings": {}, "training": TRAINING if trained else None,
        "generation": GENERATION if asks else None, "width": None, "counts": known, "status": "done",
        "tuning": {"trials": 0} if trained else None,
        "length": {"chosen": 40, "by": "dev", "dev": {"8": 0.2, "40": 0.3}} if asks else None,
        "dev": {"metric": "rouge1", "value": 0.3, "n": 6} if asks else None,
    }  # fmt: skip
    return as_read(ArmRecord, row | changes)


def training_record(**changes: Any) -> TrainingRecord:
    """training.json."""
    return as_read(TrainingRecord, COUNTS | changes)


def step(number: int, loss_sum: float, count: int = 100, **changes: Any) -> Step:
    """A line of metrics.jsonl."""
    row = {
        "step": number, "loss_sum": loss_sum, "count": count, "tokens": 3 * count, "learning_rate": 0.001,
        "gradient_norm": 1.5, "seconds": 0.5,
    }  # fmt: skip
    return as_read(Step, row | changes)


def multitask_record(tasks: dict[str, bool], trained: Iterable[str] = ("lora",), **changes: Any) -> MultitaskRecord:
    """multitask.json of a finished group; tasks: name -> whether it is held out."""
    mixture = {"kind": "temperature", "temperature": 2.0, "cap": None, "templates": None}
    specification = {
        "tasks": [name for name, held in tasks.items() if not held],
        "held_out": [name for name, held in tasks.items() if held],
        "model": "smollm2-135m", "arms": ["zero-shot", *trained], "defaults": {}, "mixture": mixture,
        "effort": "together", "train": None, "dev": None, "test": None, "seed": 0, "memory": None,
        "precision": "auto",
    }  # fmt: skip
    row = {
        "format": 1, "specification": specification | changes.pop("specification", {}),
        "arms": {name: {} for name in ("zero-shot", *trained)}, "trained": list(trained),
        "command": "luthier multitask sums heads",
        "tasks": {
            name: {"folder": f"tasks/{name}", "held_out": held, "description": "Do it.", "hashes": HASHES}
            for name, held in tasks.items()
        },
        "model": {"name": "smollm2-135m", "base_sha256": "dd44", "precision": "bf16"}, "findings": [], **MADE_BY,
        "status": "done",
    }  # fmt: skip
    return as_read(MultitaskRecord, row | changes)


def mixture_record(*tasks: str, **changes: Any) -> MixtureRecord:
    """mixture.json of tasks that have equal shares."""
    share = {
        "available": 10, "rate": 0.5, "drawn": 20, "distinct": 10, "passes": 2.0, "tokens": 400,
        "supervised_tokens": 80, "templates": {"plain": 12, "question": 8},
    }  # fmt: skip
    return as_read(MixtureRecord, dict.fromkeys(tasks, share | changes))
