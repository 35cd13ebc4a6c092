"""Whatever an arm or a task is called: it is refused in a sentence, or its folder is one of its own, in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luthier.errors import FolderError, SettingsError
from luthier.results.folder import StudyFolder
from luthier.results.names import arm_folder, arm_names, member_folder, run_folder, study_folder

STUDY = Path("studies/mine")
GOOD = (
    "lora", "lora+model=bert", "select-last-2+learning_rate=1e-4", "zero-shot:question", "lora@int4", "multi-lora",
    "zero-shot+temperature=0.7+top_k=20", "meine Größe", "soft-4+start=text+text=Say it.",
)  # fmt: skip
BAD = {
    "": "is empty", ".": "begins with a dot", "..": "begins with a dot", "../x": "holds a / or",
    "/etc": "holds a / or", "a/b": "holds a / or", "lora/../../x": "holds a / or", "a\\b": "holds a / or",
    "lora\n": "holds a control character", "a\0b": "holds a control character", "a\x1b[m": "holds a control character",
    "a\ud800": "holds a control character", "a\u202eb": "holds a control character", ".lock": "begins with a dot",
    " lora": "begins or ends with a blank", "a" * 201: "has 201 bytes", "ä" * 101: "has 202 bytes",
}  # fmt: skip
TEXTS = st.text(max_size=12) | st.text("aAıIİßsS./\\\u0301é-1", max_size=5) | st.text(st.characters(), max_size=220)


@pytest.mark.parametrize("name", GOOD)
def test_names_of_arms_are_their_folders(name: str) -> None:
    arm_names([name, "copy-3"])
    assert arm_folder(STUDY, name) == STUDY / "arms" / name
    assert StudyFolder(STUDY).arm(f"{name}/seed-2") == STUDY / "arms" / name / "seed-2"


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_no_folder_s_are_refused(name: str) -> None:
    for named in (lambda: arm_folder(STUDY, name), lambda: arm_names([name]), lambda: study_folder(name, "m", "01")):
        with pytest.raises(SettingsError, match=f"(arm|task) '.*: its name ({BAD[name]}).*a name has 1 to 200 bytes"):
            named()


@pytest.mark.parametrize("name", ["seed-1", "Seed-01", "lora/seed-1", "lora/seed-0", "lora/seed-x", "lora/", "/seed-1"])
def test_a_name_of_a_further_seed_is_no_arm_s(name: str) -> None:
    with pytest.raises(SettingsError):
        arm_names([name])
    if name != "lora/seed-1":
        with pytest.raises(SettingsError):
            run_folder(STUDY, name)


@pytest.mark.parametrize("names", [("lora", "Lora"), ("straße", "STRASSE"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_differ_in_case_alone_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(SettingsError, match="would share its folder where letters have no case"):
        arm_names(names)


@given(st.lists(TEXTS, max_size=6))
@example(["lora", "lora"])
def test_a_name_is_refused_or_names_a_folder_of_its_own(names: list[str]) -> None:
    """The folder lies directly inside arms/, and no other accepted name's is the same without case."""
    accepted: list[str] = []
    for name in dict.fromkeys(names):
        try:
            arm_names([*accepted, name])
        except SettingsError as error:
            assert "\n" not in str(error) and str(error).isprintable()
        else:
            accepted.append(name)
    folders = [arm_folder(STUDY, name) for name in accepted]
    assert all(folder.parent == STUDY / "arms" and folder.name not in ("", ".", "..") for folder in folders)
    assert len({str(folder).casefold() for folder in folders}) == len(accepted)
    assert all(len(folder.name.encode()) <= 200 for folder in folders)


@given(TEXTS)
def test_a_task_s_study_lies_directly_inside_studies(task: str) -> None:
    try:
        folder = study_folder(task, "models/llama", "0123abcd")
    except SettingsError:
        return
    assert folder.parent == Path("studies") and folder.name == f"{task}-llama-0123abcd"


@given(TEXTS)
def test_a_task_among_several_has_a_plain_folder(task: str) -> None:
    try:
        name = member_folder(task)
    except SettingsError:
        assert len(task.encode("utf-8", "replace")) > 100
        return
    assert Path(name).name == name and name[0] != "." and "/" not in name


def test_a_link_in_the_place_of_an_arm_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study" / "arms" / "full").mkdir(parents=True)
    (tmp_path / "study" / "arms" / "lora").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "study" / "arms" / "full" / "seed-1").symlink_to(tmp_path / "elsewhere")
    for name in ("lora", "lora/seed-1", "full/seed-1"):
        with pytest.raises(FolderError, match="is a symbolic link, and links inside a study are not followed"):
            run_folder(tmp_path / "study", name)
    (tmp_path / "link").symlink_to(tmp_path / "study")  # a study's own folder may lie elsewhere
    assert run_folder(tmp_path / "link", "full") == tmp_path / "link" / "arms" / "full"
