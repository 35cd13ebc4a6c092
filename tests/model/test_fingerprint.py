"""The files that decide what a model answers are found, hashed, and missed when they are others."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError, ModelError
from luthier.files import sha256_of
from luthier.model.fingerprint import PICKLES, files_of_arm, files_of_base, refuse_other_files

READ = (
    "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "merges.txt", "spiece.model",
    "chat_template.jinja", "additional_chat_templates/rag.jinja", "1_Pooling/config.json",
)  # fmt: skip
UNREAD = ("README.md", "pytorch_model.bin", "modeling.py", "luthier-source.json", "LICENSE.txt", "onnx/config.json")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in (*READ, *UNREAD):
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_text(name)
    return tmp_path / "model"


def test_what_transformers_reads_decides_and_nothing_else(model: Path) -> None:
    assert files_of_base(model) == {name: sha256_of(model / name) for name in sorted(READ)}


def test_everything_in_an_arm_s_folder_decides(model: Path) -> None:
    with pytest.raises(ModelError, match=r"pytorch_model\.bin: is a pickle, which can run code"):
        files_of_arm(model)
    (model / "pytorch_model.bin").unlink()
    assert set(files_of_arm(model)) == {*READ, *UNREAD} - {"README.md", "pytorch_model.bin"}
    (model / "link").symlink_to(model / "config.json")
    with pytest.raises(FolderError, match="is a symbolic link"):
        files_of_arm(model)


@pytest.mark.parametrize("ending", PICKLES)
def test_a_pickle_is_refused_whatever_it_is_called(ending: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f"x{ending.upper()}").touch()
    with pytest.raises(ModelError, match="is a pickle"):
        files_of_arm(tmp_path)


@pytest.mark.parametrize(
    "here, sentence",
    [({"a": "1"}, "b: is not there"), ({"a": "1", "b": "3"}, "b: is not the file that was measured"),
     ({"a": "1", "b": "2", "c": "3"}, "c: was not there when this was measured")],
)  # fmt: skip
def test_the_first_file_that_differs_is_named(here: dict[str, str], sentence: str) -> None:
    refuse_other_files(Path("model"), {"a": "1", "b": "2"}, {"b": "2", "a": "1"}, "make it again")
    with pytest.raises(ModelError, match=f"model/{sentence}.*; make it again"):
        refuse_other_files(Path("model"), {"a": "1", "b": "2"}, here, "make it again")
