"""Verbs about arms that leave the study: serve them, ship them as a folder with evidence, check one, push it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

import luthier
from luthier.cli import screen


def serve(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Studies, arms' folders, or models.")],
    arm: Annotated[
        list[str] | None, typer.Option(help="An arm of the study, else its shipped one; repeatable.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; others than this machine need a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    key_file: Annotated[Path | None, typer.Option(help="A file with the key that clients must send.")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A further name to be asked under; repeatable.")] = None,
    max_streams: Annotated[int, typer.Option(min=1, max=64, help="Answers that are written at once.")] = 48,
    queue: Annotated[int, typer.Option(min=0, max=100_000, help="Requests that may wait; more get a 429.")] = 256,
    verify: Annotated[bool, typer.Option("--verify", help="Ask each arm's probes first.")] = False,
) -> None:
    """Serve arms as they were measured, behind an OpenAI-compatible address. NAME answers one input with the arm's own
    template, shots and settings; NAME/raw takes messages as they come.

    \b
    Example:
      luthier serve studies/mine --port 8000
    """
    needed = [name for name in ("fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if needed:
        raise luthier.SettingsError(
            f"{needed[0]} is not installed, which the server needs: pip install 'luthier[serve]'"
        )
    luthier.serve(
        sources, host=host, port=port, arms=arm or (), key_file=key_file, allowed_hosts=allow_host or (),
        streams=max_streams, queue=queue, verify=verify, say=lambda text: screen.print_lines(text.splitlines()),
    )  # fmt: skip
