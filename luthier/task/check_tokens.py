"""Checks of a task with one model's tokenizer: lengths, cuts, control tokens, end tokens, equal prompts, shots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

from luthier.errors import PromptError
from luthier.progress import Bar, bar
from luthier.records import Example, Prompt
from luthier.task.check_prompts import prompt_findings
from luthier.task.findings import Finding, about
from luthier.task.prompt import Renderer, draw_shots
from luthier.task.spec import BARE, SPLITS, Split
from luthier.task.task import Task

MOST_SHOTS = 64  # the most that few-shot prompting takes


class Tokenizing(Protocol):
    """What a check needs of a model, so that it needs no torch. A loaded Model has it."""

    @property
    def name(self) -> str: ...

    @property
    def end_ids(self) -> frozenset[int]: ...  # the tokens that end an answer

    @property
    def renderer(self) -> Renderer: ...


@dataclass(frozen=True)
class _Rendered:
    """An example as the model will read it, and the ids of its first reference."""

    example: Example
    prompt: Prompt
    target_ids: Sequence[int]


class TokenCheck:
    """The checks of a task with one model's tokenizer, under the default template."""

    def __init__(self, task: Task, model: Tokenizing, room: int) -> None:
        self.task, self.model, self.room = task, model, room
        self.renderer = model.renderer
        self.text = task.template(BARE if self.renderer.family == "encoder" else None)

    def findings(self) -> list[Finding]:
        """All findings. A template that cannot be rendered gives one finding, not one for each row."""
        if token := self.renderer.spelled(self.text):
            name = self.task.spec.prompt.default
            return [Finding("error", f"the template '{name}' spells the model's control token '{token}'; change it")]
        findings: list[Finding] = []
        rendered: dict[Split, list[_Rendered]] = {}
        with bar("check: tokens", sum(len(self.task.split(split)) for split in SPLITS), "rows") as progress:
            for split in SPLITS:
                findings += self._control_tokens(split)
                rendered[split], refused = self._render(split, progress)
                findings += refused
                if rendered[split]:
                    findings += self._lengths(split, rendered[split])
                    pairs = [(one.example, one.prompt) for one in rendered[split]]
                    findings += prompt_findings(self.task, split, pairs, self.renderer)
        if self.renderer.family == "encoder":  # it writes nothing, and no shot stands in front of its input
            return findings
        findings += self._end_tokens(rendered)
        return findings + list(self._shots(rendered["test"]))

    def _control_tokens(self, split: Split) -> Iterator[Finding]:
        rows = defaultdict(list)
        for example in self.task.split(split):
            if token := self.renderer.spelled(example.input, *example.references):
                rows[token].append((example.row, ""))
        for token, named in rows.items():
            problem = f"the text spells the model's control token '{token}'; replace it in the data"
            yield about("error", self.task, split, named, problem)

    def _render(self, split: Split, progress: Bar) -> tuple[list[_Rendered], list[Finding]]:
        """Every row with an input, a reference and no control token, rendered as a study will; and the refusals."""
        rendered: list[_Rendered] = []
        refused: dict[int, str] = {}
        for example in self.task.split(split):
            progress.advance()
            if not example.input.strip() or not example.references:
                continue
            if self.renderer.spelled(example.input, *example.references):
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
        return about("error", self.task, split, [(row, "") for row in refused], problem)

    def _rendered(self, example: Example, train: bool) -> _Rendered:
        prompt = self.renderer.prompt(example, self.text, room=0 if train else self.room, train=train)
        asks = not train and self.renderer.family != "encoder"
        target = self.renderer.target_ids(example.references[0]) if asks else prompt.target_ids
        return _Rendered(example, prompt, target or ())

    def _lengths(self, split: Split, rendered: Sequence[_Rendered]) -> Iterator[Finding]:
        prompts = _spread(len(r.prompt.prompt_ids) + r.prompt.tokens_cut for r in rendered)
        targets = _spread(len(r.target_ids) for r in rendered)
        window = f"the context window holds {self.renderer.window:,}"
        references = "" if self.renderer.family == "encoder" else f", references {targets}"
        yield Finding(
            "note",
            f"{split}: prompts have {prompts} tokens{references}; {window}",
            self.task.files[split].name,
        )
        if cut := [(r.example.row, f" ({r.prompt.tokens_cut} tokens)") for r in rendered if r.prompt.tokens_cut]:
            room = f" beside {self.room} tokens of answer" if split != "train" else ""
            yield about("warning", self.task, split, cut, f"the end of the input is cut, because {window}{room}")
        if long := [(r.example.row, "") for r in rendered if len(r.target_ids) > self.room]:
            problem = f"the reference has more than the {self.room} tokens an answer may have (answer.max_new_tokens)"
            yield about("warning" if split == "test" else "note", self.task, split, long, problem)

    def _end_tokens(self, rendered: dict[Split, list[_Rendered]]) -> list[Finding]:
        """Whether every target ends with the end token, and whether that token ends an answer."""
        end = self.renderer.end_id
        name = f"'{self.renderer.tokenizer.decode([end])}' (id {end})"
        if end not in self.model.end_ids:
            return [Finding("error", f"the trained end token {name} does not end an answer of {self.model.name}")]
        findings = []
        for split, rows in rendered.items():
            if lacking := [(r.example.row, "") for r in rows if not r.target_ids or r.target_ids[-1] != end]:
                findings.append(about("error", self.task, split, lacking, f"the target lacks its end token {name}"))
        return findings or [Finding("note", f"every target ends with the trained end token {name}")]

    def _shots(self, rendered: Sequence[_Rendered]) -> Iterator[Finding]:
        """How many solved examples fit in front of a typical and of the longest test input."""
        if not rendered:
            return
        ordered = sorted(rendered, key=lambda r: len(r.prompt.prompt_ids))
        usable = sum(example.is_usable for example in self.task.train)
        most = min(MOST_SHOTS, usable)
        shots = draw_shots(self.task.train, most, self.task.spec.prompt.shot_seed)
        try:
            typical, longest = (
                len(self.renderer.prompt(r.example, self.text, shots, room=self.room).shots)
                for r in (ordered[len(ordered) // 2], ordered[-1])
            )
        except PromptError as error:
            template = self.renderer.chat_template
            if template and template.file in str(error):
                yield Finding("error", f"no shot can stand in front of an input: {error}")
            return  # otherwise a shot spells a control token, which is among the errors already
        text = f"of {most} shots, {typical} fit in front of the median test input and {longest} in front of the longest"
        yield Finding("note", text)


def _spread(counts: Iterable[int]) -> str:
    """'9 to 120 (median 34)'."""
    ordered: list[Any] = sorted(counts)
    return f"{ordered[0]:,} to {ordered[-1]:,} (median {median(ordered):,.0f})"
