"""How many of an arm's measured answers its server gives: what rounding does in the batches in which it is asked.

In fp32 all of them. In bf16 an answer may round otherwise among others than it did in the study, here as on every
server; this counts how often that happens on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from luthier.decoding.answers import choose_labels
from luthier.decoding.generate import fold
from luthier.decoding.requests import Event, Request, seed_of
from luthier.errors import LuthierError, ModelError
from luthier.records import Answer, Prompt
from luthier.results.evidence import EVIDENCE_FOLDER, Evidence
from luthier.results.folder import StudyFolder
from luthier.results.lines import ANSWERS_FILE, PROMPTS_FILE
from luthier.results.record import read_lines_of
from luthier.results.shipped_note import ShippedNote
from luthier.serving.engine import Engine, Work
from luthier.serving.served import Served


@dataclass(frozen=True)
class Agreement:
    """Of `asked` test prompts, asked all at once, `same` were answered as in the study."""

    name: str
    precision: str
    asked: int
    same: int

    @property
    def sentence(self) -> str:
        return (
            f"{self.name}: {self.same} of {self.asked} test answers, asked all at once, are those that were measured "
            f"({self.precision})."
        )


def agreement(served: Served, engine: Engine) -> Agreement | None:
    """Asks as many of the arm's test prompts as `engine` answers at once, before anybody else asks.

    None for weights alone, and where the folder holds no test answers. Raises LuthierError for a prompt that cannot be
    answered, or files that are damaged.
    """
    place = None if served.raw else _measured_in(served)
    before = {} if place is None else {one.id: one for one in read_lines_of(Answer, place / ANSWERS_FILE)}
    prompts = [] if place is None else [p for p in read_lines_of(Prompt, place / PROMPTS_FILE) if p.id in before]
    if not prompts:
        return None
    again = _asked(served, engine, prompts[: engine.streams])
    same = sum(answer.text == before[id].text for id, answer in again.items())
    return Agreement(served.id, ShippedNote.read(served.arm.folder).base.precision, len(again), same)


def _measured_in(served: Served) -> Path:
    """The folder with the arm's test prompts and answers: the arm's own, or inside what `ship` made."""
    folder = served.arm.folder
    if not Evidence.is_in(folder):
        return folder
    return StudyFolder(folder / EVIDENCE_FOLDER).arm(Evidence.read(folder).arm)


def _asked(served: Served, engine: Engine, prompts: list[Prompt]) -> dict[str, Answer]:
    """Answers of the engine, all asked at once, by the id of their prompts."""
    heard: SimpleQueue[Any] = SimpleQueue()
    engine.submit([_work(served, prompt, heard) for prompt in prompts])
    events: list[Event] = []
    answers: dict[str, Answer] = {}
    open_ones = len(prompts)
    while open_ones:
        said = heard.get()
        if isinstance(said, LuthierError):
            raise said
        if isinstance(said, Exception):
            raise ModelError(f"{served.id}: the engine ended while it was asked the test again")
        if isinstance(said, Event):
            events.append(said)
            open_ones -= said.stop is not None
        else:
            answers |= {answer.id: answer for answer in said}
            open_ones -= 1
    return answers | {answer.id: answer for answer in fold(events, served.model.tokenizer)}


def _work(served: Served, prompt: Prompt, heard: SimpleQueue[Any]) -> Work:
    """The prompt as the study asked it."""
    arm = served.arm
    if not served.writes:
        return Work(served, heard.put, call=partial(choose_labels, served.model, [prompt]))
    limit, seed = arm.generation.max_new_tokens or 1, seed_of(arm.seed, prompt.id)
    return Work(served, heard.put, Request(prompt.id, prompt.prompt_ids, limit, arm.generation, seed))
