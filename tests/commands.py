"""The command line as tests type it: what it said, how it ended, and the rows it is given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from luthier import cli

CSV = "dialogue,summary,other\n" + "".join(f"Ann: Number {i}?,Ann asks for {i}.,Ann asks.\n" for i in range(1, 31))


@dataclass
class Said:
    code: int
    out: str
    err: str


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command line in this process."""

    def run(*arguments: Any) -> Said:
        monkeypatch.setattr(sys, "argv", ["luthier", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
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
