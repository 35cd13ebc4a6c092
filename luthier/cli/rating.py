"""The verb `rate`, and rating in the terminal: the dialogue, two answers, one key. Arms have no names here; the core is
ballot.py.

Keys are read one by one at a terminal, and from a file or a pipe as they stand there (`luthier rate ... < keys.txt`).
Whatever a text holds, only its printable characters reach the screen.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

import luthier
from luthier.cli import screen
from luthier.cli.options import Json

if TYPE_CHECKING:  # `--help` imports none of it
    from luthier.rating.ballot import Ballot, Question
    from luthier.results.ratings_record import (
        Agreement,
        Correlation,
        JudgeRatings,
        PairRating,
        Rater,
        Ratings,
        Share,
        Strengths,
    )

KEYS = {"1": "first", "2": "second", "t": "tie", "b": "both bad"}
HELP = "1 2: the better one   t: tie   b: both bad   r: give a reason   u: undo   q: stop"
SIDE_BY_SIDE = 110  # columns from which on two answers stand beside each other
PIPE_WIDTH = 80
_LONGEST_SECONDS = 300.0  # on one question; what is longer was a break, and does not count into the rate
_POLL_SECONDS = 0.1


def rate(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="A finished study's folder.")],
    rater: Annotated[str | None, typer.Option(help="Your name; each rater has one.")] = None,
    arms: Annotated[str | None, typer.Option(help="Two to four arms with commas between; else the best ones.")] = None,
    dialogues: Annotated[int | None, typer.Option(help="How many dialogues; 60 if there are as many.")] = None,
    result: Annotated[
        bool, typer.Option("--result", help="Show the results of the votes, and write ratings.json.")
    ] = False,
    judge: Annotated[str | None, typer.Option(help="Let a model judge: an OpenAI-compatible address.")] = None,
    judge_model: Annotated[str | None, typer.Option(help="The name of its model.")] = None,
    as_json: Json = False,
) -> None:
    """Judge answers blind, side against side, by keys; stop at any time and go on with the same command. Or let a model
    judge them, or see with --result what the votes say.

    \b
    Example:
      luthier rate studies/mine --rater ann
    """
    names = arms.split(",") if arms is not None else None
    if sum((rater is not None, judge is not None, result)) != 1:
        raise luthier.SettingsError("rate: give one of --rater NAME, --judge URL and --result")
    if result:
        from luthier.rating.result import result as result_of

        ratings = result_of(folder)
        return screen.print_json(ratings.as_json()) if as_json else print_result(ratings)
    if judge is not None:
        counts = luthier.judge(folder, judge, judge_model or "", arms=names, dialogues=dialogues)
        return screen.print_lines([", ".join(f"{name} {count}" for name, count in counts.items())])
    ask_person(folder, rater or "", arms=names, dialogues=dialogues)


def ask_person(folder: Path, rater: str, *, arms: list[str] | None = None, dialogues: int | None = None) -> int:
    """Asks one person until nothing is left or they stop, and returns how many votes they gave now.

    Each vote is on disk before the next question. Raises Stopped on Ctrl-C, and what `open_ballot` raises.
    """
    ballot = luthier.open_ballot(folder, arms, dialogues)
    with _keys(sys.stdin) as keys:
        return _Session(ballot, rater, keys).run()


class _Session:
    """One person at one terminal, from the first question to the last."""

    def __init__(self, ballot: Ballot, rater: str, keys: _Keys) -> None:
        self.ballot, self.rater, self.keys = ballot, rater, keys
        self.given, self.seconds = 0, 0.0
        self.reason = ""

    def run(self) -> int:
        try:
            while (question := self.ballot.question(self.rater)) is not None:
                self.show(question)
                if not self.answer(question):
                    return self.end(f"{question.total - question.done} left")
        except KeyboardInterrupt:
            from luthier.progress import Stopped  # `--help` needs no bars

            raise Stopped from None
        return self.end("nothing is left to judge")

    def answer(self, question: Question) -> bool:
        """Reads keys until the question is answered or taken back; False when the rater stops."""
        began = time.monotonic()
        while True:
            key = self.keys.one()
            if key in KEYS:
                self.vote(question, KEYS[key], time.monotonic() - began)
                return True
            if key == "u":
                self.undo()
                return True
            if key in ("", "q"):
                if key == "" and not self.keys.terminal:
                    screen.complain(
                        "the keys have ended before the last question; go on at a terminal, or give more keys"
                    )
                return False
            if key == "r":
                self.reason = self.keys.line("reason: ")
            else:
                screen.print_lines([HELP])

    def vote(self, question: Question, verdict: str, seconds: float) -> None:
        self.ballot.vote(question.item, self.rater, verdict, reason=self.reason, seconds=round(seconds, 1))
        self.given, self.seconds, self.reason = self.given + 1, self.seconds + min(seconds, _LONGEST_SECONDS), ""

    def undo(self) -> None:
        undone = self.ballot.undo(self.rater)
        self.given -= bool(undone and self.given)  # a vote of an earlier sitting is not counted in this one
        screen.print_lines(["your last vote is taken back" if undone else "you have no vote to take back"])

    def end(self, words: str) -> int:
        votes = f"{self.given} vote{'s' * (self.given != 1)}"
        screen.print_lines([f"{self.rater}: {votes} in this sitting, all saved; {words}"])
        return self.given

    def show(self, question: Question) -> None:
        """The dialogue, then both answers, then how far it is."""
        from rich.columns import Columns
        from rich.console import Console
        from rich.panel import Panel
        from rich.text import Text

        width = None if sys.stdout.isatty() else PIPE_WIDTH
        console = Console(highlight=False, markup=False, emoji=False, width=width)
        console.clear()

        def box(title: str, text: str, columns: int) -> Panel:
            return Panel(Text(printable(text)), title=Text(title), title_align="left", width=columns)

        columns = console.width if console.width < SIDE_BY_SIDE else console.width // 2
        console.print(box("dialogue", question.dialogue, console.width))
        answers = [box("1", question.first, columns), box("2", question.second, columns)]
        if columns < console.width:
            console.print(Columns(answers, padding=0))
        else:
            for answer in answers:
                console.print(answer)
        console.print(Text(self.progress(question)))
        console.print(Text(HELP))

    def progress(self, question: Question) -> str:
        """Questions done, how many a minute, and the time that the others take at this rate."""
        done = f"{question.done} of {question.total} done"
        if not self.given:
            return done
        seconds_each = max(self.seconds / self.given, 1e-3)
        minutes_left = (question.total - question.done) * seconds_each / 60
        return f"{done}, {60 / seconds_each:.1f} a minute, about {minutes_left:.0f} minutes left"


def printable(text: str) -> str:
    """The text without control characters, which could move the cursor or colour the screen; lines and tabs stay."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text.expandtabs(4))


class _Keys:
    """Single keys from a terminal or a stream; '' when there are no more."""

    def __init__(self, stream: TextIO, one: Callable[[], str], terminal: bool) -> None:
        self._stream, self._one, self.terminal = stream, one, terminal

    def one(self) -> str:
        """The next key that is no white space, in small letters."""
        while (key := self._one()) and key.isspace():
            pass
        return "" if key == "\x04" else key.lower()

    def line(self, prompt: str) -> str:
        """A line of words, typed or piped; Ctrl-D leaves it empty."""
        if self.terminal:
            with _cooked(self._stream), contextlib.suppress(EOFError):
                return printable(input(prompt)).strip()
            return ""
        return printable(self._stream.readline()).strip()


@contextlib.contextmanager
def _keys(stream: TextIO) -> Iterator[_Keys]:
    """Keys of `stream`; a terminal gives each at once, without Enter, and is as before afterwards."""
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(io.UnsupportedOperation):  # it was read from before
            stream.reconfigure(errors="replace")  # what is no UTF-8 is no key either
    if not stream.isatty():
        yield _Keys(stream, lambda: stream.read(1), terminal=False)
        return
    import termios
    import tty

    before = termios.tcgetattr(stream)
    try:
        tty.setcbreak(stream)
        yield _Keys(stream, _characters(stream.fileno()), terminal=True)
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def _characters(handle: int) -> Callable[[], str]:
    """Reads a terminal character by character and nothing ahead; '' at its end.

    A Ctrl-C that comes between Python's last look at signals and the start of a read wakes nobody, and would wait for
    the next key. So keys are waited for a moment at a time: Python looks at signals in between.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def one() -> str:
        character = ""
        while not character:
            while not select.select([handle], [], [], _POLL_SECONDS)[0]:
                pass
            if not (byte := os.read(handle, 1)):
                return ""
            character = decoder.decode(byte)
        return character

    return one


@contextlib.contextmanager
def _cooked(stream: TextIO) -> Iterator[None]:
    """Whole lines with echo and corrections, for as long as the block lasts."""
    import termios

    raw, cooked = termios.tcgetattr(stream), termios.tcgetattr(stream)
    cooked[3] |= termios.ICANON | termios.ECHO
    termios.tcsetattr(stream, termios.TCSADRAIN, cooked)
    try:
        yield
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, raw)


# ------------------------------------------------------------------------------------------------------ the result


def print_result(ratings: Ratings) -> None:
    """Prints the results of `luthier rate STUDY --result`: sentences, then the numbers."""
    _print_lines(ratings.sentences)
    if (people := ratings.people) is not None:
        _print_preferences(people.strengths, people.pairs)
        _print_agreement(people.agreement)
        _print_raters(ratings.raters)
        metrics = [(name, _percent(row.agrees), _correlation(row.correlation)) for name, row in ratings.metrics.items()]
        _print_table(("metric", "agrees with votes", "correlation within dialogue"), metrics)
    for judge in ratings.judges:
        _print_judge(judge)


def _print_raters(raters: Iterable[Rater]) -> None:
    rows = [
        (row.rater, str(row.votes), *map(_percent, (row.position, row.repeats, row.with_others, row.both_bad)))
        for row in raters
    ]
    _print_table(("rater", "votes", "first chosen", "same when repeated", "same as others", "both bad"), rows)


def _print_preferences(strengths: Strengths | None, pairs: Iterable[PairRating]) -> None:
    arms = [
        (row.arm, f"{row.log_strength:+.2f}", _range(row.low, row.high, "+.2f"), f"{100 * row.win_rate:.0f} %")
        for row in (strengths.arms if strengths else ())
    ]
    _print_table(("arm", "log-strength", "95 % interval", "win rate in the model"), arms)
    rows = [
        (f"{row.a} over {row.b}", str(row.votes), f"{row.a_wins} / {row.ties} / {row.b_wins}", str(row.both_bad),
         f"{row.win_rate:.2f}", _range(row.low, row.high, ".2f"), row.verdict)
        for row in pairs
        if row.win_rate is not None
    ]  # fmt: skip
    _print_table(("pair", "votes", "won / tied / lost", "both bad", "win rate", "95 % interval", "verdict"), rows)


def _print_agreement(agreement: Agreement | None) -> None:
    if agreement is not None:
        percent, alpha = _percent(agreement.percent), _number(agreement.alpha, agreement.low, agreement.high)
        _print_lines([f"Agreement of raters: {percent}, alpha {alpha}, {agreement.items} items."])


def _print_judge(judge: JudgeRatings) -> None:
    silent = sum(judge.no_verdict.values())
    _print_lines(
        [
            f"{judge.judge} (a machine, not counted above): {judge.items} items, {silent} without a verdict; "
            f"its verdict turned with the sides in {_percent(judge.inconsistent)}."
        ]
    )
    if (people := judge.with_people) is not None:
        everywhere, chosen = _percent(people.all), _percent(people.decisive)
        _print_lines([f"It agrees with people in {everywhere}, and in {chosen} where both chose a side."])
    if judge.strengths:
        _print_preferences(judge.strengths, judge.pairs)


def _range(low: float | None, high: float | None, form: str) -> str:
    return " to ".join("-" if end is None else format(end, form) for end in (low, high))


def _correlation(within: Correlation | None) -> str:
    return "-" if within is None else _number(within.value, within.low, within.high)


def _number(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ({_range(low, high, '.2f')})"


def _percent(share: Share | None) -> str:
    return "-" if share is None else f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"


def _print_lines(lines: Iterable[str]) -> None:
    screen.print_lines(map(printable, lines))


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Names of arms, raters and judges come from files that anybody may have written."""
    screen.print_table(header, [[printable(cell) for cell in row] for row in rows])
