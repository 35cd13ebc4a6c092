"""Where the names of a specification lead, from wherever the command is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.studies.spec import in_reach, specification
from luthier.studies.study import study


def model_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_relative_folder_stays_relative_where_the_study_finds_it_again(tmp_path: Path, monkeypatch) -> None:
    here = tmp_path / "here"
    model_folder(here / "models" / "m")
    monkeypatch.chdir(here)
    assert in_reach("models/m", Path("studies/x")) == "models/m"
    assert in_reach("models/m", tmp_path / "elsewhere") == str(here / "models" / "m")
    assert in_reach("owner/name", tmp_path / "elsewhere") == "owner/name"


def test_a_model_beside_study_toml_is_that_model(tmp_path: Path, monkeypatch) -> None:
    model_folder(tmp_path / "plan" / "m")
    (tmp_path / "plan" / "study.toml").write_text('task = "dialogues"\nmodel = "m"\n')
    monkeypatch.chdir(tmp_path)
    assert specification(None, None, "plan/study.toml", {}).model == "plan/m"
    monkeypatch.chdir(tmp_path / "plan")
    assert specification(None, None, "study.toml", {}).model == "m"


@pytest.mark.parametrize("out", ["studies/x", "../out/x"])
def test_a_study_of_a_relative_folder_is_asked_from_elsewhere(out: str, tiny_folder, tmp_path, monkeypatch) -> None:
    from luthier.arms.ask import ask
    from luthier.task.create import init_task

    here = tmp_path / "here"
    here.mkdir()
    (here / "base").symlink_to(tiny_folder("decoder-chat"), target_is_directory=True)
    rows = "".join(f"Ann asks for towel {i},Towel {i}\n" for i in range(12))
    (here / "rows.csv").write_text(f"a,b\n{rows}")
    monkeypatch.chdir(here)
    init_task("task", "rows.csv", input="a", target="b")
    place = study("task", model="base", arms=["zero-shot"], test=2, dev=1, out=out, precision="fp32").resolve()
    said = "".join(ask(place, "Where is it?", arm="zero-shot"))
    monkeypatch.chdir(tmp_path)
    assert "".join(ask(place, "Where is it?", arm="zero-shot")) == said
