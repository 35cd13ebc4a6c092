"""Verbs about arms that leave the study: serve them, ship them as a folder with evidence, check one, push it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import luthier
from luthier.cli import screen
from luthier.cli.options import Json, refuse_without_server


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
    max_per_client: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Answers of one client, written or waiting; more get a 429.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="First ask each arm's probes and test.")] = False,
) -> None:
    """Serve arms as they were measured, behind an OpenAI-compatible address. NAME answers one input with the arm's own
    template, shots and settings; NAME/raw takes messages as they come.

    \b
    Example:
      luthier serve studies/mine --port 8000
    """
    refuse_without_server()
    luthier.serve(
        sources, host=host, port=port, arms=arm or (), key_file=key_file, allowed_hosts=allow_host or (),
        streams=max_streams, queue=queue, per_client=max_per_client, verify=verify,
        say=lambda text: screen.print_lines(text.splitlines()),
    )  # fmt: skip


def ship(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A finished study.")],
    out: Annotated[Path, typer.Option(help="The new folder.")],
    arm: Annotated[str | None, typer.Option(help="An arm of the study; else the one that it ships.")] = None,
    gguf: Annotated[str | None, typer.Option(help="Also GGUF files for llama.cpp: f16, q8_0, or both.")] = None,
    modelfile: Annotated[bool, typer.Option("--modelfile", help="Also what Ollama needs.")] = False,
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Put test examples and answers into the folder.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Also where an arm is not kept, or an export not as good.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ship an arm as a folder that you hand on, with evidence, a model card and hashes. Every exported form answers the
    whole test again and gets its verdict before the folder is called good.

    \b
    Example:
      luthier ship studies/mine --out mine-1.0 --gguf f16,q8_0
    """
    kinds = [kind.strip() for kind in gguf.split(",") if kind.strip()] if gguf else []
    evidence = luthier.ship(
        study, out, arm=arm, gguf=kinds, with_modelfile=modelfile, with_examples=examples, force=force
    )
    if as_json:
        return screen.print_json(evidence.as_json())
    lines = [f"{out}: {evidence.arm}, {len(evidence.files)} files with their hashes.", evidence.decision]
    for one in evidence.exports:
        same = f"{one.same_answers} of {one.answers} answers are the same"
        lines.append(f"{one.file}: {one.bytes / 1e6:,.1f} MB; {one.verdict} to what was measured; {same}.")
    screen.print_lines(lines)


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `luthier ship` made.")],
    test: Annotated[bool, typer.Option("--test", help="Also ask the whole test again and judge it again.")] = False,
    as_json: Json = False,
) -> None:
    """Check a shipped folder, without a network: every file against its hash, and the arm against its probes. What was
    changed, removed or added is named.

    \b
    Example:
      luthier verify mine-1.0 --test
    """
    checked = luthier.verify(folder, test=test)
    if as_json:
        return screen.print_json(checked)
    lines = [f"{folder}: {checked['files']} files are as they were shipped (SHA256SUMS: {checked['sums_sha256']})."]
    lines.append(f"All {checked['probes']} probes are answered as measured.")
    if test:
        same = checked["answers"] - len(checked["differ"])
        lines.append(f"{same} of {checked['answers']} test answers are the same, and all verdicts are.")
    screen.print_lines([*lines, checked["decision"]])


def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `luthier ship` made.")],
    name: Annotated[str, typer.Argument(help="The model's name on the hub, such as you/notes.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody read it; by default it is private.")] = False,
    examples: Annotated[
        bool, typer.Option("--examples", help="Also where it holds test examples and answers.")
    ] = False,
) -> None:
    """Push a shipped folder to the Hugging Face hub, after it was verified. It is private unless you say otherwise.

    \b
    Example:
      luthier push mine-1.0 you/notes
    """
    screen.print_lines([f"Pushed: {luthier.push(folder, name, public=public, examples=examples)}"])
