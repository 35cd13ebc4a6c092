"""Ctrl-C asks for a clean stop once and stops at once the second time; without a terminal a line says what goes on."""

from __future__ import annotations

import io
import os
import signal
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from luthier import progress
from luthier.progress import Stopped, bar, check_stop, hushed, say, stoppable


def test_the_first_ctrl_c_waits_for_a_safe_point_and_the_second_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with stoppable():
        check_stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert "stopping at the next safe point" in capsys.readouterr().err
        with pytest.raises(Stopped):
            check_stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    check_stop()  # the wish ends with the work
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminate_signal_is_a_ctrl_c() -> None:
    with stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            check_stop()


def test_it_is_left_alone_outside_the_main_thread() -> None:
    seen = []

    def work() -> None:
        with stoppable():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_without_a_terminal_a_line_at_start_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("answer", 10, "rows", done=3) as line:
        line.advance(7, "fast")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["answer: 3 of 10 rows", "answer: done in 0 s"]


def test_without_a_terminal_a_line_whenever_a_minute_was_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with bar("train", 2000, "steps", done=1000) as line:
        for _ in range(10):
            now[0] += 25.0
            line.advance(100, "loss 1.5  300 tokens/s")
    assert capsys.readouterr().err.splitlines() == [
        "train: 1,000 of 2,000 steps",
        "train: 1,300 of 2,000 steps, 3 min left, loss 1.5  300 tokens/s",
        "train: 1,600 of 2,000 steps, 2 min left, loss 1.5  300 tokens/s",
        "train: 1,900 of 2,000 steps, 25 s left, loss 1.5  300 tokens/s",
        "train: done in 250 s",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_many_small_works_share_one_bar(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a small work says is not shown, and another thread's words are."""
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=terminal, width=120))
    with bar("trial", 60, "seconds") as all_of_them, hushed():
        say("small: what it does")
        with bar("small", 10, "steps") as own:
            own.advance(10, "loss 1.5")
        other = threading.Thread(target=say, args=["another thread"])
        other.start()
        other.join()
        all_of_them.advance(30)
    say("the end")
    assert "trial" in screen.getvalue() and "another thread" in screen.getvalue() and "the end" in screen.getvalue()
    assert "small" not in screen.getvalue() and "1.5" not in screen.getvalue()


def test_on_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=120))
    with bar("answer", 10, "rows", done=3) as line:
        line.advance(4, "fast")
    assert "answer" in screen.getvalue() and "7/10" in screen.getvalue() and "fast" in screen.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_names_are_shown_as_they_are(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arms are called 'zero-shot:question', and rich would read ':question:' as an emoji and [b] as bold."""
    screen = io.StringIO()
    shown = Console(file=screen, force_terminal=terminal, width=200, highlight=False, emoji=progress.console._emoji)
    monkeypatch.setattr(progress, "console", shown)
    with bar("zero-shot:question: [b] answers", 3) as line:
        line.advance(words="[i] :question:")
    say("zero-shot:question: [b]")
    assert screen.getvalue().count("zero-shot:question: [b]") >= 2
    assert "\u2753" not in screen.getvalue()
