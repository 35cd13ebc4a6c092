"""The commands of the pages on serving and shipping run, in order, on a tiny model under the real one's name."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from luthier.serving import server
from tests.commands import ROOT, blocks, commands_of, type_in
from tests.test_docs import write_visits


@pytest.mark.slow
def test_the_commands_of_shipping_run(newcomer: Path) -> None:
    commands = commands_of(ROOT / "docs" / "shipping.md")
    assert [verb for verb, *_ in commands] == ["study", "ship", "verify", "verify", "ask"]
    for command in commands:
        type_in(command)
    assert (newcomer / "notes-1.0" / "README.md").exists()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports of servers that were opened; each ends as soon as it is open."""
    ports: list[int] = []
    original = server._Server.startup

    async def startup(self: Any, sockets: Any = None) -> None:
        await original(self, sockets)
        ports.append(sockets[0].getsockname()[1])
        self.should_exit = True

    monkeypatch.setattr(server._Server, "startup", startup)
    return ports


@pytest.mark.slow
def test_the_commands_of_serving_run(newcomer: Path, opened: list[int]) -> None:
    commands = commands_of(ROOT / "docs" / "serving.md")
    assert [verb for verb, *_ in commands] == ["study", "serve"]
    for verb, *arguments in commands:
        few = ["--dev", "6", "--test", "8"] if verb == "study" else []
        type_in([verb, *(["0" if word == "8000" else word for word in arguments]), *few])
    assert len(opened) == 1 and opened[0] > 0


@pytest.mark.slow
def test_the_commands_of_a_sagemaker_job_run(
    newcomer: Path, opened: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_visits(newcomer / "visits.csv")
    page = ROOT / "docs" / "sagemaker.md"
    made, _, settings, *_ = blocks(page, "sh")[0].splitlines()
    for line in (made, settings):
        subprocess.run(["bash", "-c", line], cwd=newcomer, check=True)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", "job")
    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "0")
    commands = commands_of(page)
    assert [verb for verb, *_ in commands] == ["init", "sagemaker-train", "sagemaker-serve", "sagemaker-job"]
    for command in commands:
        type_in(command)
    assert (newcomer / "job" / "model" / "arm" / "luthier.json").exists() and len(opened) == 1
    assert (newcomer / "start" / "request.json").exists()
