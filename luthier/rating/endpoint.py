"""One model behind an OpenAI-compatible address: asks a question and returns the reply, or raises an error.

A key comes from the environment variable LUTHIER_JUDGE_KEY. No file, message or stored reply holds it.

A question takes at most about QUESTION_SECONDS, whatever the server does: a try has TRY_SECONDS from its connection to
its last byte, there are at most TRIES of them, and a wait that the server asks for is cut to LONGEST_WAIT_SECONDS.
"""

from __future__ import annotations

import json
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from luthier.errors import ModelError, SettingsError
from luthier.machine import LOCAL_HOSTS

KEY_VARIABLE = "LUTHIER_JUDGE_KEY"
TRIES, TRY_SECONDS, QUESTION_SECONDS = 5, 120.0, 600.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0  # between two tries; the first wait doubles each time
MOST_TOKENS, MOST_BYTES, MOST_REFUSAL_BYTES = 400, 2**20, 2**14
_SECRET_LETTERS = 8  # a shorter key is a placeholder, such as EMPTY, which a text may hold by chance
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can hold one, UTF-8 and so a file cannot


@dataclass(frozen=True)
class Endpoint:
    """Where the judge answers. `wait` sleeps between tries; a test gives one that does not."""

    url: str  # such as http://127.0.0.1:8080/v1
    model: str
    key: str | None = field(default=None, repr=False)
    try_seconds: float = TRY_SECONDS
    question_seconds: float = QUESTION_SECONDS  # all tries and waits of one question; a try that has begun ends
    wait: Callable[[float], None] = time.sleep

    def ask(self, prompt: str) -> str:
        """The model's reply. Raises ModelError when the endpoint refuses, or does not answer after several tries."""
        began, pause = time.monotonic(), FIRST_WAIT_SECONDS
        for tries in range(1, TRIES + 1):
            try:
                data = _within(self.try_seconds, lambda: self._post(prompt))
                return self._without_key(_content(data, self.url))
            except _Retry as problem:
                wait = min(max(pause, problem.seconds), LONGEST_WAIT_SECONDS)
                if tries == TRIES or time.monotonic() - began + wait > self.question_seconds:
                    raise ModelError(
                        f"{self.url}: {problem}, {tries} time{'s' * (tries > 1)}; "
                        "verdicts so far are saved, start again to go on"
                    ) from None
                self.wait(wait)
                pause *= 2
        raise AssertionError("the last try returns or raises")

    def _post(self, prompt: str) -> bytes:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
        }
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        end = time.monotonic() + self.try_seconds
        try:
            with _opener(self.url).open(request, timeout=self.try_seconds) as reply:
                return _read(reply, MOST_BYTES, end)
        except urllib.error.HTTPError as error:
            raise self._refusal(error, end) from None
        except (OSError, HTTPException) as error:  # no connection, one that broke, or a timeout
            reason = getattr(error, "reason", None) or error
            raise (
                _late(self.try_seconds)
                if isinstance(reason, TimeoutError)
                else _Retry(f"it cannot be reached ({reason})")
            ) from None

    def _refusal(self, error: urllib.error.HTTPError, end: float) -> Exception:
        """The error of a refusal: a _Retry for too many requests and server errors, else a ModelError."""
        answers = self._without_key(f"it answers {error.code} ({error.reason})")
        if error.code == 429 or error.code >= 500:
            return _Retry(answers, _seconds_after(error.headers.get("Retry-After") or ""))
        try:
            words = _read(error, MOST_REFUSAL_BYTES, end).decode(errors="replace")
        except (OSError, HTTPException):
            words = ""
        says = " ".join(self._without_key(words).split())[:300] or "nothing"
        hint = (
            f"set {KEY_VARIABLE} to the key it wants" if error.code in (401, 403) else "check --judge and --judge-model"
        )
        return ModelError(f"{self.url}: {answers}; {hint}. It says: {says}")

    def _without_key(self, text: str) -> str:
        """The text without the key, which servers and models may repeat."""
        return text.replace(self.key, "[the key]") if self.key and len(self.key) >= _SECRET_LETTERS else text


# ------------------------------------------------------------------------------------------- what the user gives


def check_address(url: str) -> None:
    """Raises SettingsError for a bad address. The message does not show an address with a password."""
    hint = "give one such as http://127.0.0.1:8080/v1"
    if re.search(r"//[^/]*@|[?#]", url):
        raise SettingsError(
            f"--judge: the address holds a name and password, a '?' or a '#'; {hint}, and a key in {KEY_VARIABLE}"
        )
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number, a host of impossible letters
        is_address = False
    # urlsplit drops control characters without a word, and a request's line is ASCII without spaces.
    if not is_address or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingsError(f"--judge {url}: is no address; {hint}")


def key_from_environment() -> str | None:
    """The key in LUTHIER_JUDGE_KEY without the white space around it, such as the newline of a file it was read from.

    Raises SettingsError, which does not show it, for a key that no HTTP header can carry.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SettingsError(
            f"{KEY_VARIABLE} holds a control character or a letter outside ASCII, which no key has; set it again"
        )
    return key or None


# -------------------------------------------------------------------------------------------------- one request


class _Retry(Exception):
    """A try failed and another may succeed, after so many seconds at the earliest."""

    def __init__(self, problem: str, seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.seconds = seconds


def _late(seconds: float) -> _Retry:
    return _Retry(f"it gave no whole answer within {seconds:g} s")


def _within(seconds: float, request: Callable[[], bytes]) -> bytes:
    """What `request` returns or raises, or _Retry after so many seconds.

    A socket's timeout counts from one byte to the next, and looking up a name has none: a server that sends a byte a
    minute would block for ever. A thread that hangs is left behind; it holds one socket and no lock.
    """
    outcomes: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            outcomes.put(request())
        except Exception as problem:
            outcomes.put(problem)

    threading.Thread(target=work, daemon=True, name="judge").start()
    try:
        outcome = outcomes.get(timeout=seconds)
    except queue.Empty:
        raise _late(seconds) from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _read(reply: HTTPResponse | urllib.error.HTTPError, most: int, end: float) -> bytes:
    """At most `most` bytes of a body, and one more where it is longer. Raises TimeoutError at the time `end`."""
    data = b""
    while len(data) <= most and (part := reply.read1(min(2**16, most + 1 - len(data)))):
        data += part
        if time.monotonic() > end:
            raise TimeoutError
    return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that no other address gets the key."""

    def redirect_request(self, *about: Any, **named: Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Without redirects, and without a proxy for this machine itself."""
    is_here = urlsplit(url).hostname in LOCAL_HOSTS
    return urllib.request.build_opener(_NoRedirect, *([urllib.request.ProxyHandler({})] if is_here else []))


def _seconds_after(retry_after: str) -> float:
    """Seconds from now that a Retry-After asks for: a number or a date (RFC 9110, section 10.2.3); else 0."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a time zone
        return 0.0


def _content(data: bytes, url: str) -> str:
    """The words of a chat completion; none where it holds no words. Raises ModelError for anything else."""
    if len(data) > MOST_BYTES:
        raise ModelError(f"{url}: its answer is longer than {MOST_BYTES >> 20} MiB; is this the right --judge-model?")
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ModelError(f"{url}: its answer is no chat completion; is this an OpenAI-compatible endpoint?") from None
    return _LONE_SURROGATE.sub("\ufffd", content) if isinstance(content, str) else ""
