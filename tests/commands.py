"""The command line as tests type it: what it said, how it ended, the rows it is given, and what the documents type."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from luthier.cli import app

BOTH_PRECISIONS = ("fp32", "bf16")
ROOT = Path(__file__).parent.parent

CSV = "dialogue,summary,other\n" + "".join(f"Ann: Number {i}?,Ann asks for {i}.,Ann asks.\n" for i in range(1, 31))


@dataclass
class Said:
    code: int
    out: str
    err: str


@contextlib.contextmanager
def in_precision(name: str) -> Iterator[None]:
    """Inside, 'auto' is this precision, on whatever processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_PRECISION", name)
        yield


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command line in this process."""

    def run(*arguments: Any) -> Said:
        monkeypatch.setattr(sys, "argv", ["luthier", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main()
        said = capsys.readouterr()
        return Said(int(end.value.code or 0), said.out, said.err)

    return run


def process(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    command = [sys.executable, "-m", "luthier", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)


def one_sentence(err: str) -> None:
    assert err.startswith("luthier: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands_of(page: Path) -> list[list[str]]:
    """Verb and arguments of every luthier command in the page, in order."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("luthier ")]


def type_in(command: list[str], keys: str = "") -> None:
    """Runs a command that must succeed, with what is typed while it runs."""
    result = CliRunner().invoke(app.app, command, input=keys)
    assert result.exit_code == 0, f"luthier {command}: {result.output}"
