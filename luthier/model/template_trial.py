"""A chat template runs in a process of its own before this one trusts it: with little time and little memory.

jinja's sandbox keeps a template from files and from Python's inner parts. It does not keep it from running for ever,
from filling the memory, or from giving another prompt each time. So each template is tried once on conversations of
several shapes and lengths, and remembered by its hash. The child gets limits of the operating system where there are
some, and the parent ends it when its time is over. No torch is imported.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import luthier
from luthier.errors import ModelError, PromptError
from luthier.model.passed import has_passed, remember
from luthier.task.chat_template import ChatTemplate, Message

START_SECONDS = 120.0  # the child imports a library, which takes long on a busy machine
SECONDS = 12.0  # of the clock, for all conversations; a usual template takes a hundredth
CPU_SECONDS = 3
MORE_BYTES = 512 << 20  # what the child may take in addition to its imports
MOST_TIMES, MOST_LETTERS = 20, 200_000  # a prompt has at most that many times the letters it was given, or that many
REPEATS = 12  # of one conversation; a template that draws lots of two gives the same prompt once in 2,000 times
TRIAL = "2"  # goes up when the trial looks at more, so that what passed an older one is tried again
_CPU_LIMIT: int | None = getattr(signal, "SIGXCPU", None)  # the signal that ends a child over its time; not on Windows
_READY = b"ready\n"
_TOO_MUCH = f"takes more than {MORE_BYTES >> 20} MiB to render a few messages"
_ADVICE = "mend it, or choose another model"


def refuse_unsafe(template: ChatTemplate) -> None:
    """Raises ModelError, one sentence, for a template that hangs, fills the memory or changes its mind.

    A template that refuses some conversation is none of these: rendering says so, with the template's own words.
    """
    looked_at = (TRIAL, template.sha256)
    if has_passed("template", *looked_at):
        return
    if refused := _tried(template):
        raise ModelError(f"{template.file}: the chat template {refused}; {_ADVICE}")
    remember("template", *looked_at)


def _tried(template: ChatTemplate) -> str | None:
    """What is wrong with the template, or None."""
    request = json.dumps({"source": template.source, "tokens": dict(template.tokens), "day": template.day}, default=str)
    path = os.pathsep.join([str(Path(luthier.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    # -P: a folder luthier/ where the user stands is not ours.
    command = [sys.executable, "-P", "-m", "luthier.model.template_trial"]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdin and child.stdout
        over: list[str] = []
        try:
            with _EndedAfter(START_SECONDS, child, over):
                is_ready = child.stdout.readline() == _READY
            if not is_ready:
                raise ModelError(
                    f"{template.file}: the chat template cannot be tried, because no further process of Python starts; "
                    "end other programs and start again"
                )
            with _EndedAfter(SECONDS, child, over):
                try:
                    child.stdin.write(request.encode())
                    child.stdin.close()
                except BrokenPipeError:
                    pass
                said = child.stdout.read(MOST_LETTERS)
                code = child.wait()
        finally:
            child.kill()
    if over:
        return f"does not come to an end: with a few messages it was stopped after {SECONDS:g} seconds"
    if code < 0 and -code == _CPU_LIMIT:
        return f"does not come to an end: with a few messages it was stopped after {CPU_SECONDS} seconds of computing"
    try:
        refused = json.loads(said)["refused"]
    except (ValueError, KeyError, TypeError):
        return f"ends the process that renders it (code {code})"
    return str(refused) if refused else None


class _EndedAfter(Timer):
    """Inside, the child is killed when `seconds` are over, which `over` then says."""

    def __init__(self, seconds: float, child: subprocess.Popen[bytes], over: list[str]) -> None:
        def end() -> None:
            over.append("over")
            child.kill()

        super().__init__(seconds, end)
        self.daemon = True

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: Any) -> None:
        self.cancel()


# ------------------------------------------------------------------------------------------------- inside the child


def conversations() -> Iterator[list[Message]]:
    """What a study asks: a question, shots in front of it, long texts, few and many turns, a system's message."""
    words = "What time is it, Tom? "
    for times, shots in ((1, 0), (1, 1), (1, 3), (40, 0), (2000, 0), (40, 8), (1, 64)):
        turns: list[Message] = []
        for shot in range(shots):
            turns += [_turn("user", f"{words * times}{shot}"), _turn("assistant", f"Half past {shot}.")]
        yield [*turns, _turn("user", words * times)]
    yield [_turn("system", "Be brief."), _turn("user", words)]
    yield [_turn("user", '1 < 2 & "quoted" {{ braces }} {% signs %} \\n é 日本 👍\n\n\ttab')]


def _turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def problem_of(template: ChatTemplate) -> str | None:
    """What is wrong with a template, as a predicate; it is rendered here, so only a process with limits calls this."""
    for messages in conversations():
        for answer_follows in (True, False):
            try:
                text = template.text(messages, answer_follows=answer_follows)
            except PromptError as error:
                if isinstance(error.__cause__, MemoryError):
                    return _TOO_MUCH
                if isinstance(error.__cause__, RecursionError):
                    return "calls itself without an end"
                continue  # it may refuse a conversation, in a sentence
            given = sum(len(message["content"]) for message in messages)
            if len(text) > max(MOST_TIMES * given, MOST_LETTERS):
                return f"makes {len(text):,} letters of {given:,}"
    question = [_turn("user", "What time is it, Tom?")]
    try:
        if len({template.text(question) for _ in range(REPEATS)}) > 1:
            return "gives another prompt each time"
    except PromptError:
        pass
    return None


def _limit() -> None:
    """The limits of this process, as far as the system knows them. Nothing is written, so files get no byte."""
    try:
        import resource
    except ImportError:
        return
    if _CPU_LIMIT is not None:
        signal.signal(_CPU_LIMIT, signal.SIG_DFL)  # a parent may have had it ignored
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    bounds = {"RLIMIT_CPU": used + CPU_SECONDS, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bounds["RLIMIT_AS"] = pages * os.sysconf("SC_PAGE_SIZE") + MORE_BYTES
    except (OSError, ValueError):
        pass  # no Linux; there the time alone is bounded
    for name, bound in bounds.items():
        try:
            # Over the first the child is told by a signal of its own, over the second it is killed.
            resource.setrlimit(getattr(resource, name), (bound, bound + 2 if name == "RLIMIT_CPU" else bound))
        except (OSError, ValueError, AttributeError):
            continue


def main() -> None:
    """Reads a template from standard input and writes what is wrong with it, after a line that says it has begun."""
    import transformers.utils.chat_template_utils  # noqa: F401 - imported before the limits begin

    out = sys.stdout.buffer
    out.write(_READY)
    out.flush()
    request = json.loads(sys.stdin.buffer.read())
    _limit()
    template = ChatTemplate(request["source"], request["tokens"], "", request["day"])
    try:
        refused = problem_of(template)
    except MemoryError:
        refused = _TOO_MUCH
    out.write(json.dumps({"refused": refused}).encode())
    out.flush()


if __name__ == "__main__":
    main()
