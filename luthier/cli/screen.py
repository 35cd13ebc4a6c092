"""What the command line shows: tables, lines, painted tokens and JSON; on standard error, one sentence; and the one
text that it reads.

Texts of a user's data are printed as they are, never read as markup. rich is imported when something is printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import DataError, SettingsError

if TYPE_CHECKING:  # what is printed is made elsewhere, and `--help` imports none of it
    from luthier.records import Prompt
    from luthier.results.comparison import Comparison, Mean
    from luthier.scratch.neighbours import Neighbours
    from luthier.scratch.token_table import TokenTable
    from luthier.task.findings import Finding
    from luthier.verdicts.columns import ColumnScores

MOST_INPUT_BYTES = 16 * 2**20  # of one text to answer; more is a mistaken file
# What json.dumps leaves as it is: DEL, the control characters of ISO 6429, and those that turn the direction of text.
_STEERS_TERMINAL = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
PIPE_WIDTH = 160  # a file or a pipe has no width to fit into


def print_json(value: Any) -> None:
    """The value that `files.write_json` would write; what steers a terminal stands there as JSON's escapes.

    JSON is UTF-8 whatever the locale says; half a surrogate, of a name that is not UTF-8, is an escape too.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    line = _STEERS_TERMINAL.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"
    if (bytes_out := getattr(sys.stdout, "buffer", None)) is None:  # a text in memory
        sys.stdout.write(line)
        return
    sys.stdout.flush()
    bytes_out.write(line.encode("utf-8", "backslashreplace"))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table, its first column on the left and the others on the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position, title in enumerate(header):
        table.add_column(Text(title), justify="left" if position == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    _console().print(table)


def print_lines(lines: Iterable[str | tuple[str, str, str]]) -> None:
    """Lines of text; a triple is (words, their style, the rest)."""
    from rich.text import Text

    console = _console()
    for line in lines:
        text = Text(line) if isinstance(line, str) else Text.assemble((line[0], line[1]), line[2])
        console.print(text, soft_wrap=True)


def print_painted(tokens: Iterable[tuple[str, bool]]) -> None:
    """(token, supervised) in order: supervised ones in green, or in \u27e6 \u27e7 where there is no terminal.

    On a terminal every second token has a grey ground, so that their borders show.
    """
    from rich.text import Text

    console, painted = _console(), Text()
    for position, (token, supervised) in enumerate(tokens):
        if console.is_terminal:
            painted.append(token, style="bold black on green" if supervised else ("", "on grey19")[position % 2])
        else:
            painted.append(f"\u27e6{token}\u27e7" if supervised else token)
    console.print(painted, soft_wrap=True)


def print_counts(id: str, prompt: Prompt) -> None:
    """What a prompt consists of, in one line."""
    counts = {
        "prompt tokens": len(prompt.prompt_ids),
        "supervised": len(prompt.target_ids or ()) if prompt.label is None else f"the label {prompt.label}",
        "shots": len(prompt.shots),
        "shots left out": prompt.shots_dropped,
        "tokens cut": prompt.tokens_cut,
    }
    print_lines([f"\n{id}: {', '.join(f'{name} {count}' for name, count in counts.items())}"])


def print_steps(steps: Iterable[dict[str, Any]]) -> None:
    """A block of lines for each new token: what was said, and the likeliest in its place; tokens in JSON's quotes."""
    for number, step in enumerate(steps, 1):
        print(f"{number:4}  {json.dumps(step['token'], ensure_ascii=False)}")
        for row in step["candidates"]:
            shares = f"{row['before']:7.2%} -> {row['after']:7.2%}"
            print(f"      {shares}  {json.dumps(row['token'], ensure_ascii=False)}", flush=True)


def print_task(summary: dict[str, Any]) -> None:
    """The splits of a new task, what reading its files changed, and what decides; `summary` is that of Task."""
    rows = [(split, str(row["rows"]), str(row["units"]), row["file"]) for split, row in summary["splits"].items()]
    print_table(("split", "rows", "units", "file"), rows)
    decide = f"{summary['metric']} decides, and differences below {summary['margin']:g} do not matter."
    print_lines([*summary["notes"], decide])


def print_findings(findings: Iterable[Finding]) -> None:
    """A line for each finding about a task, its level in colour."""
    colours = {"error": "red", "warning": "yellow", "note": "dim"}
    print_lines([(f"{finding.level:8}", colours[finding.level], finding.text) for finding in findings])


def print_scores(scores: ColumnScores) -> None:
    """A row for each metric of one column of answers, and how many answers have no value."""
    rows = [(metric, *_mean(row), str(row.n)) for metric, row in scores.metrics.items() if row.mean is not None]
    print_table((scores.answer, "mean", "95 % interval", "n"), rows)
    print_lines(
        f"{metric}: no value for {count} of {scores.examples} answers: {reason}."
        for metric, reasons in scores.unknown.items()
        for reason, count in reasons.items()
    )
    print_lines(scores.notes)


def print_comparison(comparison: Comparison) -> None:
    """The deciding metric of each arm, the verdict of each pair, and which arm to ship."""
    rows = [(name, row[comparison.deciding]) for name, row in comparison.arms.items()]
    print_table(
        ("arm", comparison.deciding, "95 % interval", "n"), [(name, *_mean(row), str(row.n)) for name, row in rows]
    )
    pairs = [
        (
            f"{pair.a} - {pair.b}",
            *_interval(pair.difference, pair.simultaneous_low, pair.simultaneous_high),
            str(pair.verdict),
        )
        for pair in comparison.deciding_pairs
    ]
    if pairs:
        print_table(("pair", "difference", "simultaneous interval", "verdict"), pairs)
    not_separated = [f"Not separated: {', '.join(group)}." for group in comparison.groups_not_separated()]
    print_lines([*not_separated, *comparison.warnings, comparison.ship.sentence])


def _mean(row: Mean) -> tuple[str, str]:
    return _interval(row.mean, row.low, row.high)


def _interval(value: float | None, low: float | None, high: float | None) -> tuple[str, str]:
    """('0.312', '0.290 to 0.334'), with a dash for an unknown number."""
    mean, low_end, high_end = ("-" if number is None else f"{number:.3f}" for number in (value, low, high))
    return mean, f"{low_end} to {high_end}"


def print_token_tables(tables: Sequence[TokenTable]) -> None:
    """Pieces and ids of each tokenizer, then all of them in one table."""
    for table in tables:
        print_lines([(table.tokenizer, "bold", f": {len(table.ids)} tokens of {table.bytes} bytes")])
        print_painted([(f"|{piece}", False) for piece in table.pieces])
        print_lines([" ".join(map(str, table.ids))])
    samples = list(tables[0].bytes_a_token)
    rows = [
        (
            table.tokenizer, f"{table.vocabulary:,}", str(len(table.ids)), f"{table.own_bytes_a_token:.2f}",
            *(f"{table.bytes_a_token[name]:.2f}" for name in samples),
            "-" if table.window_bytes is None else f"{table.window_bytes:,}", "yes" if table.lossless else "no",
        )
        for table in tables
    ]  # fmt: skip
    header = ("tokenizer", "vocabulary", "tokens", "bytes a token", *samples, "bytes that fill the window", "lossless")
    print_table(header, rows)


def print_neighbours(name: str, found: Sequence[Neighbours]) -> None:
    """A row for each token of a text: its nearest tokens by embedding, and read in its place."""

    def shown(near: Sequence[tuple[str, float]]) -> str:
        return "  ".join(f"{json.dumps(piece, ensure_ascii=False)} {cosine:.2f}" for piece, cosine in near)

    rows = [(json.dumps(one.piece, ensure_ascii=False), shown(one.static), shown(one.in_context)) for one in found]
    print_table((name, "nearest by embedding", "nearest read in its place"), rows)


def complain(sentence: str) -> None:
    """One line on standard error; control characters and line breaks of names and rows become spaces."""
    line = "".join(sign if sign.isprintable() else " " for sign in sentence)
    sys.stderr.write(f"luthier: {' '.join(line.split())}\n")


def input_text(text: str | None, file: Path | None) -> str:
    """The input of `ask`: the argument, the file, or standard input.

    Raises SettingsError when it is given twice, DataError when it is too long, not UTF-8 or cannot be read.
    """
    if text is not None and file is not None:
        raise SettingsError("ask: the text is given twice; give it as an argument or with --file")
    if text is not None:
        if (
            not text.isascii() and text.encode("utf-8", "replace").decode() != text
        ):  # half a surrogate: bytes of no letter
            raise DataError("the text is not UTF-8; save it as UTF-8", file="the argument")
        return text
    if file is None and sys.stdin.isatty():
        sys.stderr.write("Type the text and end it with Ctrl-D.\n")
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if file is None else open(file, "rb") as stream:
            data = stream.read(MOST_INPUT_BYTES + 1)
        if len(data) > MOST_INPUT_BYTES:
            raise DataError(f"the text is longer than {MOST_INPUT_BYTES >> 20} MiB; give one input", file=file)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("the text is not UTF-8; save it as UTF-8", file=file or "standard input") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); name a text file", file=file) from None


def close() -> None:
    """Sends standard output nowhere, so that Python does not try to write it again at exit."""
    with contextlib.suppress(OSError, ValueError):
        handle = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), handle)


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
