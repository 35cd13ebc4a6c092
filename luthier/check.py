"""What is wrong, doubtful or worth knowing about a task, before an hour is spent on it: Task (and Model) -> Findings.

    without a model   rows, what reading changed, empty and repeated rows, leaks between splits, one-word references
    with a model      token lengths against the context window, what would be cut, control tokens, end tokens, shots

An error is what a study refuses or leaves out; a warning makes its numbers mean something else; a note is a fact.
Findings of one kind are one sentence that names the first rows and counts the others, and nothing is changed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from luthier.classes import prefixes
from luthier.data import unit_of
from luthier.errors import PromptError
from luthier.progress import Bar, bar
from luthier.prompt import Renderer, draw_shots
from luthier.records import Example, Prompt
from luthier.task import Task
from luthier.taskspec import BARE, SPLITS, Split

if TYPE_CHECKING:  # a model needs torch, and most checks need no model
    from luthier.model import Model

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
NAMED = 5  # rows of one kind that are named before the rest is counted
MOST_SHOTS = 64  # as many as few-shot prompting takes


@dataclass(frozen=True)
class Finding:
    """One sentence. `file` and `row` are the first place it speaks of, or None when it is about no row."""

    level: Level
    text: str
    file: str | None = None
    row: int | None = None


def check_task(task: Task, model: Model | None = None, *, answer_room: int | None = None) -> list[Finding]:
    """Everything there is to say about a task, errors first; with a `model`, about its tokens as well.

    `answer_room` is how many tokens of the context window an answer needs; by default the task's max_new_tokens.
    """
    findings = [
        *_rows(task),
        *_changed(task),
        *_reading(task),
        *_empty(task),
        *_repeated(task),
        *_leaks(task),
        *(_classes(task) if task.labels else _one_word(task)),
    ]
    if model is not None:
        room = task.spec.answer.max_new_tokens if answer_room is None else answer_room
        findings += _Tokens(task, model, room).findings()
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def _about(level: Level, task: Task, split: Split, named: Sequence[tuple[int, str]], problem: str) -> Finding:
    """One finding about rows of a split: (row, words that follow its number), ..."""
    path = task.files[split]
    file = path.name if path.stem == split else f"{path.name} ({split})"  # one file may hold several splits
    rows = [f"{row}{words}" for row, words in named[:NAMED]]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return Finding(
        level, f"{file}, row{'s' * (len(named) > 1)} {', '.join(rows)}{more}: {problem}", path.name, named[0][0]
    )


def _count(number: int, what: str = "row") -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _rows_where(
    task: Task, level: Level, problem: str, holds: Callable[[Example], bool], splits: Sequence[Split] = SPLITS
) -> Iterator[Finding]:
    """At most one finding a split: the rows for which `holds`."""
    for split in splits:
        if named := [(example.row, "") for example in task.split(split) if holds(example)]:
            yield _about(level, task, split, named, problem)


# ----------------------------------------------------------------------------------------------- without a model


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
    """What reading changed: control characters, line endings, blank references."""
    for notes in task.notes:
        row = next(iter((*notes.control_rows, *notes.blank_references)), None)
        yield from (Finding("note", sentence, notes.file, row) for sentence in notes.sentences())


def _empty(task: Task) -> Iterator[Finding]:
    yield from _rows_where(
        task, "error", "the input is empty; write it or remove the row", lambda e: not e.input.strip()
    )
    yield from _rows_where(
        task, "error", "the reference is empty; write one or remove the row", lambda e: not e.references
    )


def _one_word(task: Task) -> Iterator[Finding]:
    problem = "the reference is a single word, for which a metric of overlap is almost always 0 or 1"
    yield from _rows_where(task, "note", problem, lambda e: any(len(r.split()) == 1 for r in e.references))


def _classes(task: Task) -> Iterator[Finding]:
    """How many rows each label has, and words that an answer could confuse; the rest load_task has refused."""
    for split in SPLITS:
        counts = Counter(example.references[0] for example in task.split(split))
        rows = ", ".join(f"{label} {counts[label]}" for label in task.labels)
        yield Finding("note", f"{split}: rows by label: {rows}", task.files[split].name)
    for short, long in prefixes(task.labels)[:NAMED]:
        problem = f"the word '{short}' begins the word '{long}', so a text that is searched for labels may mean either"
        yield Finding("warning", f"{task.file}, classes.words: {problem}; choose other words", task.file)


def _repeated(task: Task) -> Iterator[Finding]:
    """Rows whose input an earlier row of the split has: meant where a cluster column says so, else doubtful."""
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
    return _about("note" if meant else "warning", task, split, named, problem)


def _leaks(task: Task) -> Iterator[Finding]:
    """Rows whose unit or input another split has too: what was seen in training, or tuned on, scores too well.

    Real data has some, so it is a warning, and an error where most of the test split is not new.
    """
    ways: tuple[tuple[Split, Split], ...] = (("train", "test"), ("train", "dev"), ("dev", "test"))
    for seen, held in ways:
        where: dict[str, Example] = {}
        for example in task.split(seen):
            for key in _keys(example):
                where.setdefault(key, example)
        examples = task.split(held)
        pairs = [(e, where[found[0]]) for e in examples if (found := [key for key in _keys(e) if key in where])]
        if pairs:
            most = (seen, held) == ("train", "test") and 2 * len(pairs) > len(examples)
            origin = task.files[seen].name + " " if task.files[seen] != task.files[held] else ""
            named = [(example.row, f" (= {origin}row {other.row})") for example, other in pairs]
            problem = (
                f"the input or the cluster is also that of a {seen} row ({len(pairs)} of {_count(len(examples))}), so "
                f"{held} scores come out too high; remove them from one of the two"
            )
            yield _about("error" if most else "warning", task, held, named, problem)


def _keys(example: Example) -> set[str]:
    return {example.unit, unit_of(example.input)} if example.input.strip() else set()


def check_between(
    trained: Mapping[str, Sequence[Example]], asked: Mapping[str, Mapping[str, Sequence[Example]]]
) -> dict[str, list[Finding]]:
    """task -> warnings about inputs of its dev and test that another task trains on, whatever is asked of them there.

    trained: task -> its training examples; asked: task -> split -> its examples. One warning for each pair of tasks.
    """
    found: dict[str, list[Finding]] = {task: [] for task in asked}
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
                found[other].append(Finding("warning", text))
    return found


# -------------------------------------------------------------------------------------------------- with a model


@dataclass(frozen=True)
class _Rendered:
    """An example as the model will read it, and the ids of its first reference."""

    example: Example
    prompt: Prompt
    target_ids: Sequence[int]


class _Tokens:
    """A task seen through one model's tokenizer, under the default template."""

    def __init__(self, task: Task, model: Model, room: int) -> None:
        self.task, self.model, self.room = task, model, room
        self.renderer: Renderer = model.renderer
        self.text = task.template(BARE if model.family == "encoder" else None)

    def findings(self) -> list[Finding]:
        """All of them; a template that cannot be rendered is said once and not once a row."""
        if token := self._spelled(self.text):
            name = self.task.spec.prompt.default
            return [Finding("error", f"the template '{name}' spells the model's control token '{token}'; change it")]
        found: list[Finding] = []
        rendered: dict[Split, list[_Rendered]] = {}
        with bar("check: tokens", sum(len(self.task.split(split)) for split in SPLITS), "rows") as progress:
            for split in SPLITS:
                found += self._control_tokens(split)
                rendered[split], refused = self._render(split, progress)
                found += refused
                if rendered[split]:
                    found += self._lengths(split, rendered[split])
        if self.model.family == "encoder":  # it writes nothing, and no shot stands in front of its input
            return found
        found += self._end_tokens(rendered)
        return found + list(self._shots(rendered["test"]))

    def _spelled(self, *texts: str) -> str | None:
        """The first control token that a text spells: it would end a turn in the middle of the text."""
        return next((token for token in self.renderer.control_tokens for text in texts if token in text), None)

    def _control_tokens(self, split: Split) -> Iterator[Finding]:
        rows = defaultdict(list)
        for example in self.task.split(split):
            if token := self._spelled(example.input, *example.references):
                rows[token].append((example.row, ""))
        for token, named in rows.items():
            problem = f"the text spells the model's control token '{token}'; replace it in the data"
            yield _about("error", self.task, split, named, problem)

    def _render(self, split: Split, progress: Bar) -> tuple[list[_Rendered], list[Finding]]:
        """Every row with an input, a reference and no control token, rendered as a study will; and the refusals."""
        rendered: list[_Rendered] = []
        refused: dict[int, str] = {}
        for example in self.task.split(split):
            progress.advance()
            if not example.input.strip() or not example.references:
                continue
            if self._spelled(example.input, *example.references):
                continue
            try:
                rendered.append(self._rendered(example, train=split == "train"))
            except PromptError as error:
                refused[example.row] = str(error).partition(": ")[2] or str(error)  # without the row it names
        return rendered, [self._refusal(split, refused)] if refused else []

    def _refusal(self, split: Split, refused: dict[int, str]) -> Finding:
        """One error for all rows that cannot be rendered: their reason, or that of the first where they differ."""
        (row, reason), *others = refused.items()
        differ = any(other != reason for _, other in others)
        problem = f"cannot be rendered; for row {row}, {reason}" if differ else reason
        return _about("error", self.task, split, [(row, "") for row in refused], problem)

    def _rendered(self, example: Example, train: bool) -> _Rendered:
        prompt = self.renderer.prompt(example, self.text, room=0 if train else self.room, train=train)
        asks = not train and self.model.family != "encoder"
        target = self.renderer.target_ids(example.references[0]) if asks else prompt.target_ids
        return _Rendered(example, prompt, target or ())

    def _lengths(self, split: Split, rendered: Sequence[_Rendered]) -> Iterator[Finding]:
        prompts = _spread(len(r.prompt.prompt_ids) + r.prompt.tokens_cut for r in rendered)
        targets = _spread(len(r.target_ids) for r in rendered)
        window = f"the context window holds {self.renderer.window:,}"
        references = "" if self.model.family == "encoder" else f", references {targets}"
        yield Finding(
            "note",
            f"{split}: prompts have {prompts} tokens{references}; {window}",
            self.task.files[split].name,
        )
        if cut := [(r.example.row, f" ({r.prompt.tokens_cut} tokens)") for r in rendered if r.prompt.tokens_cut]:
            room = f" beside {self.room} tokens of answer" if split != "train" else ""
            yield _about("warning", self.task, split, cut, f"the end of the input is cut, because {window}{room}")
        if long := [(r.example.row, "") for r in rendered if len(r.target_ids) > self.room]:
            problem = f"the reference has more than the {self.room} tokens an answer may have (answer.max_new_tokens)"
            yield _about("warning" if split == "test" else "note", self.task, split, long, problem)

    def _end_tokens(self, rendered: dict[Split, list[_Rendered]]) -> list[Finding]:
        """Whether every target ends with the end token, and whether that token ends an answer."""
        end = self.renderer.end_id
        name = f"'{self.model.tokenizer.decode([end])}' (id {end})"
        if end not in self.model.end_ids:
            return [Finding("error", f"the trained end token {name} does not end an answer of {self.model.name}")]
        found = []
        for split, rows in rendered.items():
            if lacking := [(r.example.row, "") for r in rows if not r.target_ids or r.target_ids[-1] != end]:
                found.append(_about("error", self.task, split, lacking, f"the target lacks its end token {name}"))
        return found or [Finding("note", f"every target ends with the trained end token {name}")]

    def _shots(self, rendered: Sequence[_Rendered]) -> Iterator[Finding]:
        """How many solved examples fit in front of a typical and of the longest test input."""
        if not rendered:
            return
        ordered = sorted(rendered, key=lambda r: len(r.prompt.prompt_ids))
        usable = sum(bool(example.input.strip() and example.references) for example in self.task.train)
        most = min(MOST_SHOTS, usable)
        shots = draw_shots(self.task.train, most, self.task.spec.prompt.shot_seed)
        try:
            typical, longest = (
                len(self.renderer.prompt(r.example, self.text, shots, room=self.room).shots)
                for r in (ordered[len(ordered) // 2], ordered[-1])
            )
        except PromptError:  # a shot spells a control token, which is among the errors already
            return
        text = f"of {most} shots, {typical} fit in front of the median test input and {longest} in front of the longest"
        yield Finding("note", text)


def _spread(counts: Iterable[int]) -> str:
    """'9 to 120 (median 34)'."""
    ordered: list[Any] = sorted(counts)
    return f"{ordered[0]:,} to {ordered[-1]:,} (median {median(ordered):,.0f})"
