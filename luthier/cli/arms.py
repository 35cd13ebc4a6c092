"""Verbs about a finished arm: ask it, merge it into one plain model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import luthier
from luthier.cli import screen
from luthier.cli.options import Json


def ask(
    source: Annotated[str, typer.Argument(help="A study, an arm's folder, or a model.")],
    text: Annotated[str | None, typer.Argument(help="The input; else --file, else standard input.")] = None,
    arm: Annotated[str | None, typer.Option(help="An arm of the study; else the one that it ships.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file with the input.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample among the k most likely tokens; 0: all.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample among the tokens that hold this probability.")] = None,
    repetition_penalty: Annotated[float | None, typer.Option(help="Above 1, written tokens get less likely.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="The most tokens an answer may have.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of sampling.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Print each token's likeliest rivals, before and after filters.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Ask the arm's probes first; go on only if they are answered as measured.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse an input that would be cut, or for which shots would be left out.")
    ] = False,
) -> None:
    """Stream an answer of an arm or of a model. An arm answers with its own template, shots and settings, unless you
    give others.

    \b
    Example:
      luthier ask studies/mine "Ann: Lunch at one? Ben: Two, please. Ann: Fine."
    """
    generation = {
        "temperature": temperature, "top_k": top_k, "top_p": top_p, "repetition_penalty": repetition_penalty,
        "max_new_tokens": max_new_tokens,
    }  # fmt: skip
    given = {key: value for key, value in generation.items() if value is not None}
    about: dict[str, Any] = {"arm": arm, "generation": given, "seed": seed, "verify": verify, "strict": strict}
    if probabilities:
        return screen.print_steps(luthier.ask_probabilities(source, screen.input_text(text, file), **about))
    for piece in luthier.ask(source, screen.input_text(text, file), **about):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def merge(
    source: Annotated[Path, typer.Argument(metavar="STUDY", help="A study, or an arm's folder.")],
    out: Annotated[Path, typer.Option(help="The new folder of the model.")],
    arm: Annotated[str | None, typer.Option(help="An arm of the study; else the one that it ships.")] = None,
    width: Annotated[str | None, typer.Option(help="Make the weights narrow: bf16, fp16, int8, int4 or nf4.")] = None,
    differ: Annotated[int, typer.Option(min=0, help="How many probes may be answered in other words.")] = 0,
    as_json: Json = False,
) -> None:
    """Write an arm as one plain model that every tool loads. It merges the training into the base's weights, reads the
    model back, and keeps it only if it answers the arm's probes as it did in the study.

    \b
    Example:
      luthier merge studies/mine --arm lora --out lora-merged
    """
    merged = luthier.merge(source, out, arm=arm, width=width, differ=differ)
    if as_json:
        return screen.print_json(merged)
    same = merged["probes"] - len(merged["differ"])
    says = f"{out}: {merged['file_bytes'] / 1e6:,.1f} MB; {same} of {merged['probes']} probes are answered as measured."
    screen.print_lines([says])
