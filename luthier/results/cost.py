"""cost.json: seconds, tokens and peak memory of every arm, over all runs of a study."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, ModelWrapValidatorHandler, SerializerFunctionWrapHandler, model_serializer, model_validator

from luthier.results.record import Number, Part, Record


class ArmCost(Part):
    """Seconds, tokens and peaks of one arm, or of one of its further seeds; a key is absent where nothing was spent.

    Keys stand in the order in which they were first spent, which differs when a study was interrupted. A row is written
    in the order in which it was given.
    """

    domain_seconds: Number = 0  # finished steps of further pretraining; of the arm that ran first
    domain_read_seconds: Number = 0  # reading texts before and after it
    tune_seconds: Number = 0  # training of trials
    tune_evaluate_seconds: Number = 0  # dev answers of trials
    train_seconds: Number = 0  # finished steps of the arm's own training
    evaluate_seconds: Number = 0  # dev answers on the way
    dev_seconds: Number = 0  # dev answers of the finished arm, which choose the length
    answer_seconds: Number = 0  # test answers
    likelihood_seconds: Number = 0
    score_seconds: Number = 0
    new_tokens: int = 0  # written in `dev_seconds` and `answer_seconds`
    peak_bytes: int = 0  # most that the process held while training and scoring
    answer_peak_bytes: int = 0  # most that it held while answering

    _order: tuple[str, ...] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _remember_order(cls, given: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        made = make(given)
        if isinstance(given, dict):
            made._order = tuple(given)
        return made

    @model_serializer(mode="wrap")
    def _in_order(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        row = write(self)
        return {key: row[key] for key in self._order}

    def with_more(self, spent: dict[str, Number]) -> ArmCost:
        """The row with seconds and tokens added; of peaks it keeps the higher one."""
        row = self.as_json()
        for key, value in spent.items():
            is_peak = key.endswith("_bytes")
            row[key] = max(row.get(key, 0), value) if is_peak else round(row.get(key, 0) + value, 3)
        return ArmCost(**row)

    @property
    def known_seconds(self) -> dict[str, Number]:
        """The keys of seconds that were spent, with their values."""
        return {key: value for key, value in self.as_json().items() if key.endswith("_seconds")}

    @property
    def seconds(self) -> Number:
        """All seconds: tuning, training, answering, likelihood and scoring."""
        return sum(self.known_seconds.values())

    @property
    def seconds_untuned(self) -> Number:
        """All seconds without tuning, which runs only under the study's own seed."""
        return sum(value for key, value in self.known_seconds.items() if not key.startswith("tune_"))

    @property
    def minutes(self) -> float | None:
        """All minutes; None where nothing was timed."""
        return self.seconds / 60 if self.known_seconds else None

    @property
    def train_minutes(self) -> float | None:
        """Minutes of the arm's own training, its dev answers left out; None for an arm that was not trained here."""
        return self._minutes("train_seconds")

    @property
    def domain_minutes(self) -> float | None:
        """Minutes of further pretraining; None where another arm ran it first."""
        return self._minutes("domain_seconds")

    @property
    def fit_minutes(self) -> float | None:
        """Minutes of the arm's own training, its dev answers on the way included."""
        return self._minutes("train_seconds", "evaluate_seconds")

    @property
    def tune_minutes(self) -> float | None:
        """Minutes of all trials, their dev answers included; None for an arm that was not tuned."""
        return self._minutes("tune_seconds", "tune_evaluate_seconds")

    @property
    def evaluate_minutes(self) -> float | None:
        """Minutes of dev answers on the way of the arm's own training."""
        return self._minutes("evaluate_seconds")

    @property
    def dev_minutes(self) -> float | None:
        """Minutes of all dev answers but those of trials: on the way, and of the finished arm."""
        return self._minutes("evaluate_seconds", "dev_seconds")

    @property
    def answer_minutes(self) -> float | None:
        """Minutes of test answers."""
        return self._minutes("answer_seconds")

    @property
    def known_new_tokens(self) -> int | None:
        """New tokens; None for an arm that was not asked."""
        return self.new_tokens if "new_tokens" in self.model_fields_set else None

    @property
    def answering_seconds(self) -> Number:
        """Seconds of answering dev and test, in which `new_tokens` were written."""
        return self.answer_seconds + self.dev_seconds

    @property
    def tokens_per_second(self) -> float | None:
        """New tokens a second while answering, the reading of the prompts included."""
        return self.new_tokens / self.answering_seconds if self.answering_seconds else None

    def _minutes(self, *keys: str) -> float | None:
        seconds = [value for key, value in self.known_seconds.items() if key in keys]
        return sum(seconds) / 60 if seconds else None


class Cost(Record):
    """The rows of all arms, and the sum of their seconds."""

    FILE: ClassVar[str] = "cost.json"
    REMEDY: ClassVar[str] = "remove the file, and the study goes on without the seconds that were counted"

    seconds: Number = 0.0
    arms: dict[str, ArmCost] = Field(default={})

    def of(self, arm: str) -> ArmCost:
        """The row of an arm, or of `arm/seed-K`; an empty one where nothing was spent."""
        return self.arms.get(arm, ArmCost())

    def spent(self, arm: str, **more: Number) -> Cost:
        """The record with seconds and tokens added to an arm's row; of peaks it keeps the higher one."""
        arms = {**self.arms, arm: self.of(arm).with_more(more)}
        return Cost(
            seconds=round(sum(value for row in arms.values() for value in row.known_seconds.values()), 3), arms=arms
        )
