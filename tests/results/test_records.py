"""The lines of line files, what damage is called, and what follows from the records themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthier.errors import FolderError
from luthier.files import write_json
from luthier.records import Example
from luthier.results.arm_record import ArmRecord, TrainingRecord, Trial, bytes_to_ship, ships_base
from luthier.results.lines import Event, ReferenceLikelihood, Step
from luthier.results.multitask_record import MixtureRecord, MultitaskRecord
from luthier.results.record import append_lines_of, read_lines_of, write_lines_of
from luthier.results.shipped_note import ShippedNote, Shot
from luthier.results.study_record import StudyRecord
from tests import records
from tests.results.made import RECORDS, SHOT

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
    whole = next(record for make in RECORDS.values() if type(record := make()) is kind)
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
    assert not ships_base(same) and bytes_to_ship(same) == {"copy-3": 0, "zero-shot": 0, "lora": 5}
    other = same | {"small": arm("small", "s", None, 30)}
    assert ships_base(other)
    assert bytes_to_ship(other) == {"copy-3": 0, "zero-shot": 100, "lora": 105, "small": 30}


def test_beside_a_narrow_arm_every_arm_takes_its_whole_model_to_ship() -> None:
    def arm(name: str, saved: int, file: int, width: str | None) -> ArmRecord:
        counts = {"saved_bytes": saved, "weight": records.WEIGHT | {"file_bytes": file}}
        return records.arm_record(name, trained=True, counts=counts, width=width)

    arms = {"lora": arm("lora", 20, 558, None), "lora@int8": arm("lora@int8", 20, 220, "int8")}
    assert ships_base(arms) and bytes_to_ship(arms) == {"lora": 558, "lora@int8": 220}


def test_bits_per_character() -> None:
    assert ReferenceLikelihood(id="a", nats=0.6931471805599453, tokens=1, characters=2).bits_per_character == 0.5
    assert ReferenceLikelihood(id="a", nats=None, tokens=0, characters=0, reason="none").bits_per_character is None


def test_a_shot_is_the_example_it_was() -> None:
    example = Example("e1", "Ann: Hi.", ("Ann greets.",), {"k": 1}, "u1", 3)
    assert Shot.of(example).example == example
    with pytest.raises(ValueError):
        ShippedNote.model_validate({"format": 1})
