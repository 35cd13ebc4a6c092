"""One model behind an OpenAI-compatible address: asks it a question and returns its reply, or says why there is none.

Nothing here knows of votes. The key, if one is needed, comes from the environment variable LUTHIER_JUDGE_KEY, and no
file, message or reply that is kept holds it.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from luthier.errors import ModelError, SettingsError

KEY_VARIABLE = "LUTHIER_JUDGE_KEY"
TIMEOUT_SECONDS, TRIES, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 120.0, 5, 1.0, 60.0
MOST_TOKENS, MOST_BYTES, MOST_REFUSAL_BYTES = 400, 2**20, 2**14
_SECRET_LETTERS = 8  # a shorter key is a placeholder, such as EMPTY, which a text may hold by chance


@dataclass(frozen=True)
class Endpoint:
    """Where the judge answers. `wait` sleeps between tries; a test gives one that does not."""

    url: str  # such as http://127.0.0.1:8080/v1
    model: str
    key: str | None = field(default=None, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    wait: Callable[[float], None] = time.sleep

    def ask(self, prompt: str) -> str:
        """The model's reply. Raises ModelError when the endpoint refuses, or does not answer after several tries."""
        pause = FIRST_WAIT_SECONDS
        for tries_left in reversed(range(TRIES)):
            try:
                return self._without_key(_content(self._post(prompt), self.url))
            except _Again as problem:
                if not tries_left:
                    raise ModelError(
                        f"{self.url}: {problem}, {TRIES} times; verdicts so far are saved, start again to go on"
                    ) from None
                self.wait(min(max(pause, problem.seconds), LONGEST_WAIT_SECONDS))
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
        where = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(where, json.dumps(body).encode(), headers)
        try:
            with _opener(self.url).open(request, timeout=self.timeout_seconds) as reply:
                return bytes(reply.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from None
        except (OSError, HTTPException) as error:  # no connection, one that broke, or a timeout
            raise _Again(f"it cannot be reached ({getattr(error, 'reason', None) or error})") from None

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        """Too many requests and the server's own faults pass; anything else will be refused again."""
        if error.code == 429 or error.code >= 500:
            after = error.headers.get("Retry-After") or ""
            return _Again(f"it answers {error.code} ({error.reason})", float(after) if after.isdecimal() else 0.0)
        words = self._without_key(error.read(MOST_REFUSAL_BYTES).decode(errors="replace"))
        says = " ".join(words.split())[:300] or "nothing"
        hint = (
            f"; set {KEY_VARIABLE} to the key it wants"
            if error.code in (401, 403)
            else "; check --judge and --judge-model"
        )
        return ModelError(f"{self.url}: it answers {error.code} ({error.reason}){hint}. It says: {says}")

    def _without_key(self, text: str) -> str:
        """Some servers repeat the key that they refuse, and a model may repeat what it was sent."""
        return text.replace(self.key, "[the key]") if self.key and len(self.key) >= _SECRET_LETTERS else text


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


class _Again(Exception):
    """A try that may succeed later, and after how many seconds at the earliest."""

    def __init__(self, problem: str, seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.seconds = seconds


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address is not the one that was named, and must not be sent the key."""

    def redirect_request(self, *about: Any, **named: Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Without redirects, and without a proxy for this machine itself."""
    here = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    return urllib.request.build_opener(_NoRedirect, *([urllib.request.ProxyHandler({})] if here else []))


def _content(data: bytes, url: str) -> str:
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        raise ModelError(f"{url}: its answer is no chat completion; is this an OpenAI-compatible endpoint?") from None
    return content if isinstance(content, str) else ""
