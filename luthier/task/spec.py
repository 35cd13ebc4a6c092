"""task.toml: its settings models, each key with one sentence, and the templates of a new task.

    TaskSpec
    ├── data: DataSpec        the user's own files, and their Columns; absent in a task in our own format
    ├── prompt: PromptSpec    templates and shots
    ├── classes: ClassesSpec  the labels of a classification; absent in a task whose answers are texts
    ├── answer: AnswerSpec    how long an answer may be
    └── decide: DecideSpec    the metric and the margin that settle a study

A new task.toml has each description above its key.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from luthier.defaults import ANSWER
from luthier.metrics import CAN_DECIDE, CLASS_METRICS, DECIDING, MARGIN, SMALLEST_MARGIN, TOO_SMALL
from luthier.scoring.labels import FOLDS, Fold, folded, untold
from luthier.scoring.words import Bleu, Reasoning, Words
from luthier.settings import WHERE_GIVEN, Seed, Settings
from luthier.task.examples import Columns
from luthier.task.opened import Format
from luthier.task.parts import INPUT, placeholders

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
LABELS = "labels"  # the placeholder of the labels' words
BARE = "bare"  # a template of every task: the input alone

TEMPLATES = {
    "plain": "Summarize the following conversation.\n\n{input}",
    "question": "{input}\n\nWhat was going on?",
    "brief": "Say in one or two sentences what this conversation is about and how it ends.\n\n{input}",
    "facts": "Read the conversation and report who wants what and what is agreed. Add nothing.\n\n{input}",
}
CLASS_TEMPLATES = {
    "plain": "{input}\n\nWhich of these labels fits the text: {labels}? Answer with the label alone.",
    "question": "Labels: {labels}.\n\n{input}\n\nLabel?",
}  # {labels} becomes the words of [classes.words]


class DataSpec(Settings):
    """[data]: the user's own files. Without this table a task reads train.jsonl, dev.jsonl and test.jsonl."""

    train: str = Field(description="The file with the training rows, and with every row that is split off from them.")
    dev: str | None = Field(default=None, description="The file with the dev rows, where settings are chosen.")
    test: str | None = Field(default=None, description="The file with the test rows, which decide once.")
    splits: str | None = Field(default=None, description="A JSON file that lists ids of the train file as dev or test.")
    columns: Columns = Field(description="Which column holds what; the same for every file.")
    format: Format | None = Field(
        default=None,
        description="How the files are written, where that is not as usual.",
        json_schema_extra=WHERE_GIVEN,
    )


class PromptSpec(Settings):
    """[prompt]: how an example becomes a prompt."""

    default: str = Field(default="plain", description="The template of an arm that names none.")
    templates: dict[str, str] = Field(default=TEMPLATES, description="Each holds {input} once; there is always 'bare'.")
    shot_seed: Seed = Field(default=0, description="The seed that draws the shots of few-shot arms from train.")

    @field_validator("templates")
    @classmethod
    def _usable(cls, templates: dict[str, str]) -> dict[str, str]:
        for name in templates:
            # Arms are written method:template@width, so a name must not hold these signs.
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
                raise ValueError(f"the template name '{name}' may hold letters, digits, - and _ only")
            if name == BARE:
                raise ValueError(f"the template '{BARE}' is always there and is the input alone; choose another name")
        return templates

    @model_validator(mode="after")
    def _default_is_there(self) -> PromptSpec:
        if self.default not in (names := [*self.templates, BARE]):
            raise ValueError(f"the default template '{self.default}' is not there; name one of {', '.join(names)}")
        return self


class ClassesSpec(Settings):
    """[classes]: an answer is one of these labels. Without this table answers are texts."""

    field: str | None = Field(
        default=None, description="The key of an example's meta that holds its label; none: its reference is the label."
    )
    fold: list[Fold] = Field(
        default=list(FOLDS),
        description="What makes no other label: how accents are composed, signs without width, blanks, case, "
        "typographic quotes and hyphens, .0 behind a whole number. Take out what does.",
    )
    words: dict[str, str] = Field(description="Each label, and the words that stand for it in prompts and answers.")

    @model_validator(mode="after")
    def _distinct(self) -> ClassesSpec:
        if len(self.words) < 2:
            raise ValueError(f"there are {len(self.words)} labels; a classification tells at least two apart")
        seen: dict[str, str] = {}
        for label, word in self.words.items():
            key = folded(word, self.fold)
            if not key.strip() or not folded(label, self.fold).strip():
                raise ValueError(f"the label '{label}' is called '{word}'; neither may be empty")
            if (other := seen.setdefault(key, label)) != label:
                raise ValueError(
                    f"the labels '{other}' and '{label}' are both called '{word}'; name them apart"
                    + ("" if self.words[other] == word else f" (classes.fold makes '{self.words[other]}' the same)")
                )
        if problem := untold(list(self.words), self.fold):
            raise ValueError(problem)
        return self


class AnswerSpec(Settings):
    """[answer]: how long an answer may be."""

    max_new_tokens: int = Field(
        default=ANSWER, gt=0, le=8192, description="An answer is stopped, and counted, after this many."
    )
    baseline_lines: int = Field(default=3, gt=0, description="The trivial baseline copies this many lines of input.")
    reasoning: Reasoning = Field(
        default="keep",
        description="Whether a reasoning block, <think>...</think>, is part of an answer; left out, it is counted.",
    )


class DecideSpec(Settings):
    """[decide]: what settles a study; declared before the test split is opened."""

    metric: str = Field(default=DECIDING, description=f"The metric that gives verdicts: {', '.join(CAN_DECIDE)}.")
    margin: float = Field(default=MARGIN, gt=0, lt=1, description="Arms closer than this, on 0 to 1, are equivalent.")
    references: Literal["mean", "max"] = Field(
        default="mean", description="ROUGE against several references: their mean; or max, where all have equally many."
    )
    words: Words = Field(
        default="ascii",
        description="What a word is for ROUGE and lengths: ascii (a-z, 0-9, as in published figures of English), "
        "unicode (any script), characters (scripts without blanks).",
    )
    bleu: Bleu = Field(default="13a", description="BLEU's tokenizer, by sacrebleu's name.")

    @field_validator("metric")
    @classmethod
    def _decides(cls, metric: str) -> str:
        if metric not in CAN_DECIDE:
            raise ValueError(f"'{metric}' is no metric that can decide; choose one of {', '.join(CAN_DECIDE)}")
        return metric

    @field_validator("margin")
    @classmethod
    def _can_be_shown(cls, margin: float) -> float:
        if margin < SMALLEST_MARGIN:
            raise ValueError(f"margin {margin} {TOO_SMALL}")
        return margin


class TaskSpec(Settings):
    """task.toml."""

    name: str = Field(min_length=1, description="What reports call the task.")
    description: str = Field(default="", description="What is asked, in one sentence.")
    licence: str | None = Field(default=None, description="The licence of the data.")
    data: DataSpec | None = Field(default=None, description="Your files; else train.jsonl, dev.jsonl and test.jsonl.")
    prompt: PromptSpec = Field(default=PromptSpec(), description="Templates and shots.")
    classes: ClassesSpec | None = Field(default=None, description="Labels, where answers are labels and not texts.")
    answer: AnswerSpec = Field(default=AnswerSpec(), description="The length of answers.")
    decide: DecideSpec = Field(default=DecideSpec(), description="The deciding metric and its margin.")

    @model_validator(mode="after")
    def _metric_fits(self) -> TaskSpec:
        fitting = [metric for metric in CAN_DECIDE if (metric in CLASS_METRICS) == (self.classes is not None)]
        if self.decide.metric not in fitting:
            answers = "texts" if self.classes is None else "labels"
            raise ValueError(
                f"decide.metric is '{self.decide.metric}' and answers are {answers}; choose one of {', '.join(fitting)}"
            )
        return self

    @model_validator(mode="after")
    def _placeholders_fit(self) -> TaskSpec:
        for name, text in self.prompt.templates.items():
            if problem := self._misplaced(text):
                raise ValueError(f"the template '{name}' {problem} (key 'prompt.templates')")
        return self

    def _misplaced(self, text: str) -> str | None:
        """What is wrong with a template's placeholders: each input column stands in it once, and no other name."""
        held = placeholders(self.with_input(text), [*self.inputs, LABELS])
        known = [*self.inputs, *([] if INPUT in self.inputs else [INPUT]), *([LABELS] if self.classes else [])]
        if unknown := [name for name in held if name not in known]:
            there = ", ".join(f"{{{name}}}" for name in known)
            return f"holds {{{unknown[0]}}}, which is nothing here; there are {there}"
        if len(self.inputs) == 1 or (INPUT in held and INPUT not in self.inputs):
            whole = [name for name in held if name != LABELS]
            return None if whole == [INPUT] else f"holds {{input}} {whole.count(INPUT)} times; write it exactly once"
        wrong = next((name for name in self.inputs if held.count(name) != 1), None)
        return wrong and f"holds {{{wrong}}} {held.count(wrong)} times; write each input column once"

    @property
    def inputs(self) -> list[str]:
        """The names that a template calls the input's columns by; that of a single one is `input`."""
        several = self.data is not None and len(self.data.columns.inputs) > 1
        return self.data.columns.inputs if self.data is not None and several else [INPUT]

    def with_input(self, text: str) -> str:
        """The template with {input} for the name of the only input column."""
        if self.data is None or len(self.inputs) > 1:
            return text
        return text.replace(f"{{{self.data.columns.inputs[0]}}}", f"{{{INPUT}}}")

    def files(self) -> dict[Split, str]:
        """The file that each split has to itself; a split without one is part of the train file."""
        if self.data is None:
            return {split: f"{split}.jsonl" for split in SPLITS}
        named: dict[Split, str | None] = {"train": self.data.train, "dev": self.data.dev, "test": self.data.test}
        return {split: name for split, name in named.items() if name is not None}


class HeldOut(Settings):
    """splits.json: ids of the train file that are dev or test, and the seed and the file that they were drawn from."""

    seed: Seed | None = Field(default=None, description="The seed of the draw; null when people chose.")
    dev: list[str] = Field(default=[], description="Ids that are dev.")
    test: list[str] = Field(default=[], description="Ids that are test.")
    train_sha256: str | None = Field(default=None, description="SHA-256 of the train file then; null: not watched.")
