"""Each record of a study's folder is read back as the same bytes, and says what is damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthier.errors import FolderError
from luthier.files import write_json
from luthier.records import Example
from luthier.results.arm_record import ArmRecord, TrainingRecord, Trial, arms_ship_base, bytes_to_ship_of
from luthier.results.lines import Event, ReferenceLikelihood, Step
from luthier.results.looks import Looks
from luthier.results.multitask_record import MixtureRecord, MultitaskRecord, TasksRecord
from luthier.results.record import append_lines_of, read_lines_of, write_lines_of
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from tests import records

SHOT = {"id": "e1", "input": "Ann: Hi.", "references": ["Ann greets."], "meta": {"k": 1}, "unit": "e1", "row": 1}
NOTE = {
    "format": 1, "method": "lora", "weights": "adapter", "width": None, "weights_sha256": None,
    "base": {"name": "smollm2-135m", "sha256": "dd44", "family": "decoder", "precision": "fp32"},
    "template": "{input}", "shots": [SHOT], "prompt_sha256": "ee55", "generation": records.GENERATION, "labels": [],
    "answers_by": "generation", "seed": 0, "probes": [{"id": "d1", "prompt_ids": [1, 2], "text": "a", "tokens": [3]}],
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
WHOLE = [
    records.study_record(["copy-3", "zero-shot"]),
    records.study_record(
        {"head": records.arm_table("head", model="models/encoder", trained_on="a mixture")},
        models={"models/encoder": {"name": "models/encoder", "base_sha256": "ff", "family": "encoder", "window": 512,
                                   "precision": "fp32", "parameters": 7, "notes": ["n"]}},
        health=[{"level": "warning", "text": "row 3 repeats row 1", "file": "train.jsonl", "row": 3},
                {"level": "note", "text": "none", "file": None, "row": None}],
    ),
    records.arm_record("copy-3", asks=False),
    records.arm_record("zero-shot"),
    records.arm_record("lora", trained=True, tuning=TUNING, trained_on="a mixture"),
    records.training_record(best_dev=None),
    records.multitask_record({"sums": False, "notes": True}),
    records.mixture_record("sums", "heads"),
    records.as_read(ShippedNote, NOTE),
    records.as_read(TasksRecord, TASKS),
    records.as_read(Looks, {"a": ["b", "c"], "d": []}),
]  # fmt: skip


@pytest.mark.parametrize("record", WHOLE, ids=lambda record: type(record).__name__)
def test_what_was_read_is_written_again_as_it_was(record: Any, tmp_path) -> None:
    record.write(tmp_path)
    path = type(record).path_in(tmp_path)
    before = path.read_bytes()
    again = type(record).read(tmp_path)
    assert again == record
    again.write(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("row, kind", [(NOTE, ShippedNote), (TASKS, TasksRecord)], ids=["note", "tasks"])
def test_the_keys_and_their_order_are_those_of_the_file(row: dict[str, Any], kind: Any, tmp_path) -> None:
    write_json(tmp_path / kind.FILE, row)
    assert json.dumps(kind.read(tmp_path).as_json()) == json.dumps(row)


LINES = [
    (Trial, {"trial": 0, "round": 0, "settings": {"rank": 8}, "passes": 0.5, "steps": 0, "train_tokens": 0,
             "supervised_tokens": 0, "dev": None, "reason": "the loss is no longer a number"}),
    (Step, {"step": 2, "loss_sum": 3.9, "count": 4, "tokens": 100, "learning_rate": 0.01, "gradient_norm": 1.5,
            "seconds": 1.5, "dev": 0.16}),
    (ReferenceLikelihood, {"id": "a", "nats": 10.9, "tokens": 2, "characters": 3}),
    (ReferenceLikelihood, {"id": "a", "nats": None, "tokens": 0, "characters": 0, "reason": "it is empty"}),
    (Event, {"time": "2026-01-01T00:00:00.000+00:00", "event": "start", "arms": ["lora"]}),
    (Event, {"time": "2026-01-01T00:00:00.000+00:00", "event": "trained", "arm": "lora", "steps": 4, "seconds": 1.5}),
    (Event, {"time": "2026-01-01T00:00:00.000+00:00", "event": "answered", "arm": "lora", "file": "answers.jsonl",
             "answers": 6, "seconds": 1.5}),
    (Event, {"time": "2026-01-01T00:00:00.000+00:00", "event": "trial", "arm": "lora", "trial": 0, "round": 1,
             "dev": 0.07}),
    (Example, SHOT),
]  # fmt: skip


@pytest.mark.parametrize("kind, row", LINES, ids=lambda value: getattr(value, "__name__", ""))
def test_lines_are_read_and_written_as_they_were(kind: Any, row: dict[str, Any], tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    text = json.dumps(row, ensure_ascii=False) + "\n"
    path.write_text(2 * text)
    lines = read_lines_of(kind, path)
    write_lines_of(path, lines)
    append_lines_of(path, lines[:1])
    assert path.read_text() == 3 * text


@pytest.mark.parametrize(
    "kind, change, sentence",
    [
        (StudyRecord, {"format": 2}, "it has format 2, and this version of luthier reads up to 1; update luthier"),
        (StudyRecord, {"arms": {"a": {}}}, "the key 'arms.a.method' is missing; name a new folder with --out"),
        (ArmRecord, {"counts": {"empty": "0"}}, "the key 'counts.stopped' is missing"),
        (TrainingRecord, {"steps": 1.5}, "the key 'steps' is 1.5; it should be a number"),
        (MultitaskRecord, {"colour": 1}, "the key 'colour' is not one that luthier writes"),
        (MixtureRecord, {"sums": {}}, "the key 'sums.available' is missing"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_a_sentence_with_file_and_key(kind: Any, change: dict[str, Any], sentence: str, tmp_path) -> None:
    (whole,) = [record for record in WHOLE if type(record) is kind][:1]
    write_json(tmp_path / kind.FILE, whole.as_json() | change)
    with pytest.raises(FolderError) as refused:
        kind.read(tmp_path)
    assert sentence in str(refused.value) and str(refused.value).startswith(str(tmp_path / kind.FILE))


def test_what_an_arm_takes_to_ship() -> None:
    def arm(name: str, model: str, saved: int | None, file: int) -> ArmRecord:
        counts = {"weight": records.WEIGHT | {"file_bytes": file}} | ({"saved_bytes": saved} if saved else {})
        return records.arm_record(name, model=model, trained=saved is not None, counts=counts)

    baseline = records.arm_record("copy-3", asks=False)
    same = {"copy-3": baseline, "zero-shot": arm("zero-shot", "m", None, 100), "lora": arm("lora", "m", 5, 105)}
    assert not arms_ship_base(same) and bytes_to_ship_of(same) == {"copy-3": 0, "zero-shot": 0, "lora": 5}
    other = same | {"small": arm("small", "s", None, 30)}
    assert arms_ship_base(other)
    assert bytes_to_ship_of(other) == {"copy-3": 0, "zero-shot": 100, "lora": 105, "small": 30}


def test_bits_per_character() -> None:
    assert ReferenceLikelihood(id="a", nats=0.6931471805599453, tokens=1, characters=2).bits_per_character == 0.5
    assert ReferenceLikelihood(id="a", nats=None, tokens=0, characters=0, reason="none").bits_per_character is None
