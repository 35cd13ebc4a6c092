"""A model behind an OpenAI-compatible endpoint as a rater: the same items as people's, marked as a machine.

Each item is asked twice, the answers changing places. Where both replies prefer the same answer it wins; where the
verdict turned with the places it is a tie, marked as inconsistent; where a reply holds no verdict in the form that was
asked for there is none, with the reason. Nothing is guessed. The words asked stand in `judge.txt` beside this file.

The key, if one is needed, comes from the environment variable LUTHIER_JUDGE_KEY and is stored nowhere.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

from luthier.errors import ModelError, SettingsError
from luthier.files import read_json
from luthier.progress import bar, check_stop, stoppable
from luthier.rating.ballot import JUDGE, Ballot, Item, open_ballot
from luthier.records import Vote

KEY = "LUTHIER_JUDGE_KEY"
TIMEOUT_SECONDS, TRIES, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 120.0, 5, 1.0, 60.0
MOST_TOKENS, MOST_BYTES = 400, 2**20
_VERDICT = re.compile(r"VERDICT: (1|2|TIE|BOTH BAD)")
_MEANS = {"1": "first", "2": "second", "TIE": "tie", "BOTH BAD": "both bad"}
_TURNED = {"first": "second", "second": "first"}


@dataclass(frozen=True)
class Endpoint:
    """Where the judge answers. `wait` sleeps between tries; a test gives one that does not."""

    url: str  # such as http://127.0.0.1:8080/v1
    model: str
    key: str | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    wait: Callable[[float], None] = time.sleep

    def ask(self, prompt: str) -> str:
        """The model's reply. Raises ModelError when the endpoint refuses, or does not answer after several tries."""
        pause = FIRST_WAIT_SECONDS
        for tries_left in reversed(range(TRIES)):
            try:
                return _content(self._post(prompt), self.url)
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
            raise _refusal(self.url, error) from None
        except (OSError, HTTPException) as error:  # no connection, one that broke, or a timeout
            raise _Again(f"it cannot be reached ({getattr(error, 'reason', None) or error})") from None


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


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """Too many requests and the server's own faults pass; anything else will be refused again."""
    if error.code == 429 or error.code >= 500:
        after = error.headers.get("Retry-After") or ""
        return _Again(f"it answers {error.code} ({error.reason})", float(after) if after.isdecimal() else 0.0)
    said = " ".join(error.read(300).decode(errors="replace").split())
    hint = f"; set {KEY} to the key it wants" if error.code in (401, 403) else "; check --judge and --judge-model"
    return ModelError(f"{url}: it answers {error.code} ({error.reason}){hint}. It says: {said or 'nothing'}")


def _content(data: bytes, url: str) -> str:
    try:
        content = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        raise ModelError(f"{url}: its answer is no chat completion; is this an OpenAI-compatible endpoint?") from None
    return content if isinstance(content, str) else ""


def verdict_in(reply: str) -> tuple[str | None, str]:
    """(verdict, '') of a reply whose last line is the verdict line; else (None, why not)."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    if not lines:
        return None, "the reply is empty"
    verdicts = [line for line in lines if _VERDICT.fullmatch(line)]
    if not verdicts:
        return None, "the reply has no verdict line"
    if len(verdicts) > 1:
        return None, "the reply has several verdict lines"
    if lines[-1] != verdicts[0]:
        return None, "the verdict line is not the last"
    return _MEANS[verdicts[0].removeprefix("VERDICT: ")], ""


def judge(
    folder: Path, url: str, model: str, *, arms: list[str] | None = None, dialogues: int | None = None
) -> dict[str, int]:
    """Lets a model judge all items of a study that it has not judged yet, and returns counts.

    Stopped and started again it goes on. Raises SettingsError for an address that is none, ModelError when the endpoint
    refuses or cannot be reached, and what `open_ballot` raises.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise SettingsError(f"--judge {url}: is no address; give one such as http://127.0.0.1:8080/v1")
    if not model.strip() or not model.isprintable():
        raise SettingsError("the judge needs the name of its model; give it with --judge-model")
    endpoint = Endpoint(url, model, os.environ.get(KEY) or None)
    ballot = open_ballot(folder, arms, dialogues)
    asked = list(_ask_all(ballot, endpoint))
    return {
        "asked": len(asked),
        "verdicts": sum(vote.verdict is not None for vote in asked),
        "inconsistent": sum(not vote.consistent for vote in asked),
    }


def _ask_all(ballot: Ballot, endpoint: Endpoint) -> Iterator[Vote]:
    rater = f"{JUDGE}{endpoint.model}"
    items = [item for item in ballot.order(rater) if not item.identical and not item.repeat]
    done = {vote.item for vote in ballot.votes() if vote.rater == rater}
    left = [item for item in items if item.key[:3] not in done]
    task = str(read_json(ballot.folder / "study.json")["task"].get("description") or "answer the input")
    with stoppable(), bar(rater, len(items), "items", len(items) - len(left)) as progress:
        for item in left:
            vote = judged(ballot, item, endpoint, rater, task)
            ballot.write([vote])
            yield vote
            progress.advance(1, vote.verdict or vote.reason)
            check_stop()


def judged(ballot: Ballot, item: Item, endpoint: Endpoint, rater: str, task: str) -> Vote:
    """The machine's vote on one item: two replies, the answers changing places, made into one verdict."""
    text = ballot.examples[item.example].input
    first, second = (ballot.answers[arm][item.example] for arm in (item.first, item.second))
    began = time.monotonic()
    replies = tuple(endpoint.ask(_prompt(task, text, a, b)) for a, b in ((first, second), (second, first)))
    verdict, consistent, reason = joined(*replies)
    return Vote(
        item.example, item.first, item.second, rater, verdict, machine=True, consistent=consistent, reason=reason,
        seconds=round(time.monotonic() - began, 3), replies=replies,
    )  # fmt: skip


def joined(straight: str, swapped: str) -> tuple[str | None, bool, str]:
    """(verdict, consistent, reason) from the replies to both orders, in the places of the first."""
    (one, why), (other, why_other) = verdict_in(straight), verdict_in(swapped)
    if one is None or other is None:
        return None, True, why or why_other
    if one == _TURNED.get(other, other):
        return one, True, ""
    return "tie", False, f"{one}, and with places changed {other}"


def _prompt(task: str, text: str, first: str, second: str) -> str:
    """Values are put in once: a dollar sign in an answer stays one."""
    template = Template((files("luthier.rating") / "judge.txt").read_text(encoding="utf-8"))
    return template.substitute(task=task, input=text, first=first, second=second)
