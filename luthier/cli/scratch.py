"""Verbs about models made from nothing: tokens, pretrain, trial, and scale with its own verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.cli import screen
from luthier.cli.options import Json

scale = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Scaling laws: fit points, and plan where compute is best spent.

\b
Example:
  luthier scale fit points.csv --out law
""",
)

Law = Annotated[Path | None, typer.Option(help="A folder made by `scale fit`; its law is planned with, too.")]


def fit(
    points: Annotated[Path, typer.Argument(metavar="POINTS", help="A csv, tsv or jsonl file, one training a row.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; else POINTS with -law behind its name.")
    ] = None,
    parameters: Annotated[str | None, typer.Option(help="The column with the parameters.")] = None,
    tokens: Annotated[str | None, typer.Option(help="The column with the training tokens.")] = None,
    loss: Annotated[str | None, typer.Option(help="The column with the loss, in nats a token.")] = None,
    run: Annotated[str | None, typer.Option(help="The column that names the run; runs are resampled whole.")] = None,
    unique: Annotated[str | None, typer.Option(help="The column with the unique tokens, of repeated data.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Leave this run out; repeat for several.")] = None,
    delta: Annotated[float, typer.Option(help="Huber's delta, in units of the log loss.")] = 1e-3,
    resamples: Annotated[int, typer.Option(help="How often the runs are resampled.")] = 200,
    seed: Annotated[int, typer.Option(help="The seed of starts and resamples.")] = 0,
    as_json: Json = False,
) -> None:
    """Fit L = E + A / N^alpha + B / D^beta to points of parameters, tokens and loss. Writes law.json and scale.html.

    \b
    Example:
      luthier scale fit points.csv --out law
    """
    from luthier.scratch import scale as work

    given = {"parameters": parameters, "tokens": tokens, "loss": loss, "run": run, "unique": unique}
    columns = {key: name for key, name in given.items() if name is not None}
    folder = out or points.with_name(f"{points.stem}-law")
    record = work.fit_points(
        points, folder, columns=columns, without=without or [], delta=delta, resamples=resamples, seed=seed
    )
    if as_json:
        return screen.print_json(record.as_json())
    screen.print_table(("", "value", "90 % interval"), work.law_rows(record))
    screen.print_lines([*work.law_words(record), work.isoflop_words(record.isoflop), str(folder / work.PAGE)])
    return None


def run(
    minutes: Annotated[float, typer.Option(help="How long it may take, about.")],
    out: Annotated[Path, typer.Option(help="The folder to write; a ladder that was stopped there goes on.")],
    corpus: Annotated[str, typer.Option(help="The text: docstrings, a folder, a .jsonl or a .txt.")] = "docstrings",
    trunk: Annotated[
        bool, typer.Option("--trunk", help="Trainings of one size share their first steps, which are made once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a ladder of small models, predict the largest before it is trained, and write points for `scale fit`.

    \b
    Example:
      luthier scale run --minutes 20 --out ladder
    """
    from luthier.cli.exits import command
    from luthier.scratch import ladder as work

    record = work.run_ladder(minutes, out, corpus=corpus, trunk=trunk, command=command())
    if as_json:
        return screen.print_json(record.as_json())
    screen.print_table(work.PREDICTION_HEADER, work.prediction_rows(record, out))
    screen.print_table(work.RULE_HEADER, work.rule_rows(record, out))
    screen.print_lines([str(out / "points.csv")])
    return None


def plan(
    flops: Annotated[float, typer.Option(help="The compute to spend, such as 1e21.")],
    law: Law = None,
    as_json: Json = False,
) -> None:
    """Say how many parameters and tokens are best for some compute, by the published laws and by a fitted one.

    \b
    Example:
      luthier scale plan --flops 1e21 --law law
    """
    from luthier.scratch import scale as work

    made = work.plan(flops, law)
    if as_json:
        return screen.print_json(made.as_json())
    screen.print_table(work.PLAN_HEADER, work.plan_rows(made))
    screen.print_lines(made.words)
    return None


def tokens(
    text: Annotated[str | None, typer.Argument(help="The text; else it is read from --file or standard input.")] = None,
    tokenizer: Annotated[
        list[str] | None, typer.Option(help="A model or a tokenizer.json; repeat for several; else the packaged model.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A file with the text.")] = None,
    neighbours: Annotated[
        bool,
        typer.Option("--neighbours", help="Show each token's nearest tokens: by embedding, and read in its place."),
    ] = False,
    attention: Annotated[
        Path | None, typer.Option(help="Write the attention of one layer of the first model as this SVG file.")
    ] = None,
    layer: Annotated[int, typer.Option(help="The layer that --attention draws, from 0.")] = 0,
    as_json: Json = False,
) -> None:
    """Show what tokenizers make of a text: pieces, ids, bytes a token, the price of numbers, code and other languages.

    \b
    Example:
      luthier tokens "The harbour was empty." --tokenizer smollm2-135m --tokenizer minilm
    """
    from luthier.defaults import MODEL
    from luthier.scratch.token_table import token_table

    names = tokenizer or [MODEL]
    words = screen.input_text(text, file)
    tables = [token_table(words, name) for name in names]
    near = {}
    for name in names if neighbours else names[:1] if attention is not None else ():
        from luthier.scratch import neighbours as work

        model = work.looked_into(name)
        if attention is not None and name == names[0]:
            from luthier.files import write_text
            from luthier.scratch.attention_map import attention_of

            write_text(attention, attention_of(words, model, layer))
        if neighbours:
            near[name] = work.neighbours(words, model)
    if as_json:
        rows = [vars(one) | {"own_bytes_a_token": one.own_bytes_a_token} for one in tables]
        for row in rows:
            row |= {"neighbours": [vars(one) for one in near[row["tokenizer"]]]} if near else {}
        return screen.print_json(rows)
    screen.print_token_tables(tables)
    for name, found in near.items():
        screen.print_neighbours(name, found)
    return None


def pretrain(
    *,
    out: Annotated[Path, typer.Option(help="The folder to write; a training that was stopped there goes on.")],
    as_json: Json = False,
    **given: Any,
) -> None:
    """Train a small model from nothing and say how many bits a byte it needs for held-out text, beside xz and bzip2.

    \b
    Example:
      luthier pretrain --tokens 2000000 --width 128 --out small
    """
    from luthier.cli.exits import command
    from luthier.scratch import pretrain as work
    from luthier.scratch.pretrain_page import BITS_HEADER, PAGE, bits_rows, record_words
    from luthier.settings import settings_from

    record = work.pretrain(settings_from(work.Pretraining, given, "pretrain"), out, command())
    if as_json:
        return screen.print_json(record.as_json())
    if rows := bits_rows(record):
        screen.print_table(BITS_HEADER, rows)
    screen.print_lines([*record_words(record), str(out / PAGE)])
    return None


def trial(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What is compared: lstm, families or recipe.")],
    *,
    out: Annotated[Path, typer.Option(help="The folder to write; a trial that was stopped there goes on.")],
    as_json: Json = False,
    **given: Any,
) -> None:
    """Compare small models from nothing under one budget, over several seeds, with intervals.

    \b
    lstm      a transformer and an LSTM: loss by position, recall by distance, tokens a second
    families  decoder, encoder, encoder-decoder: which task each is good at
    recipe    a plain decoder with each ingredient alone

    \b
    Example:
      luthier trial recipe --minutes 30 --out recipe
    """
    from luthier.cli.exits import command
    from luthier.scratch import trial as work
    from luthier.scratch import trial_page as page
    from luthier.scratch.trial_cells import Trial
    from luthier.settings import settings_from

    record = work.run_trial(settings_from(Trial, {"kind": kind, **given}, "trial"), out, command())
    if as_json:
        return screen.print_json(record.as_json())
    screen.print_table(page.HEADER, page.mean_rows(record))
    screen.print_lines([*page.trial_words(record), str(out / page.PAGE)])
    return None
