"""The frozen records of a study: Example -> Prompt -> Answer -> Score, and Vote beside Score.

Each arrow is a function from records to records. `as_row` makes one JSON line of a record, and `read_lines_of`
(results/record.py) reads it back.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Turn = tuple[str, str]  # (role, words) of a chat; the role is "system", "user" or "assistant"
Verdict = Literal["better", "worse", "equivalent", "cannot tell"]  # of a against b
RARE = {"rare": True}  # metadata of a field that a line leaves out where it holds its default
# How results/record.py reads a line: text is no number, an unknown key is damage, NaN is no value.
STRICT: Any = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True)
class Example:
    """One input of a task with its reference answers. Its key in a study is `id`; its statistical unit is `unit`."""

    __pydantic_config__: ClassVar[Any] = STRICT

    id: str
    input: str
    references: tuple[str, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    unit: str = ""  # examples with the same unit (one dialogue, several rows) are resampled together
    row: int = 0  # its row in its file, for messages; the first data row is 1
    # Of an input of several parts, whose one text is `input`; lines are written without them where there are none.
    turns: tuple[Turn, ...] = field(default=(), metadata=RARE)  # a chat up to its last question
    fields: dict[str, str] = field(default_factory=dict, metadata=RARE)  # column -> its text

    def __post_init__(self) -> None:
        if not self.unit:
            object.__setattr__(self, "unit", self.id)

    @property
    def is_usable(self) -> bool:
        """Whether it has an input to ask and a reference to score the answer against."""
        return bool(self.input.strip() and self.references)


@dataclass(frozen=True)
class Prompt:
    """An example rendered for one model under one arm, as text and as tokens.

    A decoder reads `prompt_ids` before the answer; an encoder reads them as its input. The target is `target_ids`, with
    the end token, or for an encoder with a head `label`, the index of the label among the task's labels. Both are None
    when there is nothing to train on.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    id: str
    text: str
    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...] | None = None
    shots: tuple[str, ...] = ()  # ids of the shots that are in the prompt
    shots_dropped: int = 0  # shots left out for lack of context window
    tokens_cut: int = 0  # input tokens cut because the prompt alone did not fit
    label: int | None = None


@dataclass(frozen=True)
class Answer:
    """An arm's answer to an example.

    `stop` is 'end' (it stopped by itself), 'length' (it hit its limit), 'chosen' (a label of a classification, where
    `logprob` is that of the label among the labels) or 'given' (by another tool).
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    id: str
    text: str
    tokens: tuple[int, ...] = ()
    stop: str = "given"
    logprob: float | None = None  # sum of the tokens' log-probabilities in nats, before temperature and filters


@dataclass(frozen=True)
class Score:
    """The metrics of one answer. A value may be None with a reason: unknown is not zero.

    `statistics` keeps the additive counts of corpus metrics (BLEU, chrF), which are summed before they are formed.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    id: str
    unit: str
    values: dict[str, float | None]
    statistics: dict[str, list[int]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    references: str = "mean"  # how ROUGE against several references became one value: their mean, or their max
    reference_count: int = 1
    # How the texts were read (scoring/words.py); written where it is not the default.
    words: str = field(default="ascii", metadata=RARE)
    bleu: str = field(default="13a", metadata=RARE)
    reasoning: str = field(default="keep", metadata=RARE)


@dataclass(frozen=True)
class Vote:
    """One rater's verdict on two answers to one example. `first` and `second` are arms, in the order they were shown.

    `verdict` is 'first', 'second', 'tie' or 'both bad', and None where a machine gave none, with the reason.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    example: str
    first: str
    second: str
    rater: str
    verdict: str | None
    repeat: bool = False  # asked again with sides swapped, to see whether the rater agrees with themselves
    machine: bool = False
    consistent: bool = True  # False: a machine's verdict changed with the order; it counts as a tie
    reason: str = ""
    seconds: float | None = None
    replies: tuple[str, ...] = ()  # of a machine, word for word

    @property
    def winner(self) -> str | None:
        """The arm that was preferred, if one was."""
        return {"first": self.first, "second": self.second}.get(self.verdict or "")

    @property
    def item(self) -> tuple[str, str, str]:
        """What was judged, whatever the order: the example and both arms, sorted by name."""
        return (self.example, *sorted((self.first, self.second)))  # type: ignore[return-value]


def as_row(record: Any) -> dict[str, Any]:
    """The record as a plain dict in field order, ready for one JSON line. A rare field stands there where it says more
    than its default."""
    row = dataclasses.asdict(record)
    for one in dataclasses.fields(record):
        usual = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        if one.metadata == RARE and getattr(record, one.name) == usual:
            del row[one.name]
    return row
