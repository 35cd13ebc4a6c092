"""An endpoint: which folder it serves, on which port; and a whole one in a process of its own, until SIGTERM."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from luthier.errors import FolderError, SettingsError
from luthier.launch.endpoint import model_to_serve, port_of


def test_an_arm_that_a_job_handed_over_or_that_lies_there(tmp_path: Path) -> None:
    environment, model = {"SAGEMAKER_BASE_DIR": str(tmp_path)}, tmp_path.resolve() / "model"
    (model / "arm").mkdir(parents=True)
    with pytest.raises(FolderError, match=r"holds no arm; give the endpoint the model\.tar\.gz"):
        model_to_serve(environment)
    for there, place in (("config.json", model), ("luthier.json", model), ("arm/luthier.json", model / "arm")):
        (model / there).touch()
        assert model_to_serve(environment) == place


def test_the_port() -> None:
    assert port_of({}) == 8080
    assert port_of({"SAGEMAKER_BIND_TO_PORT": "9000"}) == 9000
    for text in ("x", "-1", "65536", "٣"):
        with pytest.raises(SettingsError, match="SAGEMAKER_BIND_TO_PORT"):
            port_of({"SAGEMAKER_BIND_TO_PORT": text})


@pytest.mark.slow
def test_a_whole_endpoint(ground: Path, tmp_path: Path) -> None:
    shutil.copytree(ground / "handed-on", tmp_path / "model" / "arm")
    shutil.copytree(ground / "model", tmp_path / "model" / "model")  # its base, found from the arm upwards
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_BIND_TO_PORT": "0"}
    command = [sys.executable, "-u", "-m", "luthier", "sagemaker-serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        opened = process.stdout.readline()
        assert opened.startswith("Serving arm, arm/raw at http://0.0.0.0:")
        url = f"http://127.0.0.1:{opened.split(':')[-1].split('/')[0]}"
        host = {"host": "model.aws.local:8080"}  # nobody promises a name
        assert httpx.get(f"{url}/ping", headers=host, timeout=60).status_code == 200
        body = json.dumps({"input": "Ann: Lunch? Ben: Fine."})
        reply = httpx.post(
            f"{url}/invocations", content=body, headers={**host, "content-type": "application/json"}, timeout=60
        )
        assert reply.status_code == 200 and reply.json()["luthier"] == {
            "arm": "arm", "measured": True, "ignored": [], "tokens_cut": 0,
            "prompt_sha256": reply.json()["luthier"]["prompt_sha256"],
        }  # fmt: skip
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
