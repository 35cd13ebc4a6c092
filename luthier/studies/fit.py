"""Training one arm: a fresh base, the method applied to it, batches, and dev answers during training.

Every training of a study goes through `fit`: an arm's own, the same arm under another seed, and a short trial of other
settings. So trainings differ only in their Arm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import Tensor, nn

from luthier import machine
from luthier.arms.resolve import Arm, TrainedArm
from luthier.decoding.answers import asking
from luthier.errors import ModelError, SettingsError
from luthier.files import sha256_of_text
from luthier.metrics import DESCRIPTIVE, METRICS
from luthier.model.forward import collate
from luthier.model.model import Model, load, parameter_counts
from luthier.planning.budget import Kept
from luthier.planning.config import config_in
from luthier.planning.moving import moving
from luthier.planning.read import shape_from
from luthier.planning.shape import Shape
from luthier.planning.terms import Setting, kept_of
from luthier.progress import say
from luthier.records import Answer, Example, Prompt, Score
from luthier.results.arm_record import TrainingCounts
from luthier.results.domain_record import DomainRecord
from luthier.results.folder import StudyFolder
from luthier.results.names import DOMAIN
from luthier.scoring.score import corpus_value, score
from luthier.studies.remedies import Penalties, general_prompts
from luthier.task.task import Task
from luthier.training.batches import Batches, length_of
from luthier.training.loop import Trained, train
from luthier.training.masters import Masters
from luthier.training.memory import NO_BOUND, Bound, micro_tokens

MicroStep = Callable[[list[Prompt]], tuple[Any, int, int]]  # micro-batch -> loss, count, tokens


@dataclass(frozen=True)
class StudyContext:
    """What every arm of a study shares: task, examples, seed, base model, folder, and how much is tried."""

    task: Task
    train: Sequence[Example]
    dev: Sequence[Example]
    test: Sequence[Example]
    seed: int
    model_name: str
    precision: str
    folder: StudyFolder
    trials: int = 0  # configurations tried on dev for each trained arm
    likelihood: bool = False
    bound: Bound = NO_BOUND  # on the memory of the process
    trained: Mapping[str, Path] = field(default_factory=dict)  # arm -> the folder where it was trained already
    day: str | None = None  # the date that chat templates print; None: today's

    def scored(
        self, answers: Sequence[Answer], examples: Sequence[Example], metrics: Collection[str] = METRICS + DESCRIPTIVE
    ) -> list[Score]:
        """The scores of `answers` by the task's own rules, matched to `examples` by id."""
        labels, references = self.task.label_set or (), self.task.spec.decide.references
        return score(answers, examples, metrics, labels=labels, references=references, reading=self.task.reading)

    def base(self, arm: Arm) -> Model:
        """A fresh base model: the arm's own or the study's, after the further pretraining that the arm begins with. The
        seed starts an encoder's head."""
        name, labels = arm.model or self.model_name, self.task.labels
        model = load(name, precision=self.precision, labels=labels, seed=self.seed, day=self.day)
        if isinstance(arm, TrainedArm) and arm.domain is not None:
            return arm.domain.method.load(model, self.folder.arm(arm.name) / DOMAIN)
        return model


@dataclass(frozen=True)
class TrainingPlan:
    """The prompts of a training, rendered for the model to ask, and the dev metric (higher is better) that chooses its
    checkpoint."""

    prompts: Callable[[Model], Sequence[Prompt]]
    # (the model in training, the bound on memory) -> the metric; None: the last weights stay
    dev: Callable[[Model, Bound], float] | None
    dev_sha256: str  # of all that decides the dev metric


@dataclass(frozen=True)
class Fitted:
    """A trained module, what training did, and counts that are equal between two runs."""

    module: nn.Module
    trained: Trained
    counts: TrainingCounts


def dev_metric(context: StudyContext, answers: Sequence[Answer]) -> float:
    """The deciding metric over the dev answers. It chooses settings and checkpoints."""
    metric = context.task.spec.decide.metric
    scores = context.scored(answers, context.dev, [metric])
    if metric == "macro_f1":
        return corpus_value(
            metric, [sum(column) for column in zip(*(s.statistics[metric] for s in scores), strict=True)]
        )
    return fmean([value for s in scores if (value := s.values[metric]) is not None] or [0.0])


def own_plan(context: StudyContext, arm: Arm) -> TrainingPlan:
    """The study's own train and dev examples under the arm's template."""
    text = context.task.template(arm.template)
    return TrainingPlan(
        prompts=lambda asked: [asked.renderer.prompt(example, text, train=True) for example in context.train],
        dev=lambda asked, bound: ask_dev(context, arm, asked, bound),
        dev_sha256=dev_sha256(context, arm),
    )


def dev_sha256(context: StudyContext, arm: Arm) -> str:
    """One hash over what decides the dev metric of an arm: the rule, the template, and the dev examples."""
    spec = context.task.spec
    return sha256_of_text(
        spec.decide.model_dump_json(), spec.answer.model_dump_json(), *context.task.labels,
        context.task.template(arm.template), arm.generation.model_dump_json(), arm.answers_by,
        *(json.dumps([one.id, one.input, list(one.references), one.turns]) for one in context.dev),
    )  # fmt: skip


def _decided_by(context: StudyContext, arm: TrainedArm, model: Model, prompts: Sequence[Prompt], dev: str) -> str:
    """One hash over what decides a training: the base, the settings, every prompt with its target, and the metric."""
    begun = (DomainRecord.read(context.folder.arm(arm.name)).mark,) if arm.domain else ()
    return sha256_of_text(
        *begun, model.base_sha256, str(model.dtype), str(context.seed), arm.method.name, arm.settings.model_dump_json(),
        arm.training.model_dump_json(exclude={"checkpoint_seconds"}), dev,
        *(json.dumps([one.prompt_ids, one.target_ids, one.label]) for one in prompts),
    )  # fmt: skip


def fit(context: StudyContext, arm: TrainedArm, folder: Path, title: str, plan: TrainingPlan | None = None) -> Fitted:
    """Trains a fresh base as `arm` says, from `context.seed`. Checkpoint and metrics.jsonl lie in `folder`.

    Without a `plan` it learns from the study's own examples. The module holds the checkpoint with the best dev metric.
    Raises SettingsError when the loss is not finite.
    """
    model = context.base(arm)
    module = arm.method.apply(model, arm.settings, context.seed)
    # A learned prompt takes as much of the context window in training as in answering.
    plan = plan or own_plan(context, arm)
    asked = arm.method.answering(model, module)
    own = plan.prompts(asked)
    replayed = general_prompts(asked.renderer, arm.training, len(own), context.seed)
    prompts = [*own, *replayed]
    trainable, parameters = parameter_counts(module)
    say(f"  {trainable:,} of {parameters:,} parameters move ({trainable / parameters:.2%}); {len(prompts)} examples")
    passes = arm.training.passes(len(own))
    masters = Masters(module)
    penalties = Penalties.of(arm.training, masters, lambda: context.base(arm))
    bound = penalties.bound(context.bound, model.module)

    def forward(micro_batch: list[Prompt]) -> Tensor:
        by_row = replace(penalties, start=())  # what anchor holds does not grow with the rows
        return by_row.loss(module, micro_batch, collate(micro_batch, module, model.family))[0]

    batches = Batches(
        prompts,
        batch_size=arm.training.batch_size,
        micro_tokens=arm.training.micro_tokens
        or micro_tokens(module, forward, prompts, bound, planned_kept(context, model, arm), arm.training.batch_size),
        epochs=passes,
        seed=context.seed,
    )

    def step(micro_batch: list[Prompt]) -> tuple[Any, int, int]:
        batch = collate(micro_batch, module, model.family)
        loss, count = penalties.loss(module, micro_batch, batch)
        return loss, count, batch.tokens

    def evaluate(dev: Callable[[Model, Bound], float]) -> float:
        machine.give_back_freed_memory()
        metric = dev(arm.method.answering(model, module), bound)
        machine.give_back_freed_memory()
        return metric

    rates = arm.method.rates(arm.settings, module) if arm.method.rates else None
    trained = train(
        module, _making_room(step), batches, arm.training, folder, masters=masters,
        evaluate=partial(evaluate, plan.dev) if plan.dev else None, rates=rates, seed=context.seed, title=title,
        log=partial(context.folder.log, arm=arm.name),
        decided_by=_decided_by(context, arm, model, prompts, plan.dev_sha256),
    )  # fmt: skip
    counts = TrainingCounts(
        trainable=trainable,
        parameters=parameters,
        train_examples=len(own),
        train_prompts_cut=sum(p.tokens_cut > 0 for p in prompts),
        train_tokens=trained.tokens,
        supervised_tokens=trained.supervised,
        passes=passes,
        steps=trained.steps,
        best_step=trained.best_step,
        best_dev=trained.best_metric,
        **({"replayed": len(replayed)} if replayed else {}),
    )
    return Fitted(module, trained, counts)


def _making_room(step: MicroStep) -> MicroStep:
    """`step`, which hands freed memory back before rows that are longer than all so far.

    They do not fit into the holes that shorter rows left, so the heap would grow by them (docs/log.md).
    """
    longest = 0

    def with_room(micro_batch: list[Prompt]) -> tuple[Any, int, int]:
        nonlocal longest
        if longest < (row := max(map(length_of, micro_batch))):
            longest = row
            machine.give_back_freed_memory()
        return step(micro_batch)

    return with_room


def planned_shape(model: Model) -> Shape:
    """The shape of a base as a plan reads it. Raises ModelError for one that is not known."""
    return shape_from(config_in(model.folder, model.name), max(1, len(model.labels)))


def planned_kept(context: StudyContext, model: Model, arm: TrainedArm) -> Kept | None:
    """What a plan says that a forward pass keeps. None: nothing asks, or it cannot be planned."""
    if context.bound.bytes is None:
        return None
    try:
        shape = planned_shape(model)
        moves = moving(shape, arm.method.name, arm.settings, len(set(model.tokenizer.all_special_ids)))
    except (ModelError, SettingsError):
        return None
    setting = Setting(precision=context.precision, device=model.device.type, kl=arm.training.kl > 0)
    return kept_of(shape, moves, setting)


def ask_dev(context: StudyContext, arm: Arm, asked: Model, bound: Bound) -> float:
    """The dev metric of greedy answers of `asked`, at the arm's limit on new tokens, while it is in training."""
    limit = arm.generation.max_new_tokens or context.task.spec.answer.max_new_tokens
    text, room = context.task.template(arm.template), asked.renderer.room_for(arm.most_new_tokens(context.task))
    dev = [asked.renderer.prompt(example, text, room=room) for example in context.dev]
    asked_dev = asking(asked, dev, arm.answers_by, limit=limit, bound=bound)
    return dev_metric(context, [answer for batch in asked_dev.batches for answer in asked_dev.answer(batch)])
