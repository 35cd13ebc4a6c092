"""Checks of a task before a study: Task -> Findings.

    without a model   rows, what reading changed, empty and repeated rows, leaks between splits, one-word references
    with a model      lengths, control tokens and end tokens under its tokenizer (check_tokens.py)

An error is something that a study refuses or leaves out. A warning changes what its numbers mean. A note is a fact.
Rows with the same problem give one finding, which names the first rows and counts the others. Checks change nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from luthier.records import Example
from luthier.scoring.labels import prefixes
from luthier.scoring.words import length
from luthier.task.check_tokens import TokenCheck, Tokenizing
from luthier.task.examples import unit_of
from luthier.task.findings import LEVELS, NAMED, Finding, Level, about
from luthier.task.reading import about_reading
from luthier.task.spec import SPLITS, Split
from luthier.task.task import Task


def check_task(task: Task, model: Tokenizing | None = None, *, answer_room: int | None = None) -> list[Finding]:
    """All findings about a task, errors first; with a `model` also about its tokens.

    `answer_room` is the number of tokens that an answer needs in the context window; by default max_new_tokens.
    """
    findings = [
        *_rows(task),
        *_changed(task),
        *_reading(task),
        *about_reading(task),
        *_empty(task),
        *_repeated(task),
        *_leaks(task),
        *(_classes(task) if task.labels else _one_word(task)),
    ]
    if model is not None:
        room = task.spec.answer.max_new_tokens if answer_room is None else answer_room
        findings += TokenCheck(task, model, room).findings()
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def _count(number: int, what: str = "row") -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _rows_where(
    task: Task, level: Level, problem: str, holds: Callable[[Example], bool], splits: Sequence[Split] = SPLITS
) -> Iterator[Finding]:
    """At most one finding a split: the rows for which `holds`."""
    for split in splits:
        if named := [(example.row, "") for example in task.split(split) if holds(example)]:
            yield about(level, task, split, named, problem)


def _rows(task: Task) -> Iterator[Finding]:
    for split in SPLITS:
        examples, name = task.split(split), task.files[split].name
        units = len({example.unit for example in examples})
        groups = f" in {units} independent units" if units < len(examples) else ""
        yield Finding("note", f"{split}: {_count(len(examples))}{groups}, from {name}", name)


def _changed(task: Task) -> Iterator[Finding]:
    """A train file that changed after dev and test were drawn from it: the same ids may be other rows."""
    if task.changed is None or task.spec.data is None:
        return
    name = task.files["train"].name
    moved = (
        "its ids keep dev and test as they were drawn, and new rows are train"
        if task.spec.data.columns.id
        else "its rows are numbered, so a row added or removed in their midst moves others between the splits"
    )
    mend = f'init again, or, where no row moved, write "train_sha256": "{task.changed}" in {task.spec.data.splits}'
    yield Finding("warning", f"{name} has changed since dev and test were drawn from it: {moved}; {mend}", name)


def _reading(task: Task) -> Iterator[Finding]:
    """What reading found and changed, and words that came spoiled."""
    for notes in task.notes:
        row = next(iter((*notes.control_rows, *notes.blank_references)), None)
        warnings = notes.warnings()
        yield from (Finding("note", said, notes.file, row) for said in notes.sentences() if said not in warnings)
        yield from (Finding("warning", said, notes.file, notes.spoiled_rows[0]) for said in warnings)
    yield from (Finding("note", sentence, task.file) for sentence in task.label_notes)


def _empty(task: Task) -> Iterator[Finding]:
    yield from _rows_where(
        task, "error", "the input is empty; write it or remove the row", lambda e: not e.input.strip()
    )
    yield from _rows_where(
        task, "error", "the reference is empty; write one or remove the row", lambda e: not e.references
    )


def _one_word(task: Task) -> Iterator[Finding]:
    problem = "the reference is a single word, for which a metric of overlap is almost always 0 or 1"
    words = task.reading.words
    yield from _rows_where(task, "note", problem, lambda e: any(length(r, words) == 1 for r in e.references))


def _classes(task: Task) -> Iterator[Finding]:
    """How many rows each label has, and words that an answer could confuse; the rest load_task has refused."""
    for split in SPLITS:
        counts = Counter(example.references[0] for example in task.split(split))
        rows = ", ".join(f"{label} {counts[label]}" for label in task.labels)
        yield Finding("note", f"{split}: rows by label: {rows}", task.files[split].name)
    folds = task.label_set.folds if task.label_set else ()
    for short, long in prefixes(task.labels, folds)[:NAMED]:
        problem = f"the word '{short}' begins the word '{long}', so a text that is searched for labels may mean either"
        yield Finding("warning", f"{task.file}, classes.words: {problem}; choose other words", task.file)


def _repeated(task: Task) -> Iterator[Finding]:
    """Rows that repeat an earlier row's input: a note if a cluster column groups them, else a warning."""
    for split in SPLITS:
        first: dict[str, Example] = {}
        pairs = []
        for example in task.split(split):
            earlier = first.setdefault(unit_of(example.input), example)
            if earlier is not example and example.input.strip():
                pairs.append((example, earlier))
        for meant in (False, True):
            if some := [pair for pair in pairs if _grouped(*pair) is meant]:
                yield _repetition(task, split, some, meant)


def _grouped(example: Example, earlier: Example) -> bool:
    """Whether a cluster, and not the equal input alone, makes the two rows one unit."""
    return example.unit == earlier.unit != unit_of(example.input)


def _repetition(task: Task, split: Split, pairs: Sequence[tuple[Example, Example]], meant: bool) -> Finding:
    named = [(example.row, f" (= row {earlier.row})") for example, earlier in pairs]
    conflicts = sum(example.references != earlier.references for example, earlier in pairs)
    other = f", {conflicts} with another reference" if conflicts else ""
    advice = (
        "their cluster keeps them together" if meant else "keep one, or name a cluster column if they belong together"
    )
    problem = f"the input is that of an earlier row ({_count(len(pairs))}{other}); {advice}"
    return about("note" if meant else "warning", task, split, named, problem)


def _leaks(task: Task) -> Iterator[Finding]:
    """Rows whose unit or input another split has too, so that their scores are too high.

    Real data has some, so it is a warning; an error where most of the test split is in train.
    """
    ways: tuple[tuple[Split, Split], ...] = (("train", "test"), ("train", "dev"), ("dev", "test"))
    for seen, held in ways:
        where: dict[str, Example] = {}
        for example in task.split(seen):
            for key in _keys(example):
                where.setdefault(key, example)
        examples = task.split(held)
        pairs = [(e, where[shared[0]]) for e in examples if (shared := [key for key in _keys(e) if key in where])]
        if pairs:
            most = (seen, held) == ("train", "test") and 2 * len(pairs) > len(examples)
            origin = task.files[seen].name + " " if task.files[seen] != task.files[held] else ""
            named = [(example.row, f" (= {origin}row {other.row})") for example, other in pairs]
            problem = (
                f"the input or the cluster is also that of a {seen} row ({len(pairs)} of {_count(len(examples))}), so "
                f"{held} scores come out too high; remove them from one of the two"
            )
            yield about("error" if most else "warning", task, held, named, problem)


def _keys(example: Example) -> set[str]:
    return {example.unit, unit_of(example.input)} if example.input.strip() else set()


def check_between(
    trained: Mapping[str, Sequence[Example]], asked: Mapping[str, Mapping[str, Sequence[Example]]]
) -> dict[str, list[Finding]]:
    """task -> warnings about inputs of its dev and test that another task trains on, also with another question.

    trained: task -> its training examples; asked: task -> split -> its examples. One warning for each pair of tasks.
    """
    findings: dict[str, list[Finding]] = {task: [] for task in asked}
    for task, examples in trained.items():
        where = {unit_of(example.input): example for example in reversed(examples) if example.input.strip()}
        for other, splits in asked.items():
            pairs = [
                (split, example, where[key])
                for split, held in splits.items()
                for example in held
                if other != task and (key := unit_of(example.input)) in where
            ]
            if pairs:
                named = ", ".join(f"{split} '{e.id}' (= '{seen.id}')" for split, e, seen in pairs[:NAMED])
                more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
                of = sum(map(len, splits.values()))
                text = (
                    f"leak: {len(pairs)} of {of} dev and test inputs of {other} are trained on in {task}: "
                    f"{named}{more}; a model of both has read them before, so remove them from the train rows of {task}"
                )
                findings[other].append(Finding("warning", text))
    return findings
