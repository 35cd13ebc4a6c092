"""Verbs about a finished arm: ask it, let it answer a file, merge it into a plain model, benchmark it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import luthier
from luthier.cli import screen
from luthier.cli.options import Delimiter, Encoding, Json, Quote, RowId, written_as


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


def answer(
    source: Annotated[str, typer.Argument(help="A study, an arm's folder, or a model.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A csv, tsv, json, jsonl or parquet file.")],
    out: Annotated[
        Path, typer.Option(help="The file of the answers, .jsonl; rows that it answers are not asked again.")
    ],
    input: Annotated[
        str | None, typer.Option(help="The column that is asked; else those that the arm's template names.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="An arm of the study; else the one that it ships.")] = None,
    id: RowId = None,
    column: Annotated[str, typer.Option(help="The name of the answers' column.")] = "answer",
    verify: Annotated[
        bool, typer.Option("--verify", help="Ask the arm's probes first; go on only if they are answered as measured.")
    ] = False,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    as_json: Json = False,
) -> None:
    """Answer every row of a file as the arm was measured. Each line of the new file is a row with its answer. If it is
    stopped, the same command continues it.

    \b
    Example:
      luthier answer studies/mine visits.csv --input dialogue --out answers.jsonl
    """
    answered = luthier.answer(
        source, file, out=out, input=input, id=id, arm=arm, column=column, verify=verify,
        format=written_as(encoding, delimiter, quote),
    )  # fmt: skip
    if as_json:
        return screen.print_json(answered.as_json())
    rows = f"{answered.rows} row{'s' * (answered.rows != 1)}"
    kept = f", {answered.kept} of them by an earlier run" * bool(answered.kept)
    lines = [f"{out}: {answered.arm} answered {rows}{kept}."]
    if answered.at_limit:
        lines.append(f"{answered.at_limit} answers were stopped by the limit on new tokens.")
    if answered.cut:
        lines.append(f"{answered.cut} inputs did not fit into the context window and were cut.")
    if answered.shots_dropped:
        lines.append(f"Shots were left out of {answered.shots_dropped} prompts, which were too long with them.")
    screen.print_lines(lines)


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


def bench(
    sources: Annotated[
        list[str], typer.Argument(metavar="ARM", help="An arm's folder, a study or a model; or several.")
    ],
    tasks: Annotated[str, typer.Option(help="Tasks of lm-eval, joined by commas; luthier_pairs and others are ours.")],
    include: Annotated[Path | None, typer.Option(help="A folder with tasks of yours (yaml files).")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; else one in benchmarks/.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Items a task at most.")] = None,
    few_shot: Annotated[
        int | None, typer.Option(min=0, help="Solved examples in front; else as the task says.")
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask through the model's chat template.")] = False,
    margin: Annotated[float, typer.Option(help="A difference that matters; for the verdict equivalent.")] = 0.02,
    as_json: Json = False,
) -> None:
    """Ask tasks of lm-eval, through luthier's own likelihood and generator. Several arms are compared item by item. It
    needs lm-eval 0.4.13 or newer. Without a network run tasks whose data are local json files.

    \b
    Example:
      luthier bench studies/mine/arms/lora smollm2-135m --tasks luthier_pairs
    """
    from luthier.cli.exits import command

    names = [task.strip() for task in tasks.split(",") if task.strip()]
    folder = luthier.bench(
        sources, tasks=names, include=include, out=out, limit=limit, few_shot=few_shot, chat=chat, margin=margin,
        command=command(),
    )  # fmt: skip
    from luthier.results.bench_record import Bench
    from luthier.suites.bench import MEANS, PAIRS, mean_rows, pair_rows

    record = Bench.read(folder)
    if as_json:
        return screen.print_json(record.as_json())
    screen.print_table(MEANS, mean_rows(record))
    if record.pairs:
        screen.print_table(PAIRS, pair_rows(record))
    screen.print_lines([*record.notes, f"Items: {folder / 'bench.jsonl'}; luthier's own tasks: {folder / 'tasks'}"])
    return None
