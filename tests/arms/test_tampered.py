"""Every field of every file of a shipped folder, changed one at a time: who would answer, hand on or check refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.arms.ask import ask
from luthier.arms.merge import merge_arm
from luthier.arms.ship import evidence_of, ship
from luthier.arms.ship_verify import _DECIDED, _OF_THE_SHIPPER, verify
from luthier.errors import LuthierError
from luthier.results.comparison import Comparison
from luthier.results.evidence import Evidence, hashes_of, write_sums
from luthier.results.record import Record
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.serving.served import load_served
from luthier.studies.study import study
from tests.results.damage import Damage, Place, changed, damages, fields_of
from tests.studies.test_study import make_task

pytestmark = pytest.mark.slow
ARM = "lora-r4"
ANSWERED = ("luthier.json", "adapter/adapter_config.json")  # what decides an answer, beside the weights
JUDGED = ("verdict", "difference", "low", "high")  # fields of a pair that the scores give
OURS_ALONE = ("Traceback", "pydantic", "validation error", "Input should")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    task, folder = make_task(tmp_path_factory.mktemp("task"), test=6), tmp_path_factory.mktemp("study")
    done = study(
        task, model=str(tiny_folder("decoder-chat")), arms=["few-shot-2", ARM], out=folder / "out", precision="fp32",
        defaults={"epochs": 1, "evaluations": 1, "batch_size": 4},
    )  # fmt: skip
    ship(done, folder / "mine", arm=ARM, gguf=["f16"], with_modelfile=True, force=True)
    return folder / "mine"


@pytest.fixture
def copy(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "mine"))


def others(value: Any) -> Iterator[Any]:
    """Other values of the same kind."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, -value - 1)
    elif isinstance(value, str):
        yield from (value + "x", "")
    elif isinstance(value, list) and value:
        yield from (value[1:], [*value, value[-1]])
    elif value is None:
        yield from (1, "x")


def changes(whole: dict[str, Any]) -> Iterator[Damage]:
    """The file with one field of another value, for every field of every element; then damaged in every other way."""
    for place, value in every_field(whole):
        yield from (Damage(f"{one!r:.40}", place, changed(whole, place, one)) for one in others(value) if one != value)
    yield from damages(whole)


def every_field(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*place, key), one
        if not (isinstance(one, list) and one and isinstance(one[0], int)):  # token ids: a change of the list is enough
            yield from every_field(one, (*place, key))


def doors(folder: Path, out: Path) -> dict[str, Callable[[], Any]]:
    return {
        "verify": lambda: verify(folder),
        "ask": lambda: list(ask(folder, "Tom?")),
        "serve": lambda: load_served([str(folder)]),
        "merge": lambda: merge_arm(folder, out),
    }


def problem(door: Callable[[], Any], *, may_pass: bool = False) -> str | None:
    """How what is behind the door breaks the promise."""
    try:
        door()
    except LuthierError as refused:
        sentence = str(refused)
        if len(sentence.splitlines()) != 1 or any(word in sentence for word in OURS_ALONE):
            return f"no sentence: {sentence}"
        return None
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    return None if may_pass else "does it"


@pytest.mark.parametrize("name", ANSWERED)
def test_who_would_answer_refuses_a_changed_field(name: str, copy: Path, tmp_path: Path) -> None:
    before = (copy / name).read_bytes()
    wrong, count = [], 0
    for damage in changes(json.loads(before)):
        if json_of(damage.content) == json.loads(before):
            continue
        (copy / name).write_bytes(damage.content)
        count += 1
        for verb, door in doors(copy, tmp_path / "merged").items():
            if said := problem(door):
                wrong.append(f"{verb} of {damage}: {said}")
    assert count > 50 and not wrong, "\n".join(wrong[:30])


def json_of(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content


# ----------------------------------------------------------- somebody made all hashes again, to be believed


def resealed(folder: Path, evidence: Evidence) -> None:
    files = hashes_of(folder, ("SHA256SUMS", Evidence.FILE))
    evidence.model_copy(update={"files": files}).sealed().write(folder)
    write_sums(folder)


def value_of(content: bytes, kind: type[Record], folder: Path) -> Any:
    """The record in these bytes; None where it is none."""
    kind.path_in(folder).write_bytes(content)
    try:
        return kind.read(folder)
    except LuthierError:
        return None


def test_a_field_of_the_evidence_is_refused_by_the_records_beside_it(copy: Path) -> None:
    before, wrong, count = Evidence.path_in(copy).read_bytes(), [], 0
    for place, value in every_field(json.loads(before)):
        if place[0] in (*_OF_THE_SHIPPER, "format") or (place[0] == "exports" and place[-1] not in JUDGED):
            continue
        for one in others(value):
            if (forged := value_of(changed(json.loads(before), place, one), Evidence, copy)) is not None:
                count += 1
                resealed(copy, forged)
                if said := problem(lambda: verify(copy)):
                    wrong.append(f"{place} = {one!r}: {said}")
    assert count > 40 and not wrong, "\n".join(wrong[:30])


def test_a_decision_is_refused_by_the_scores_beside_it(copy: Path) -> None:
    """compare.json and the evidence tell the same tale, and it is not what the scores give."""
    inside, evidence = copy / "evidence", Evidence.read(copy)
    record, note, before = StudyRecord.read(inside), ShippedNote.read(copy), Comparison.path_in(inside).read_bytes()
    deciding = [n for n, pair in enumerate(json.loads(before)["pairs"]) if pair["metric"] == evidence.metric]
    wrong, count = [], 0
    for place, value in every_field(json.loads(before)):
        of_a_pair = place[0] == "pairs" and len(place) == 3 and place[1] in deciding and place[2] in JUDGED
        tells = of_a_pair or (place[0] == "ship" and place[-1] in _DECIDED)
        for one in others(value) if tells else ():
            compared = value_of(changed(json.loads(before), place, one), Comparison, inside)
            if compared is not None:
                count += 1
                resealed(copy, evidence_of(ARM, record, compared, note, evidence.exports, True))
                if said := problem(lambda: verify(copy)):
                    wrong.append(f"{place} = {one!r}: {said}")
    assert count > 20 and not wrong, "\n".join(wrong[:30])


def test_a_note_that_contradicts_itself_is_a_sentence(copy: Path) -> None:
    """Its own hash was made again too: some changes make another arm that is honest about itself, none a traceback."""
    before, evidence, wrong, refused = ShippedNote.path_in(copy).read_bytes(), Evidence.read(copy), [], 0
    for place, value in fields_of(json.loads(before)):
        for one in list(others(value))[:1]:
            if (forged := value_of(changed(json.loads(before), place, one), ShippedNote, copy)) is None:
                continue
            forged.sealed().write(copy)
            resealed(copy, evidence)
            said = [problem(lambda: load_served([str(copy)]), may_pass=True), problem(lambda: verify(copy))]
            refused += said[1] is None
            wrong += [f"{place} = {one!r}: {one_said}" for one_said in said if one_said and one_said != "does it"]
    assert refused > 20 and not wrong, "\n".join(wrong[:30])
