"""Whatever happens to a file of a study's folder, reading it ends in one sentence, or gives what the file says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.results.record import Record
from tests.results.damage import LEGAL, Damage, damages
from tests.results.made import RECORDS

OURS_ALONE = ("Traceback", "validation error", "pydantic", "input_value", "Input should")
EITHER = {"budget"}  # fields that may hold a number as well as text
# Tables whose values the settings models of lower rooms check.
EITHER |= {"specification", "settings", "training", "generation", "own", "chosen", "meta"}


@pytest.fixture(params=RECORDS)
def record(request: pytest.FixtureRequest) -> Record:
    return RECORDS[request.param]()


def test_what_was_written_is_read_and_written_again_as_it_was(record: Record, tmp_path: Path) -> None:
    record.write(tmp_path)
    before = record.path_in(tmp_path).read_bytes()
    again = type(record).read(tmp_path)
    assert again == record
    again.write(tmp_path)
    assert record.path_in(tmp_path).read_bytes() == before


def test_every_damage_is_a_sentence_or_still_a_value(record: Record, tmp_path: Path) -> None:
    wrong = [problem for damage in damages(record.as_json()) if (problem := problem_with(record, damage, tmp_path))]
    assert not wrong, "\n".join(wrong[:20])


def problem_with(record: Record, damage: Damage, folder: Path) -> str | None:
    """How reading a damaged file breaks the promise; None where it does not."""
    path = record.path_in(folder)
    path.write_bytes(damage.content)
    try:
        read = type(record).read(folder)
    except FolderError as refused:
        return problem_in_sentence(str(refused), damage, path)
    except Exception as error:
        return f"{damage}: raises {type(error).__name__}: {error}"
    if damage.how not in LEGAL and not EITHER & set(damage.place):
        return f"{damage}: is read"
    return None if read.as_json() == json.loads(damage.content) else f"{damage}: is read as something else"


def problem_in_sentence(sentence: str, damage: Damage, path: Path) -> str | None:
    fields = [str(part) for part in damage.place if not isinstance(part, int)]
    if not sentence.startswith(f"{path}: ") or len(sentence.splitlines()) != 1:
        return f"{damage}: no single sentence that begins with the file: {sentence}"
    if any(word in sentence for word in OURS_ALONE):
        return f"{damage}: speaks of our own parts: {sentence}"
    if fields and fields[-1] not in sentence:
        return f"{damage}: does not name '{fields[-1]}': {sentence}"
    return None


def test_a_missing_file_and_a_folder_in_its_place(record: Record, tmp_path: Path) -> None:
    kind = type(record)
    assert kind.read_if_there(tmp_path) is None
    with pytest.raises(FolderError, match=r"no such file"):
        kind.read(tmp_path)
    record.path_in(tmp_path).mkdir()
    with pytest.raises(FolderError, match=r"cannot be read"):
        kind.read(tmp_path)
