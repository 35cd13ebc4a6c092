"""A study goes on only as what it began as, in a folder that is its own, and a look at its test set is counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.records import Answer
from luthier.results.folder import StudyFolder
from luthier.results.lines import ANSWERS_FILE, LOG_FILE, SCORES_FILE, Event
from luthier.results.multitask_record import MultitaskRecord
from luthier.results.record import read_lines_of, write_lines_of
from luthier.results.resume import (
    begin,
    locked_study,
    look_ahead,
    open_test,
    refuse_other_specification,
    stored_in,
)
from luthier.results.study_record import StudyRecord
from tests.records import arm_record, arm_table, multitask_record, study_record


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return StudyFolder(tmp_path / "study")


def test_a_new_folder_holds_nothing_and_one_of_ours_its_study(folder: StudyFolder) -> None:
    assert stored_in(folder, StudyRecord) is None
    (folder.path / ".lock").parent.mkdir()
    (folder.path / ".lock").touch()
    assert stored_in(folder, StudyRecord) is None
    study = study_record(["copy-3"])
    study.write(folder.path)
    assert stored_in(folder, StudyRecord) == study


@pytest.mark.parametrize("kind", [StudyRecord, MultitaskRecord])
def test_a_folder_of_somebody_else_is_refused_and_untouched(folder: StudyFolder, kind: type) -> None:
    folder.path.mkdir()
    (folder.path / "letter.txt").write_text("dear")
    with pytest.raises(FolderError, match="is not empty and holds no study of ours; name a new folder with --out"):
        locked_study(folder, kind)
    (folder.path / kind.FILE).write_text('{"name": "another program"}')
    with pytest.raises(FolderError, match=f"{kind.FILE}: the key 'format' is missing; name a new folder with --out"):
        locked_study(folder, kind)
    assert {path.name for path in folder.path.iterdir()} == {"letter.txt", kind.FILE}


def test_another_specification_is_refused_but_for_arms(folder: StudyFolder) -> None:
    stored = study_record(["copy-3"])
    refuse_other_specification(folder, stored, stored.specification | {"arms": ["lora"]})
    with pytest.raises(FolderError, match="holds a study with tune = 0, not 4; name another folder with --out"):
        refuse_other_specification(folder, stored, {"tune": 4})


def events_of(folder: StudyFolder) -> list[str]:
    return [line.event for line in read_lines_of(Event, folder.path / LOG_FILE)]


def test_a_study_that_is_done_stays_done_unless_more_is_asked(folder: StudyFolder) -> None:
    running = study_record(["copy-3"], status="running")
    (folder.path / "arms").mkdir(parents=True)
    half = folder.path / "arms" / ".answers.jsonl.x.part"
    half.touch()
    begin(folder, running, None)
    assert StudyRecord.read(folder.path) == running and not half.exists()
    done = running.done(look=2)
    assert (done.is_done, done.task.test_opened) == (True, 2)
    done.write(folder.path)
    begin(folder, running, done)
    assert StudyRecord.read(folder.path) == done
    for more in (
        study_record(["copy-3", "bare"], status="running"),
        study_record(["copy-3"], status="running", specification={"seeds": 3}),
    ):
        begin(folder, more, done)
        assert StudyRecord.read(folder.path) == more
    assert events_of(folder) == ["start", "resume", "resume", "resume"]


def test_a_group_of_tasks_that_is_done_stays_done(folder: StudyFolder) -> None:
    running = multitask_record({"sums": False, "notes": True}, status="running")
    done = running.model_copy(update={"status": "done"})
    done.write(folder.path)
    begin(folder, running, done)
    assert MultitaskRecord.read(folder.path) == done
    more = multitask_record({"sums": False, "notes": True}, trained=("lora", "full"), status="running")
    begin(folder, more, done)
    assert MultitaskRecord.read(folder.path) == more


def test_what_shapes_the_answers_is_another_look(folder: StudyFolder) -> None:
    study = study_record(["copy-3", "lora"])
    same = [study_record(["copy-3", "lora"], specification={"likelihood": True}), study.done(look=3)]
    assert {one.shape_sha256 for one in same} == {study.shape_sha256}
    others = [
        study_record(["copy-3", "lora"], specification={"seed": 1}),
        study_record(["copy-3"]),
        study_record({"copy-3": arm_table("copy-3"), "lora": arm_table("lora", trained_on="a mixture")}),
        study_record(["copy-3", "lora"], model={"base_sha256": "other"}),
        study_record(["copy-3", "lora"], task={"hashes": {"train": "aa11", "dev": "bb22", "test": "other"}}),
    ]
    assert len({one.shape_sha256 for one in [study, *others]}) == 1 + len(others)


def test_a_look_is_counted_once_and_foreseen(folder: StudyFolder) -> None:
    assert look_ahead(folder, "test", ["copy-3"]) == 1
    study_record(["copy-3"]).write(folder.path)
    assert look_ahead(folder, "test", ["copy-3"]) == open_test(folder, "test") == open_test(folder, "test") == 1
    assert look_ahead(folder, "test", ["copy-3", "bare"]) == 2
    study_record(["copy-3", "bare"]).write(folder.path)
    assert (open_test(folder, "test"), open_test(folder, "another test")) == (2, 1)


def test_the_folder_reads_what_lies_in_it(folder: StudyFolder) -> None:
    assert not folder.finished("lora/seed-1") and folder.answers("lora") == []
    arm_record("lora", trained=True).write(folder.arm("lora/seed-1"))
    answers = [Answer("e1", "yes", (1, 2), "end")]
    write_lines_of(folder.arm("lora") / ANSWERS_FILE, answers)
    assert not folder.finished("lora/seed-1"), "its answers and scores are gone"
    for file in (ANSWERS_FILE, SCORES_FILE):
        write_lines_of(folder.arm("lora/seed-1") / file, [])
    assert folder.finished("lora/seed-1") and folder.arm_record("lora/seed-1").is_trained
    assert folder.answers("lora") == answers
    folder.spent("lora", train_seconds=1.5)
    folder.spent("lora", train_seconds=1.5, peak_bytes=7)
    assert folder.cost().of("lora").as_json() == {"train_seconds": 3.0, "peak_bytes": 7}
    folder.log("trained", arm="lora", steps=4, seconds=1.5)
    assert events_of(folder) == ["trained"]
