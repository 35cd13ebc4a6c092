"""Verbs about columns of answers that any tool made: score one, compare several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.cli import screen
from luthier.cli.options import Delimiter, Encoding, Json, Quote, RowId, written_as
from luthier.metrics import DECIDING, MARGIN

Answers = Annotated[list[str], typer.Option("--answer", help="A column of answers; repeat for several.")]
Reference = Annotated[str, typer.Option(help="The column with the reference answer.")]
Cluster = Annotated[str | None, typer.Option(help="Rows equal in this column are one unit; none: each row is one.")]
References = Annotated[str, typer.Option(help="ROUGE against several references: their mean, or their max.")]
Input = Annotated[str | None, typer.Option(help="The column with the input: for the share that is copied from it.")]
Words = Annotated[
    str | None, typer.Option(help="What a word is: ascii, unicode, characters; else as the references ask for.")
]
Bleu = Annotated[str | None, typer.Option(help="BLEU's tokenizer: 13a, intl, zh, char, ja-mecab, ko-mecab, flores200.")]
LeaveOut = Annotated[
    bool, typer.Option("--leave-out-reasoning", help="Leave reasoning blocks, <think>...</think>, out of answers.")
]
Exact = Annotated[bool, typer.Option("--exact", help="Labels are the same only where every sign of them is.")]
Rows = Annotated[Path, typer.Argument(metavar="FILE", help="A csv, tsv, json, jsonl or parquet file.")]


def score(
    file: Rows,
    reference: Reference,
    answer: Annotated[str, typer.Option(help="The column with the answers.")],
    cluster: Cluster = None,
    input: Input = None,
    id: RowId = None,
    references: References = "mean",
    labels: Annotated[
        bool, typer.Option("--labels", help="References and answers are labels: accuracy and macro-F1.")
    ] = False,
    exact: Exact = False,
    words: Words = None,
    bleu: Bleu = None,
    leave_out_reasoning: LeaveOut = False,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    as_json: Json = False,
) -> None:
    """Score a column of answers that any tool made. Prints ROUGE, BLEU, chrF and length, each with its 95 % interval.

    \b
    Example:
      luthier score answers.csv --reference summary --answer model_a
    """
    from luthier.verdicts.columns import scores_of_column

    result = scores_of_column(
        file, reference=reference, answer=answer, cluster=cluster, input=input, id=id, references=references,
        labels=labels, format=written_as(encoding, delimiter, quote),
        **_reading(exact, words, bleu, leave_out_reasoning),
    )  # fmt: skip
    return screen.print_json(result.as_json()) if as_json else screen.print_scores(result)


def compare(
    file: Rows,
    reference: Reference,
    answer: Answers,
    cluster: Cluster = None,
    input: Input = None,
    id: RowId = None,
    metric: Annotated[str, typer.Option(help="The metric that decides.")] = DECIDING,
    margin: Annotated[float, typer.Option(help="Differences below it do not matter, on 0 to 1.")] = MARGIN,
    baseline: Annotated[list[str] | None, typer.Option(help="An answer column that others must beat.")] = None,
    references: References = "mean",
    look: Annotated[
        int | None, typer.Option(help="The number of this look at these references; by default it is counted.")
    ] = None,
    exact: Exact = False,
    words: Words = None,
    bleu: Bleu = None,
    leave_out_reasoning: LeaveOut = False,
    seed: Annotated[int, typer.Option(help="The seed of the bootstrap, for bleu and chrf.")] = 0,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    quote: Quote = None,
    as_json: Json = False,
) -> None:
    """Compare columns of answers on the same rows. Prints paired differences with intervals, verdicts, and the column
    to take; with --json the same JSON as a study's compare.json.

    \b
    Example:
      luthier compare answers.csv --reference summary --answer model_a --answer model_b
    """
    from luthier.verdicts.columns import comparison_of_columns

    result = comparison_of_columns(
        file, reference=reference, answers=answer, cluster=cluster, input=input, id=id, metric=metric, margin=margin,
        baselines=baseline or [], references=references, look="count" if look is None else look, seed=seed,
        format=written_as(encoding, delimiter, quote), **_reading(exact, words, bleu, leave_out_reasoning),
    )  # fmt: skip
    return screen.print_json(result.as_json()) if as_json else screen.print_comparison(result)


def _reading(exact: bool, words: str | None, bleu: str | None, leave_out_reasoning: bool) -> dict[str, Any]:
    """The options of how texts are read, as both functions take them."""
    fold = {"fold": ()} if exact else {}
    return {**fold, "words": words, "bleu": bleu, "reasoning": "leave out" if leave_out_reasoning else "keep"}
