"""Rating by keys: piped and at a real terminal, blind, and stopped at any time."""

from __future__ import annotations

import _thread
import fcntl
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from luthier.cli import app
from luthier.cli.rating import PIPE_WIDTH, _keys, ask_person, printable
from luthier.files import read_lines, write_lines
from luthier.rating.ballot import open_ballot
from luthier.results.ratings_record import VOTES_FILE
from tests.endpoint import Server, said
from tests.rated import make_study, rate_all

ARMS = ["copy-3", "zero-shot", "lora"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_study(tmp_path / "study", count=12)


def typed(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(keys))


def votes_of(folder: Path, rater: str = "ann") -> list[tuple[str | None, str]]:
    return [(vote.verdict, vote.reason) for vote in open_ballot(folder).votes() if vote.rater == rater]


def test_keys_become_verdicts_and_a_reason_goes_with_the_next(folder, monkeypatch, capsys):
    typed(monkeypatch, "1\n2\nT\nr it is [bold]true\nb\nzq")
    assert ask_person(folder, "ann", arms=ARMS) == 4
    assert votes_of(folder) == [("first", ""), ("second", ""), ("tie", ""), ("both bad", "it is [bold]true")]
    assert "ann: 4 votes in this sitting, all saved; " in capsys.readouterr().out


def test_u_goes_back_one_question_and_back_again(folder, monkeypatch):
    typed(monkeypatch, "11uu2q")
    ask_person(folder, "ann", arms=ARMS)
    assert votes_of(folder) == [("second", "")]
    typed(monkeypatch, "u" * 3 + "t")
    assert ask_person(folder, "ann") == 1
    assert votes_of(folder) == [("tie", "")]


def test_arms_are_never_named_and_lines_fit_eighty_columns(folder, monkeypatch, capsys):
    typed(monkeypatch, "12tb" * 50)
    ask_person(folder, "ann", arms=ARMS)
    shown = capsys.readouterr().out
    assert not any(arm in shown for arm in ARMS)
    assert max(map(len, shown.splitlines())) <= PIPE_WIDTH
    assert "nothing is left to judge" in shown


def test_progress_is_shown(folder, monkeypatch, capsys):
    typed(monkeypatch, "111")
    ask_person(folder, "ann", arms=ARMS)
    shown = capsys.readouterr().out
    total = open_ballot(folder).question("ann").total
    assert f"0 of {total} done" in shown and f"2 of {total} done, " in shown
    assert "a minute, about " in shown


def test_input_that_ends_is_a_message_and_nothing_is_lost(folder, monkeypatch, capsys):
    typed(monkeypatch, "12")
    ask_person(folder, "ann", arms=ARMS)
    assert "the keys have ended before the last question" in capsys.readouterr().err
    assert len(votes_of(folder)) == 2
    typed(monkeypatch, "")
    assert ask_person(folder, "ann") == 0
    assert len(votes_of(folder)) == 2


def test_signs_that_steer_a_terminal_are_not_printed(folder, monkeypatch, capsys):
    path = folder / "arms" / "lora" / "answers.jsonl"
    rows = [row | {"text": f"\x1b]0;owned\x07\x1b[2J{row['text']}\tend"} for row in read_lines(path)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    typed(monkeypatch, "1" * 20)
    ask_person(folder, "ann", arms=ARMS)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x07" not in shown and "owned" in shown
    assert printable("a\tb\r\nc\x9b") == "a   b \nc "


def test_keys_that_are_no_text_are_no_keys(folder, monkeypatch):
    keys = io.TextIOWrapper(io.BytesIO(b"\xff1r\xfe so\n2q"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", keys)
    assert ask_person(folder, "ann", arms=ARMS) == 2
    assert votes_of(folder) == [("first", ""), ("second", "\ufffd so")]


def test_names_that_steer_a_terminal_are_not_printed_with_the_result(tmp_path, monkeypatch, capsys):
    """Raters and judges of a folder that somebody else wrote by hand."""
    folder = make_study(tmp_path / "study", count=12, qualities={"copy-3": 0.1, "lora": 0.9})
    ballot = open_ballot(folder, ["copy-3", "lora"])
    rate_all(ballot, "ann", lambda question: "first")
    rows = [row | {"rater": "\x1b]0;owned\x07ann\x7f"} for row in read_lines(folder / VOTES_FILE)]
    judged = [row | {"rater": "judge:\x1b[31mm", "machine": True} for row in rows if not row["repeat"]]
    write_lines(folder / VOTES_FILE, [*rows, *judged])
    for options in ((), ("--json",)):
        code, shown, _ = command(monkeypatch, capsys, folder, "--result", *options)
        assert code == 0 and "owned" in shown and "judge:" in shown
        assert not set(shown) & set("\x1b\x07\x7f\x9b\u202e")
    assert json.loads(shown) == json.loads((folder / "ratings.json").read_text())


def read_until(handle: int, words: str, seconds: float = 60.0) -> str:
    """What a terminal shows until the words stand there."""
    shown, end = b"", time.monotonic() + seconds
    while words.encode() not in shown:
        ready, _, _ = select.select([handle], [], [], max(0.0, end - time.monotonic()))
        assert ready, shown.decode(errors="replace")[-2000:]
        shown += os.read(handle, 65536)
    return shown.decode(errors="replace")


def test_at_a_terminal_a_key_is_enough_and_ctrl_c_loses_nothing(folder):
    """A real pseudo-terminal: no Enter after a key, a typed reason, and the terminal is left as it was."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "luthier", "rate", str(folder), "--rater", "ann", "--arms", ",".join(ARMS)]
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}, preexec_fn=take_terminal,
    )  # fmt: skip
    try:
        read_until(ours, "q: stop")
        os.write(ours, b"1")
        assert "1 of " in read_until(ours, "q: stop")
        os.write(ours, b"r")
        read_until(ours, "reason: ")
        os.write(ours, b"\x04")  # Ctrl-D: no reason after all
        os.write(ours, b"r")
        read_until(ours, "reason: ")
        os.write(ours, b"shorter\n")
        os.write(ours, b"2")
        assert "2 of " in read_until(ours, "q: stop")
        os.write(ours, b"\x03")
        assert "go on with: luthier rate" in " ".join(read_until(ours, "--rater").split())
        assert child.wait(30) == 130
    finally:
        child.kill()
        child.wait()
        os.close(ours)
        os.close(theirs)
    assert votes_of(folder) == [("first", ""), ("second", "shorter")]


def test_ctrl_c_that_wakes_no_read_still_stops():
    """As a signal does that comes just before the read begins: Python notes it, and the read goes on waiting."""
    ours, theirs = pty.openpty()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ctrl_c, next_key = threading.Timer(0.3, _thread.interrupt_main), threading.Timer(20, os.write, (ours, b"1"))
    with os.fdopen(theirs) as terminal, _keys(terminal) as keys:
        os.write(ours, "é".encode())
        assert keys.one() == "é"
        ctrl_c.start()
        next_key.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                keys.one()
            assert next_key.is_alive(), "it waited for the next key"
        finally:
            next_key.cancel()
            next_key.join()
            signal.signal(signal.SIGINT, before)
    os.close(ours)


def take_terminal() -> None:
    """Makes the child's standard input its controlling terminal, so that Ctrl-C becomes a signal.

    Tests that were started in the background of a shell ignore that signal, and so would their children.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


# --- through the command line -------------------------------------------------------------------------------------


def command(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["luthier", "rate", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        app.main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_the_result_is_shown_and_printed_as_json(folder, monkeypatch, capsys):
    ballot = open_ballot(folder, ARMS)
    for rater in ("ann", "bob"):
        rate_all(ballot, rater)
    code, shown, _ = command(monkeypatch, capsys, folder, "--result")
    assert code == 0
    for words in (
        "holds for these raters only",
        "log-strength",
        "won / tied / lost",
        "Agreement of raters: 100 %",
        "rouge1",
    ):
        assert words in shown
    code, shown, _ = command(monkeypatch, capsys, folder, "--result", "--json")
    assert json.loads(shown) == json.loads((folder / "ratings.json").read_text())


def test_rating_through_the_command_line_is_only_a_door(folder, monkeypatch, capsys):
    typed(monkeypatch, "1q")
    code, shown, _ = command(monkeypatch, capsys, folder, "--rater", "ann", "--arms", "lora,copy-3", "--dialogues", "5")
    assert code == 0 and "1 vote in this sitting" in shown
    assert len(read_lines(folder / VOTES_FILE)) == 1
    assert open_ballot(folder).plan.arms == ("lora", "copy-3")


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "give one of --rater NAME, --judge URL and --result"),
        (["--rater", "ann", "--result"], "give one of"),
        (["--result"], "nobody has rated it yet"),
        (["--rater", ""], "a rater needs a name"),
        (["--rater", "ann", "--arms", "none,lora"], "no arm 'none'"),
        (["--judge", "nowhere", "--judge-model", "m"], "is no address"),
    ],
)
def test_bad_input_is_one_sentence(folder, monkeypatch, capsys, arguments, says):
    code, _, err = command(monkeypatch, capsys, folder, *arguments)
    assert code == 2 and says in err and err.count("\n") == 1
    assert not (folder / VOTES_FILE).exists()


def test_the_commands_of_the_page_on_rating_run(tmp_path, monkeypatch, capsys):
    """In order, on a made study and a judge that always ties."""
    page = (Path(__file__).parents[2] / "docs" / "rating.md").read_text(encoding="utf-8")
    block = re.findall(r"^```sh\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)[0]
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    make_study(tmp_path / "studies" / "mine", count=12)
    monkeypatch.chdir(tmp_path)
    server = Server(lambda body: said("VERDICT: TIE"))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for arguments in lines:
        typed(monkeypatch, "1212tq")
        given = [server.url if argument.startswith("http") else argument for argument in arguments[2:]]
        assert arguments[:2] == ["luthier", "rate"]
        assert command(monkeypatch, capsys, *given)[0] == 0, given
    server.shutdown()
    server.server_close()
    assert {vote.rater for vote in open_ballot(tmp_path / "studies" / "mine").votes()} == {"ann", "bob", "judge:small"}
