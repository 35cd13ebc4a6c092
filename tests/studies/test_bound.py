"""A finished study under attack: what was measured is what answers, and nothing is written or read through a link."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from luthier.arms.shipped import load_arm
from luthier.errors import FolderError
from luthier.files import read_json, write_json
from luthier.reports.write import report
from luthier.results.folder import StudyFolder
from luthier.results.resume import locked_study
from luthier.results.study_record import StudyRecord
from luthier.studies.study import study
from tests.studies.test_study import make_task

ARMS = "few-shot-2,lora-r4,full,zero-shot@int4"
LINK = "is a symbolic link, and links inside a study are not followed"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Path:
    """A tiny model of this file's own, because some tests damage it."""
    return Path(shutil.copytree(tiny_folder("decoder-chat"), tmp_path_factory.mktemp("base") / "model"))


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = make_task(tmp_path_factory.mktemp("task"), test=6)
    return study(task, model=str(base), arms=ARMS, out=tmp_path_factory.mktemp("study") / "out")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))


def link(path: Path, elsewhere: Path) -> None:
    """Puts a link in the place of a file or a folder; what was there is what it leads to."""
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


# ------------------------------------------------------------------------------------------------------------ links


def test_a_study_with_a_link_anywhere_inside_is_not_gone_on_with(copy: Path, tmp_path: Path) -> None:
    paths = [path.relative_to(copy) for path in sorted(copy.rglob("*"))]
    assert len(paths) > 50
    for path in paths:
        link(copy / path, tmp_path / "elsewhere")
        with pytest.raises(FolderError, match=LINK):
            locked_study(StudyFolder(copy), StudyRecord)
        (copy / path).unlink()
        (tmp_path / "elsewhere").rename(copy / path)
    locked_study(StudyFolder(copy), StudyRecord)


@pytest.mark.parametrize("name", ["study.json", "compare.json", "cost.json", "examples.jsonl", "report.md", "arms"])
def test_a_report_reads_and_writes_no_link(name: str, copy: Path, tmp_path: Path) -> None:
    link(copy / name, tmp_path / "elsewhere")
    with pytest.raises(FolderError, match=LINK):
        report(copy)


def test_a_log_that_is_a_link_is_left_alone(copy: Path, tmp_path: Path) -> None:
    link(copy / "log.jsonl", tmp_path / "foreign")
    before = (tmp_path / "foreign").read_bytes()
    with pytest.raises(FolderError, match=LINK):
        StudyFolder(copy).log("done")
    assert (tmp_path / "foreign").read_bytes() == before


def test_the_study_s_own_folder_may_be_a_link(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(copy)
    assert report(tmp_path / "link")
    with locked_study(StudyFolder(tmp_path / "link"), StudyRecord):
        StudyFolder(tmp_path / "link").log("done")


@pytest.mark.parametrize("weights", ["../../zero-shot", "/etc", "", ".", "adapter/../../full/weights", "tune"])
def test_weights_lie_in_a_folder_that_luthier_makes(weights: str, copy: Path) -> None:
    note = copy / "arms" / "lora-r4" / "luthier.json"
    write_json(note, read_json(note) | {"weights": weights})
    with pytest.raises(
        FolderError, match=r"luthier\.json: the key 'weights' is '.*' or 'quantized'; make the arm again"
    ):
        load_arm(note.parent)
