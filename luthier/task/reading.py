"""Which words a task's metrics count, and whether they can read its texts; said before anything is trained.

references --reading_of--> Reading, for a new task       task --about_reading--> findings
                                                         task --refuse_unread--> TaskError
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from luthier.errors import SettingsError, TaskError
from luthier.metrics import ROUGE
from luthier.records import Example
from luthier.scoring.reasoning import holds_reasoning
from luthier.scoring.words import ENGLISH, Reading, lost, percent, reading_for, refuse_missing, unread
from luthier.task.findings import Finding, about
from luthier.task.spec import SPLITS, Split
from luthier.task.task import Task


def reading_of(parts: Mapping[Split, Sequence[Example]]) -> Reading:
    """How the references of a new task are read."""
    return reading_for([text for examples in parts.values() for e in examples for text in e.references])


def refuse_unread(task: Task) -> None:
    """Raises TaskError where the deciding metric cannot read the references, or needs a package that is not there."""
    if problem := _problem(task):
        raise TaskError(f"{task.folder}: {problem}")


def about_reading(task: Task) -> Iterator[Finding]:
    """What a word is, where it is not the default; a metric that cannot read the texts; reasoning blocks."""
    if task.labels:
        return
    reading, texts = task.reading, _references(task)
    if reading != ENGLISH:
        yield Finding(
            "note",
            f"words are read as {reading.words} (decide.words), by ROUGE, lengths, copying and limits on length; "
            f"BLEU's tokenizer is {reading.bleu} (decide.bleu)",
            task.file,
        )
    if problem := _problem(task):
        yield Finding("error", f"{task.file}, decide.metric: {problem}", task.file)
    deciding = task.spec.decide.metric
    for metric in ("bleu",) if deciding in ROUGE else (ROUGE[0], "bleu"):
        if metric != deciding and (problem := unread(metric, reading, texts)):
            yield Finding("warning", f"{task.file}: {problem}", task.file)
    if reading.words == "ascii" and not _problem(task) and (share := lost(texts, "ascii")):
        said = f"{percent(share)} of the letters of the references stand in words that ROUGE does not read"
        yield Finding("note", f'{said} (decide.words = "ascii")', task.file)
    if reading.reasoning == "keep":
        for split in SPLITS:
            if held := [(e.row, "") for e in task.split(split) if any(map(holds_reasoning, e.references))]:
                problem = (
                    "the reference holds a reasoning block, which counts as part of it; take it out of the data, or "
                    "let answers be judged without theirs (answer.reasoning)"
                )
                yield about("warning", task, split, held, problem)


def _problem(task: Task) -> str:
    if task.labels:
        return ""
    try:
        refuse_missing(task.reading.bleu)
    except SettingsError as error:
        return str(error)
    return unread(task.spec.decide.metric, task.reading, _references(task))


def _references(task: Task) -> list[str]:
    return [text for split in SPLITS for example in task.split(split) for text in example.references]
