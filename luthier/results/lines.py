"""The names of a study's line files, and the types of the lines of metrics.jsonl, likelihood.jsonl and log.jsonl.

The types of the other lines are in records.py: Example, Prompt, Answer, Score.
"""

from __future__ import annotations

import math

from luthier.results.record import Number, Part

EXAMPLES_FILE, LOG_FILE = "examples.jsonl", "log.jsonl"  # of a study
# Of an arm: its prompts, answers and scores on test, the same on dev, and the steps of its training.
PROMPTS_FILE, ANSWERS_FILE, SCORES_FILE = "prompts.jsonl", "answers.jsonl", "scores.jsonl"
DEV_ANSWERS_FILE, DEV_SCORES_FILE = "dev_answers.jsonl", "dev_scores.jsonl"
LIKELIHOOD_FILE, METRICS_FILE = "likelihood.jsonl", "metrics.jsonl"


class Step(Part):
    """metrics.jsonl: one optimizer step, and the dev metric where it was taken."""

    step: int  # from 1
    loss_sum: Number  # nats over the supervised tokens
    count: int  # supervised tokens
    tokens: int
    learning_rate: Number
    gradient_norm: Number
    seconds: Number
    dev: Number | None = None

    @property
    def loss(self) -> float:
        """Nats a supervised token."""
        return self.loss_sum / self.count


class ReferenceLikelihood(Part):
    """likelihood.jsonl: how likely one reference is under an arm. `nats` is None, with a reason, if it was not read."""

    id: str
    nats: Number | None  # summed over the tokens of the reference
    tokens: int
    characters: int
    reason: str | None = None

    @property
    def bits_per_character(self) -> float | None:
        """nats / ln 2 / characters; None where nothing was read."""
        if self.nats is None or not self.characters:
            return None
        return float(self.nats / math.log(2) / self.characters)


ARM_FAILED = "arm failed"  # an event: the arm ended in an error, so a later command may leave it out


class Event(Part):
    """log.jsonl: an event, written when its result is safely on disk."""

    time: str  # UTC, ISO 8601
    event: str
    arms: list[str] | None = None
    arm: str | None = None
    file: str | None = None
    step: int | None = None
    steps: int | None = None
    answers: int | None = None
    references: int | None = None
    trial: int | None = None
    round: int | None = None
    dev: Number | None = None
    seconds: Number | None = None
