"""Where models come from: folders, short names, the hub's cache; what is no model is refused in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from luthier import defaults
from luthier.errors import ModelError
from luthier.files import sha256_of
from luthier.model.sources import SHORT_NAMES, Packaged, resolve, weights_sha256
from luthier.studies.multitask import MultitaskSpec
from luthier.studies.spec import StudySpec

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name, says", [
    ("smollm3", r"'smollm3' is no model here.*smollm2-135m"),
    ("./nowhere/model", "is no model here; give a folder"),
    ("nobody/nothing", r"not in the hub's local cache and cannot be downloaded .*HF_HOME"),
])  # fmt: skip
def test_unknown_names_say_what_to_do(name: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        resolve(name)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json in this folder"):
        resolve(str(tmp_path))


def test_a_short_name_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Packaged("no_such_package", "a.gguf", "pip install no-such-package", "")
    monkeypatch.setitem(SHORT_NAMES, "missing", missing)
    with pytest.raises(ModelError, match="is not installed; run: pip install no-such-package"):
        resolve("missing")
    monkeypatch.setitem(SHORT_NAMES, "missing", Packaged("rich", "a.gguf", "pip install it", ""))
    with pytest.raises(ModelError, match=r"a\.gguf is missing; run: pip install it --force-reinstall"):
        resolve("missing")


def test_the_default_model_is_one_of_those_with_a_short_name() -> None:
    assert defaults.MODEL in SHORT_NAMES
    for spec in (StudySpec, MultitaskSpec):
        assert spec.model_fields["model"].default == defaults.MODEL


def test_sources_are_known_without_torch() -> None:
    code = (
        "import sys, luthier.model.sources as s; s.resolve; print({'torch', 'transformers', 'peft'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_a_hash_that_a_file_states_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert weights_sha256(tmp_path) == sha256_of(tmp_path / "model.safetensors")
    (tmp_path / "luthier-source.json").write_text('{"weights_sha256": "abc"}')
    assert weights_sha256(tmp_path) == sha256_of(tmp_path / "model.safetensors")


# --- the packaged model -------------------------------------------------------------------------------------------

CONVERT = (
    'import torch; torch.set_num_threads(1); from luthier.model.sources import resolve; print(resolve("smollm2-135m"))'
)


@pytest.mark.slow
def test_two_processes_convert_the_packaged_model_once(smollm2: str, tmp_path: Path) -> None:
    leftover = tmp_path / "models" / f".{smollm2}.killed.part"
    leftover.mkdir(parents=True)
    (leftover / "half.safetensors").write_bytes(b"half")
    environment = {**os.environ, "LUTHIER_CACHE": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CONVERT], env=environment, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    folder = tmp_path / "models" / smollm2
    for process in (start(), start()):
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert out.strip() == str(folder)
    assert {path.name for path in folder.parent.iterdir()} == {smollm2, ".lock"}
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    note = json.loads((folder / "luthier-source.json").read_text())
    assert note["weights_sha256"] == sha256_of(folder / "model.safetensors")
    start().communicate(timeout=300)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == made
