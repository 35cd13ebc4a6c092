"""Settings through every way that SageMaker has of handing them over, and its own toolkits where they are here."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import FolderError, LuthierError, SettingsError
from luthier.launch.contract import SHOWN_CHARACTERS, Job, carried, decoded, forget_failure, write_failure
from tests.launch.jobs import write

VALUES = [
    "it's", "a-b", "--x", "naïve 日本 🎻", 'say "so"', '"half', "back\\slash", "$HOME `id` $(id)", "a b  c",
    "two\nlines", "'", "{'a': 1}", "zero-shot,lora-r4+epochs=1", "true", "12", "é'é\\u0027",
]  # fmt: skip
NAMES = ["model", "require-kept", "split_column"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "input" / "config").mkdir(parents=True)
    (tmp_path / "output").mkdir()
    return tmp_path


def texts_of(base: Path, words: tuple[str, ...] = (), **environment: str) -> dict[str, object]:
    """Settings as a field of texts would take them."""
    job = Job.read({"SAGEMAKER_BASE_DIR": str(base), **environment}, words)
    found = {}
    for name, value in job.settings.items():
        plain = decoded(value)
        found[name] = plain if isinstance(plain, str) else value if isinstance(value, str) else str(value)
    return found


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", NAMES)
def test_whoever_writes_a_setting_it_is_read_as_it_was_meant(name: str, value: str, base: Path) -> None:
    expected = {name.replace("-", "_"): value}
    written = {"by hand": value, "by the SDK's second version": json.dumps(value), "by us": carried(value)}
    for whom, text in written.items():
        write(base, "hyperparameters", {name: text, "sagemaker_program": "it's", "_tuning_objective_metric": "x"})
        assert texts_of(base) == expected, whom


@pytest.mark.parametrize("value", VALUES)
def test_a_copy_of_a_setting_is_the_same_setting(value: str, base: Path) -> None:
    """As the toolkit and the third version's driver copy them from hyperparameters.json."""
    write(base, "hyperparameters", {"model": carried(value)})
    once = json.loads(carried(value)) if carried(value) != value else value
    for copy in (value, once):
        assert texts_of(base, ("--model", copy), SM_HPS=json.dumps({"model": copy})) == {"model": value}
    (base / "input" / "config" / "hyperparameters.json").unlink()
    assert texts_of(base, (), SM_HPS=json.dumps({"model": value})) == {"model": value}
    assert texts_of(base, (f"--model={value}",)) == {"model": value}


COPIES = [({"epochs": 1}, "epochs=1"), ([1, 2], "[1, 2]"), (True, "True"), (True, "true"), (None, ""), (1.5, "1.5")]


@pytest.mark.parametrize(("value", "typed"), COPIES)
def test_what_toolkits_type_for_numbers_and_tables_is_known_again(value: object, typed: str, base: Path) -> None:
    write(base, "hyperparameters", {"defaults": json.dumps(value)})
    job = Job.read({"SAGEMAKER_BASE_DIR": str(base)}, ("--defaults", typed))
    assert decoded(job.settings["defaults"]) == value


@given(st.text(st.characters(blacklist_categories=("Cs",))))
def test_a_carried_text_has_no_apostrophe_and_comes_back(text: str) -> None:
    assert "'" not in carried(text)
    layers = json.loads(carried(text)) if carried(text) != text else text
    assert "'" not in layers or layers == text
    if carried(text) != text:
        assert decoded(carried(text)) == decoded(layers) == decoded(json.dumps(text))


def test_quotes_around_a_whole_value_are_taken_off() -> None:
    """Nobody can tell them from those of JSON, so `luthier sagemaker-job` refuses such a value."""
    assert decoded('"so"') == decoded(carried('"so"')) == "so"


REFUSED = [
    ({"a": "1"}, ("--a", "2"), "a: the command line says '2', and hyperparameters.json says '1'; give it once"),
    ({"a-b": "1", "a_b": "1"}, (), "'a_b' stands there twice, once with hyphens"),
    ({}, ("a",), "'a' is no setting; write --name value"),
    ({}, ("--a",), "--a has no value; write --name value"),
    ({}, ("--", "x"), "'--' is no setting"),
    ([], (), "is no JSON object; give names and values"),
]


@pytest.mark.parametrize(("table", "words", "says"), REFUSED, ids=[says for *_, says in REFUSED])
def test_settings_that_contradict_each_other_are_refused(table, words, says: str, base: Path) -> None:
    write(base, "hyperparameters", table)
    with pytest.raises(SettingsError) as refused:
        Job.read({"SAGEMAKER_BASE_DIR": str(base)}, words)
    assert says in str(refused.value)


def test_a_file_or_a_variable_that_is_no_json_is_named(base: Path) -> None:
    for text in ("{", "\ufeff{}", "nan"):
        (base / "input" / "config" / "resourceconfig.json").write_text(text)
        with pytest.raises(LuthierError, match=r"resourceconfig\.json"):
            Job.read({"SAGEMAKER_BASE_DIR": str(base)})
    write(base, "resourceconfig", {"hosts": "algo-1", "current_host": 3})
    with pytest.raises(FolderError, match="its hosts are no names"):
        Job.read({"SAGEMAKER_BASE_DIR": str(base)})
    write(base, "resourceconfig", {})
    with pytest.raises(SettingsError, match="SM_HPS: is no JSON"):
        Job.read({"SAGEMAKER_BASE_DIR": str(base), "SM_HPS": "it's"})


def test_without_a_folder_it_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="so this is no job of SageMaker"):
        Job.read({"SAGEMAKER_BASE_DIR": str(tmp_path / "none")})


def test_the_first_machine_by_name_works(base: Path) -> None:
    for host, works in (("algo-2", True), ("algo-3", False)):
        write(base, "resourceconfig", {"current_host": host, "hosts": ["algo-3", "algo-2"]})
        assert Job.read({"SAGEMAKER_BASE_DIR": str(base)}).works_here is works


def test_a_failure_is_what_is_shown_of_it(base: Path) -> None:
    write_failure(base, "é" * 2000 + "\ud800")
    assert (base / "output" / "failure").read_text(encoding="utf-8") == "é" * SHOWN_CHARACTERS
    forget_failure(base)
    forget_failure(base)
    assert not (base / "output" / "failure").exists()


# ------------------------------------------------------------------------------------------- SageMaker's own programs

# `pip install sagemaker-training` somewhere, and the path of its `train`; the folder `sagemaker/train` of the wheel of
# `sagemaker-train`. Neither is needed to use luthier.
TOOLKIT, SDK = os.environ.get("SAGEMAKER_TOOLKIT", ""), os.environ.get("SAGEMAKER_SDK", "")
SCRIPT = '#!/bin/sh\nexec "$PYTHON" -m tests.launch.echo "$@"\n'
SURVIVES = {"model": "it's", "split_column": "naïve 日本 🎻", "require-kept": "a-b", "instruction": 'a "b" $HOME'}


def job_of_a_toolkit(base: Path, settings: dict[str, str], channels: dict[str, object]) -> None:
    write(base, "hyperparameters", settings)
    write(base, "inputdataconfig", channels)
    hosts = {"current_host": "algo-2", "hosts": ["algo-2"], "current_instance_type": "ml.m5.large"}
    write(base, "resourceconfig", hosts | {"network_interface_name": "eth0"})
    (base / "code").mkdir()
    (base / "code" / "train.sh").write_text(SCRIPT)
    (base / "output" / "data").mkdir()
    for channel in channels:
        (base / "input" / "data" / channel).mkdir(parents=True)


@pytest.mark.skipif(not TOOLKIT, reason="SAGEMAKER_TOOLKIT names no `train` of sagemaker-training")
@pytest.mark.parametrize("fails", [False, True])
def test_through_the_toolkit(fails: bool, base: Path) -> None:
    settings = {"sagemaker_program": "train.sh", "sagemaker_submit_directory": str(base / "code"), **SURVIVES}
    job_of_a_toolkit(base, settings | ({"fails": "it's"} if fails else {}), {"my-data": {}})
    environment = {
        **os.environ,
        "SAGEMAKER_BASE_DIR": str(base),
        "SM_STUDIO_LOCAL_MODE": "true",
        "PYTHON": sys.executable,
    }
    done = subprocess.run([TOOLKIT], env=environment, capture_output=True, text=True, check=False)
    said = (base / "output" / "failure").read_text() if fails else None
    assert (done.returncode, said) == ((1, "the sentence") if fails else (0, None)), done.stdout[-2000:]
    seen = json.loads((base / "seen.json").read_text())
    assert {name: seen["settings"][name] for name in ("model", "split_column", "require_kept", "instruction")} == {
        name.replace("-", "_"): value for name, value in SURVIVES.items()
    }
    assert seen["channels"] == ["my-data"]


@pytest.mark.skipif(not SDK or os.geteuid() != 0, reason="SAGEMAKER_SDK names no sagemaker/train, or this is not root")
@pytest.mark.parametrize("how", ["as typed", "carried"])
def test_through_the_driver_of_the_third_version(how: str, base: Path) -> None:
    """Its script is run in a private /opt/ml. What is typed with an apostrophe ends the job before luthier begins."""
    settings = SURVIVES if how == "as typed" else {name: carried(value) for name, value in SURVIVES.items()}
    job_of_a_toolkit(base, settings, {"task": {}})
    drivers = base / "input" / "data" / "sm_drivers"
    shutil.copytree(Path(SDK) / "container_drivers", drivers)
    names: dict[str, str] = {}
    exec((Path(SDK) / "templates.py").read_text(), names)
    command = f"cd {shlex.quote(str(Path(__file__).parents[2]))}; {sys.executable} -m tests.launch.echo"
    driver = names["EXECUTE_BASE_COMMANDS"].format(base_command=command)
    script = names["TRAIN_SCRIPT_TEMPLATE"].format(working_dir="", install_requirements="", execute_driver=driver)
    (drivers / "sm_train.sh").write_text(script)
    private = f"mount --bind {shlex.quote(str(base))} /opt/ml && bash /opt/ml/input/data/sm_drivers/sm_train.sh"
    Path("/opt/ml").mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "SAGEMAKER_BASE_DIR"}
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", private], env=environment | {"TRAINING_JOB_NAME": "notes"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if how == "as typed":
        assert done.returncode == 2 and "unexpected EOF" in done.stderr
        assert not (base / "output" / "failure").exists() and not (base / "seen.json").exists()
        return
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads((base / "seen.json").read_text())
    assert seen["settings"] == {name.replace("-", "_"): value for name, value in SURVIVES.items()}
