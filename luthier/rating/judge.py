"""A model behind an OpenAI-compatible endpoint as a rater: the same items as people's, marked as a machine.

The judge reads each item twice, with the answers in both orders. If both replies prefer the same answer, it wins. If
the verdict changes with the order, the item is a tie, marked as inconsistent. If a reply does not end in one verdict
line, the item has no verdict, with the reason. The prompt is `judge.txt` in this folder.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template

from luthier.errors import SettingsError
from luthier.progress import bar, check_stop, stoppable
from luthier.rating.ballot import JUDGE, Ballot, Item, open_ballot
from luthier.rating.endpoint import Endpoint, check_address, key_from_environment
from luthier.records import Vote
from luthier.results.study_record import StudyRecord

_VERDICT = re.compile(r"VERDICT: (1|2|TIE|BOTH BAD)")
_MEANS = {"1": "first", "2": "second", "TIE": "tie", "BOTH BAD": "both bad"}
_SWAPPED = {"first": "second", "second": "first"}


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

    A judge that was stopped continues. Raises SettingsError for a bad address, model name or key, ModelError
    when the endpoint refuses or cannot be reached, and what `open_ballot` raises.
    """
    check_address(url)
    if not model.strip() or not model.isprintable():
        raise SettingsError("the judge needs the name of its model; give it with --judge-model")
    endpoint = Endpoint(url, model, key_from_environment())
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
    remaining = [item for item in items if item.key[:3] not in done]
    task = StudyRecord.read(ballot.folder).task.description or "answer the input"
    with stoppable(), bar(rater, len(items), "items", len(items) - len(remaining)) as progress:
        for item in remaining:
            vote = judged(ballot, item, endpoint, rater, task)
            ballot.write([vote])
            yield vote
            progress.advance(1, vote.verdict or vote.reason)
            check_stop()


def judged(ballot: Ballot, item: Item, endpoint: Endpoint, rater: str, task: str) -> Vote:
    """The machine's vote on one item: one verdict from two replies, with the answers in both orders."""
    text = ballot.examples[item.example].input
    first, second = (ballot.answers[arm][item.example] for arm in (item.first, item.second))
    began = time.monotonic()
    replies = tuple(endpoint.ask(_prompt(task, text, a, b)) for a, b in ((first, second), (second, first)))
    verdict, consistent, reason = combined(*replies)
    return Vote(
        item.example, item.first, item.second, rater, verdict, machine=True, consistent=consistent, reason=reason,
        seconds=round(time.monotonic() - began, 3), replies=replies,
    )  # fmt: skip


def combined(straight: str, swapped: str) -> tuple[str | None, bool, str]:
    """(verdict, consistent, reason) from the replies to both orders, as seen in the first order."""
    (one, why), (other, why_other) = verdict_in(straight), verdict_in(swapped)
    if one is None or other is None:
        return None, True, why or why_other
    if one == _SWAPPED.get(other, other):
        return one, True, ""
    return "tie", False, f"{one}, and with places changed {other}"


def _prompt(task: str, text: str, first: str, second: str) -> str:
    """The prompt of one question. Each value is substituted once, so a dollar sign in an answer stays."""
    template = Template((files("luthier.rating") / "judge.txt").read_text(encoding="utf-8"))
    return template.substitute(task=task, input=text, first=first, second=second)
