"""arm.json, training.json and tune/trials.jsonl: an arm, its training, and the trials of its tuning.

`settings`, `training` and `generation` stay tables of plain values: the models that own them are those of the methods
(adapt/), of the loop (training/) and of the generator (decoding/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from luthier.records import STRICT
from luthier.results.record import Number, Part, Record, SettingsTable

TRIALS_FILE = "trials.jsonl"  # in an arm's tune/
BASELINE = "baseline"  # how an arm without a model answers
REMEDY = "remove the arm's folder and start the study again"


@dataclass(frozen=True)
class Trial:
    """One short training: a line of trials.jsonl. `dev` is None, with the reason, when the training failed."""

    __pydantic_config__: ClassVar[Any] = STRICT

    trial: int
    round: int
    settings: SettingsTable
    passes: float
    steps: int = 0
    train_tokens: int = 0
    supervised_tokens: int = 0
    dev: float | None = None
    reason: str | None = None


class BaseWidth(Record):
    """base-width.json, beside an adapter: the width of the frozen base that it was trained on."""

    FILE: ClassVar[str] = "base-width.json"
    REMEDY: ClassVar[str] = REMEDY

    width: Literal["nf4", "int4", "int8"]


class TrainingCounts(Part):
    """Counts of one training; equal between two runs."""

    trainable: int  # trained parameters
    parameters: int
    train_examples: int
    train_prompts_cut: int
    train_tokens: int
    supervised_tokens: int
    passes: Number  # over the training examples
    steps: int
    best_step: int
    best_dev: Number | None
    replayed: int = 0  # general rows among those that were trained on; given where there are any


class TrainingRecord(TrainingCounts, Record):
    """training.json: an arm's own training. It is written last, so its presence means that the weights are complete."""

    FILE: ClassVar[str] = "training.json"
    REMEDY: ClassVar[str] = REMEDY

    saved_bytes: int  # of what the method saves, without the base


class Weight(Part):
    """Size of the model that answers; ratios are to two bytes for each weight."""

    linear_bytes: int
    linear_weights: int
    kept_weights: int
    bytes: int
    weights: int
    embedding: str
    linear_ratio: Number
    ratio: Number
    width: str
    file_bytes: int  # on disk, with everything that answering needs


class Stops(Part):
    """How many answers ended in which way."""

    end: int
    length: int
    chosen: int
    given: int


class ArmCounts(Part):
    """Counts of an arm: of its training where it has one, of its prompts where it asks a model, of its answers."""

    trainable: int | None = None
    parameters: int | None = None
    train_examples: int | None = None
    train_prompts_cut: int | None = None
    train_tokens: int | None = None
    supervised_tokens: int | None = None
    passes: Number | None = None
    steps: int | None = None
    best_step: int | None = None
    best_dev: Number | None = None
    replayed: int = 0
    saved_bytes: int | None = None
    prompt_tokens_mean: Number | None = None  # over the test prompts
    prompts_cut: int | None = None
    tokens_cut: int | None = None
    shots_dropped: int | None = None
    weight: Weight | None = None
    stopped: Stops
    empty: int
    reasoning: int = 0  # answers with a reasoning block; not given where none has one
    sequences: int = 1  # written for each answer, by beams or samples; not given where it is one


class TuningResult(Part):
    """Counts and choice of tuning; only `trials`, which is 0, where there was nothing to choose."""

    trials: int
    rounds: int | None = None
    trainings: int | None = None
    failed: int | None = None
    steps: int | None = None
    train_tokens: int | None = None
    supervised_tokens: int | None = None
    dev_answers: int | None = None
    own: SettingsTable | None = None  # the arm's settings as they were given
    chosen: SettingsTable | None = None
    metric: str | None = None
    dev: Number | None = None


class LengthChoice(Part):
    """The limit on new tokens, how it was chosen, and the dev metric at each limit that was tried."""

    chosen: int
    by: Literal["given", "labels", "chosen", "dev"]  # chosen: among several answers, whose limit is the largest
    dev: dict[str, Number]

    @property
    def by_limit(self) -> dict[int, Number]:
        return {int(limit): value for limit, value in self.dev.items()}


class DevValue(Part):
    """The deciding metric on dev at the chosen limit."""

    metric: str
    value: Number
    n: int


class ArmRecord(Record):
    """arm.json: a finished arm."""

    FILE: ClassVar[str] = "arm.json"
    REMEDY: ClassVar[str] = REMEDY

    name: str
    method: str
    summary: str
    model: str | None  # None: the arm uses no model
    answers_by: Literal["generation", "likelihood", "head", "baseline"]
    template: str | None
    settings: SettingsTable
    training: SettingsTable | None
    trained_on: str | None = None  # only of an arm whose weights come from another training
    scale: Number | None = None  # only of an arm that uses a part of its training, or more than it
    generation: SettingsTable | None
    width: str | None
    counts: ArmCounts
    status: Literal["done"]
    tuning: TuningResult | None
    length: LengthChoice | None
    dev: DevValue | None

    @property
    def asks_model(self) -> bool:
        return self.answers_by != BASELINE

    @property
    def is_trained(self) -> bool:
        return bool(self.training)


def ships_base(arms: Mapping[str, ArmRecord]) -> bool:
    """Whether arms have different bases, or bases of different widths."""
    return len({(arm.model, arm.width) for arm in arms.values() if arm.model}) > 1


def bytes_to_ship(arms: Mapping[str, ArmRecord]) -> dict[str, int]:
    """arm -> bytes to ship: what the arm saved, without the base.

    Where `ships_base`, the base counts too: arms then need different bases, and an arm made narrow is a whole model.
    """
    whole = ships_base(arms)

    def shipped(counts: ArmCounts) -> int:
        if whole:
            return counts.weight.file_bytes if counts.weight else 0
        return counts.saved_bytes or 0

    return {name: shipped(arm.counts) for name, arm in arms.items()}
