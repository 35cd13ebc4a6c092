"""The commands of the pages on serving and shipping run, in order, on a tiny model under the real one's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luthier.serving import server
from tests.commands import ROOT, commands_of, type_in


@pytest.mark.slow
def test_the_commands_of_shipping_run(newcomer: Path) -> None:
    commands = commands_of(ROOT / "docs" / "shipping.md")
    assert [verb for verb, *_ in commands] == ["study", "ship", "verify", "verify", "ask"]
    for command in commands:
        type_in(command)
    assert (newcomer / "notes-1.0" / "README.md").exists()


@pytest.mark.slow
def test_the_commands_of_serving_run(newcomer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server opens its address, and ends as soon as it is open."""
    opened = []
    original = server._Server.startup

    async def startup(self: Any, sockets: Any = None) -> None:
        await original(self, sockets)
        opened.append(sockets[0].getsockname()[1])
        self.should_exit = True

    monkeypatch.setattr(server._Server, "startup", startup)
    commands = commands_of(ROOT / "docs" / "serving.md")
    assert [verb for verb, *_ in commands] == ["study", "serve"]
    for verb, *arguments in commands:
        few = ["--dev", "6", "--test", "8"] if verb == "study" else []
        type_in([verb, *(["0" if word == "8000" else word for word in arguments]), *few])
    assert len(opened) == 1 and opened[0] > 0
