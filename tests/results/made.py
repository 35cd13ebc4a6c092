"""Small real files of a study's folder, made by the code that writes them."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from typing import Any

from luthier.planning.learned import Learned
from luthier.records import Answer, Example, Score
from luthier.results.arm_record import BaseWidth
from luthier.results.comparison import Comparison
from luthier.results.cost import Cost
from luthier.results.domain_record import DomainRecord
from luthier.results.looks import Looks
from luthier.results.multitask_record import TasksRecord
from luthier.results.plan_record import PlanRecord
from luthier.results.pretrain_record import PretrainRecord
from luthier.results.profile_record import ProfileRecord
from luthier.results.record import Record
from luthier.results.scaling_record import LadderRecord, LawRecord
from luthier.results.shipped_note import ShippedNote
from luthier.results.trial_record import TrialRecord
from luthier.scoring.score import score
from luthier.verdicts.compare import compare
from luthier.verdicts.profile import profile
from tests import records

KEPT = {"copy-3": 0.1, "zero-shot": 0.5, "lora": 0.8}  # arm -> how much of a reference its answers keep
WORDS = [
    "asks",
    "tells",
    "books",
    "cancels",
    "wants",
    "offers",
    "ticket",
    "table",
    "boiler",
    "invoice",
    "doctor",
    "noon",
]
LABELS = ("yes", "no")


def examples() -> list[Example]:
    """24 dialogues, the last of two rows."""
    draw = random.Random(3)
    units = [*(f"d{i}" for i in range(23)), "d22"]
    return [
        Example(f"e{i}", f"Ana: {' '.join(draw.choices(WORDS, k=12))}", (" ".join(draw.sample(WORDS, 6)),), unit)
        for i, unit in enumerate(units)
    ]


def answers(arm: str, seed: int = 0) -> list[Answer]:
    """References with some words exchanged, and one answer that is empty."""
    draw, found = random.Random(f"{arm}-{seed}"), []
    stop = "given" if arm == "copy-3" else "end"
    for row in examples():
        words = [word if draw.random() < KEPT[arm] else draw.choice(WORDS) for word in row.references[0].split()]
        found.append(Answer(row.id, " ".join([*words, "Berta"]), stop=stop))
    return [Answer("e0", "", stop=stop), *found[1:]]


def scores(arm: str, seed: int = 0) -> list[Score]:
    return score(answers(arm, seed), examples(), ("rouge1", "bleu", "stopped", "copied"))


@functools.cache
def compared() -> dict[str, Any]:
    """A comparison of texts with further seeds, an example left out, and arms that lack values."""
    arms = {arm: scores(arm) for arm in KEPT}
    arms["lora"] = arms["lora"][3:]
    return compare(arms, look=2, seeds={"lora": [scores("lora", seed)[3:] for seed in (1, 2)]})


@functools.cache
def compared_labels() -> dict[str, Any]:
    """A comparison of labels: McNemar's p, and a metric formed from counts."""
    rows = [Example(f"e{i}", f"row {i}", (LABELS[i % 2],)) for i in range(30)]
    said = {"a": [LABELS[i % 2 if i % 5 else 0] for i in range(30)], "b": [LABELS[i % 3 == 0] for i in range(30)]}
    arms = {
        arm: score([Answer(row.id, text) for row, text in zip(rows, texts, strict=True)], rows, labels=list(LABELS))
        for arm, texts in said.items()
    }
    return compare(arms, deciding="accuracy", margin=0.1, baselines=("a",))


@functools.cache
def profiled() -> dict[str, Any]:
    return profile({arm: answers(arm) for arm in ("copy-3", "lora")}, examples(), examples()[:5]).as_json()


def read_back(kind: type[Record], value: dict[str, Any]) -> Record:
    return kind.model_validate_json(json.dumps(value))


SHOT = {"id": "e1", "input": "Ann: Hi.", "references": ["Ann greets."], "meta": {"k": 1}, "unit": "e1", "row": 1}
NOTE = {
    "format": 1, "method": "lora", "weights": "adapter", "width": None, "weights_sha256": None,
    "files": {"adapter_config.json": "aa11"}, "note_sha256": "bb22",
    "base": {"name": "smollm2-135m", "sha256": "dd44", "family": "decoder", "precision": "fp32",
             "files": {"config.json": "cc33"}},
    "template": "{input}", "shots": [SHOT], "prompt_sha256": "ee55", "generation": records.GENERATION, "labels": [],
    "answers_by": "generation", "seed": 0, "probes": [{"id": "d1", "prompt_ids": [1, 2], "text": "a", "tokens": [3]}],
    "room": 8,
}  # fmt: skip
SHARE = {
    "available": 10, "rate": 0.488088, "drawn": 10, "distinct": 10, "passes": 1.0, "tokens": 876,
    "supervised_tokens": 230, "templates": {"plain": 10},
}  # fmt: skip
TASKS = {
    "format": 1, "level": 0.95, "comparisons": 1, "sentences": ["One."], "family": "A verdict is about one task.",
    "tasks": [
        {"task": "sums", "folder": "tasks/sums", "held_out": False, "metric": "rouge1", "margin": 0.02, "n": 13,
         "look": 1, "arms": {"copy-3": {"mean": 0.5, "low": None, "high": None, "n": 1}}},
    ],
    "pairs": [
        {"task": "sums", "held_out": False, "metric": "rouge1", "margin": 0.02, "a": "multi-lora", "b": "lora",
         "difference": 0.001, "n": 13, "verdict": "cannot tell", "simultaneous_low": -0.03, "simultaneous_high": 0.04,
         "one_sided_low": None, "one_sided_high": 0.03, "within_margin": False, "sd": 0.04, "nonzero": 3,
         "identical": False, "examples_needed": {"more": 42, "total": 55, "low": 44, "high": 142, "to_be_sure": 110},
         "in_study": "cannot tell"},
        {"task": "heads", "held_out": False, "metric": "rouge1", "margin": 0.02, "a": "multi-lora", "b": "lora",
         "difference": None, "n": 0, "verdict": None, "in_study": None},
    ],
    "mixtures": {"multi-lora": {"sums": SHARE}},
    "effort": [
        {"arm": "lora", "task": "sums", "folder": "tasks/sums", "examples": 10, "train_tokens": 876,
         "supervised_tokens": 230, "steps": 3, "best_step": 2, "best_dev": 0.09, "trainable": 5568,
         "saved_bytes": 27456},
    ],
    "findings": [], "warnings": {"sums": ["Only 13."]},
}  # fmt: skip
TUNING = {
    "trials": 2, "rounds": 1, "trainings": 2, "failed": 0, "steps": 4, "train_tokens": 900, "supervised_tokens": 90,
    "dev_answers": 12, "own": {"learning_rate": 0.001}, "chosen": {"learning_rate": 0.0023, "rank": 8},
    "metric": "rouge1", "dev": 0.25,
}  # fmt: skip
HEALTH = [
    {"level": "warning", "text": "row 3 repeats row 1", "file": "train.jsonl", "row": 3},
    {"level": "note", "text": "none", "file": None, "row": None},
]
ENCODER = {
    "name": "models/encoder", "base_sha256": "ff", "family": "encoder", "window": 512, "precision": "fp32",
    "parameters": 7, "notes": ["n"],
}  # fmt: skip
RANGED = {"value": 0.4, "low": 0.3, "high": 0.5}
SPAN = {"least": 1e7, "most": 1e9}
LAW = {
    "format": 1, "points_file": "points.csv", "points_sha256": "aa11", "points": 28, "runs": 20,
    "left_out": [{"row": 3, "run": "r3", "reason": "it has no loss"}], "repeated_points": 2, "delta": 0.001, "seed": 0,
    "objective": 0.002, "gradient": 1e-12, "starts": 432, "reached": 400, "level": 0.9,
    "parameters": dict.fromkeys(("e", "a", "b", "alpha", "beta", "exponent"), RANGED),
    "resamples": [[6.0, 7.5, 0.5, 0.35, 0.37]], "width": 0.03,
    "backtests": [{"quantile": 0.4, "flops": 1e19, "fitted": 12, "predicted": 16, "error": 0.02, "covered": 0.9}],
    "sizes": SPAN, "tokens": SPAN, "flops": SPAN,
    "isoflop": {"exponent": 0.5, "factor": 0.1, "low": 0.4, "high": 0.6, "trimmed": 0.5,
                "budgets": [{"flops": 1e19, "sizes": 5, "parameters": 1e8, "reason": None, "off_centre": 0.1},
                            {"flops": 1e20, "sizes": 2, "parameters": None, "reason": "few", "off_centre": None}]},
    "repeated": {"r_d": 15.4, "r_n": 5.3},
}  # fmt: skip
LADDER = {
    "format": 1, "minutes": 2.0, "corpus": "docstrings", "trunk": True, "flops_a_second": 2.5e10,
    "cells": [{"name": "w16-r5-s0", "width": 16, "ratio": 5, "seed": 0, "parameters": 9000, "tokens": 45000,
               "flops": 2.4e9, "shared_flops": 1.2e9}],
    "predictions": [{"cell": "w16-r5-s0", "loss": 2.1, "low": 2.0, "high": 2.2}], "level": 0.9,
}  # fmt: skip
BITS = {"value": 2.2, "low": 2.1, "high": None, "documents": 4, "bytes": 9000, "xz": 2.6, "bzip2": 2.5}
PRETRAINED = {
    "format": 1, "settings": {"width": 64}, "command": "luthier pretrain", "versions": {"torch": "2.13.0"},
    "corpus_sha256": "aa", "tokenizer_sha256": "bb", "train_documents": 9, "train_bytes": 9000, "parameters": 900,
    "parameters_without_embeddings": 500, "steps": 13, "rows_a_step": 16, "flops": 6.3e10, "finished": True,
    "tokens": 53000, "supervised": 52900, "loss": 5.3, "held_out": BITS, "elsewhere": None,
    "samples": [{"prompt": "a", "text": "b"}], "weights_sha256": "cc", "shared_steps": 8,
}  # fmt: skip
_CHANGE = {
    "before": {"value": 1.9, "low": 1.8, "high": 2.0}, "after": {"value": 1.4, "low": 1.3, "high": None},
    "difference": {"value": -0.5, "low": -0.6, "high": -0.4}, "documents": 9, "units": 4000,
}  # fmt: skip
DOMAIN = {
    "format": 1, "mark": "a1b2", "model": "smollm2-135m", "settings": {"corpus": "notes", "row": 512},
    "training": {"learning_rate": 5e-5}, "seed": 0, "corpus_sha256": "aa", "documents": 90, "bytes": 40_000,
    "held_out": 5, "left_out": {"spells a control token of the model": 2},
    "counts": {"trainable": 9, "parameters": 9, "train_examples": 95, "train_prompts_cut": 0, "train_tokens": 9000,
               "supervised_tokens": 8900, "passes": 2.0, "steps": 24, "best_step": 24, "best_dev": None, "replayed": 5},
    "measure": "bits per byte", "level": 0.95, "inside": _CHANGE, "outside": _CHANGE, "saved_bytes": 900,
}  # fmt: skip
TRIAL_MEAN = {"task": "text", "measure": "bits a byte", "at": "", "arm": "plain", "value": 2.0, "low": 1.9, "high": 2.1,
              "seeds": 3, "units": 4, "difference": None, "difference_low": None, "difference_high": None}  # fmt: skip
TRIAL = {
    "format": 1, "settings": {"kind": "recipe", "seeds": 3}, "command": "luthier trial", "versions": {"torch": "2"},
    "corpus_sha256": "aa", "processors": 1.9,
    "cells": [{"arm": "plain", "task": "text", "budget": "time", "steps": 12, "tokens_a_step": 2048,
               "seconds_a_step": 0.1, "flops_a_step": 2e9, "parameters": 900}],
    "results": [{"arm": "plain", "task": "text", "seed": 0, "tries": False, "learning_rate": 0.01, "steps": 12,
                 "loss": 5.0, "scores": [{"measure": "bits a byte", "at": "", "values": [9.5, 8], "weights": [4, 5]},
                                         {"measure": "nats a token", "at": "1", "values": [5.0], "weights": None}]}],
    "means": [TRIAL_MEAN, TRIAL_MEAN | {"difference": -0.1, "difference_low": -0.2, "difference_high": 0.1}],
    "finished": True,
}  # fmt: skip


LESSON = {
    "basis": "987541ee4f09d56f", "phase": "training", "precision": "bf16", "family": "decoder", "kind": "lora",
    "parameters": 134515008, "by_rates": 21.5, "measured": 32.6, "weight": 0.383,
}  # fmt: skip
TAUGHT = {"by_rates": 21.5, "factor": 1.39, "low": 0.77, "high": 2.51, "arms": 2}
PHASE = {"terms": [{"name": "weights", "bytes": 9}], "flops": 7, "seconds": 29.885, "taught": TAUGHT}
PLAN = {
    "format": 1, "accounting": "luthier", "device": "here", "precision": "bf16", "rates": "measured",
    "arms": {"lora": {"method": "lora", "model": "m", "parameters": 10, "trainable": 2, "training": PHASE}},
}  # fmt: skip

RECORDS: dict[str, Callable[[], Record]] = {  # a new type is held to every promise of test_damage.py by its line here
    "comparison": lambda: read_back(Comparison, compared()),
    "comparison of labels": lambda: read_back(Comparison, compared_labels()),
    "profile": lambda: read_back(ProfileRecord, profiled()),
    "cost": lambda: read_back(
        Cost, {"seconds": 12.5, "arms": {"lora": {"train_seconds": 10.0, "new_tokens": 9}, "full": {}}}
    ),
    "study": lambda: records.study_record(["copy-3", "zero-shot"], health=HEALTH),
    "study of several models": lambda: records.study_record(
        {"head": records.arm_table("head", model=ENCODER["name"], trained_on="a mixture")},
        models={ENCODER["name"]: ENCODER},
    ),
    "baseline": lambda: records.arm_record("copy-3", asks=False),
    "prompting": lambda: records.arm_record("zero-shot"),
    "trained": lambda: records.arm_record("lora", trained=True, tuning=TUNING, trained_on="a mixture"),
    "training": lambda: records.training_record(),
    "base width": lambda: BaseWidth(width="nf4"),
    "note of a dated prompt": lambda: read_back(ShippedNote, NOTE | {"day": "2026-07-30"}),
    "note": lambda: read_back(ShippedNote, NOTE),
    "multitask": lambda: records.multitask_record({"sums": False, "notes": True}),
    "mixture": lambda: records.mixture_record("sums", "heads"),
    "tasks": lambda: read_back(TasksRecord, TASKS),
    "law": lambda: read_back(LawRecord, LAW),
    "ladder": lambda: read_back(LadderRecord, LADDER),
    "pretrained": lambda: read_back(PretrainRecord, PRETRAINED),
    "domain": lambda: read_back(DomainRecord, DOMAIN),
    "trial": lambda: read_back(TrialRecord, TRIAL),
    "plan": lambda: read_back(PlanRecord, PLAN),
    "learned": lambda: read_back(Learned, {"format": 1, "lessons": [LESSON, LESSON]}),
    "looks": lambda: read_back(Looks, {"a": ["b", "c"], "d": []}),
}
