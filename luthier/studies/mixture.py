"""A mixture: which examples of several tasks train one model, how often each, and under which template.

    sizes --rates--> share of each task --quotas--> examples of each --draw--> MixtureSample, in the order of the draw

With n_i training examples of task i and a limit K, the shares are (Raffel et al. 2020, "Exploring the Limits of
Transfer Learning with a Unified Text-to-Text Transformer", section 3.5.2)

    proportional   r_i = min(n_i, K) / sum_j min(n_j, K)
    temperature    r_i^(1/T) / sum_j r_j^(1/T)      T = 1 is proportional; a large T comes close to equal
    equal          1 / number of tasks

The paper samples at random. Here the counts match the shares to within one example, so that chance does not decide
how many examples a task gets.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field, model_validator

from luthier.errors import SettingsError
from luthier.results.multitask_record import MixtureRecord, TaskShare
from luthier.settings import Settings

Kind = Literal["proportional", "equal", "temperature"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Mixture(Settings):
    """How tasks share one training."""

    kind: Kind = Field("proportional", description="how a task's share of the training follows from its size")
    temperature: float | None = Field(None, ge=1, le=1e6, description="T of a temperature mixture; 1 is proportional")
    cap: int | None = Field(None, ge=1, description="K: a task counts as at most this many examples; None: no limit")
    templates: int | None = Field(
        None, ge=1, description="templates of each task to train under, the answering one first; None: all"
    )

    @model_validator(mode="after")
    def _fits(self) -> Mixture:
        if (self.kind == "temperature") != (self.temperature is not None):
            raise ValueError("a temperature belongs to the mixture 'temperature', and to no other; give both or none")
        if self.kind == "equal" and self.cap is not None:
            raise ValueError("the mixture 'equal' looks at no sizes, so a cap changes nothing; leave it out")
        return self


@dataclass(frozen=True)
class MixtureSample:
    """One example of one task, under one of its templates. `repeat` counts its earlier draws."""

    task: str
    index: int
    template: int
    repeat: int


def rates(sizes: Mapping[str, int], mixture: Mixture) -> dict[str, float]:
    """task -> its share of the training. Shares sum to 1."""
    if mixture.kind == "equal":
        return {task: 1 / len(sizes) for task in sizes}
    capped = {task: min(size, mixture.cap or size) for task, size in sizes.items()}
    power = 1 / (mixture.temperature or 1.0)
    raised = {task: (count / sum(capped.values())) ** power for task, count in capped.items()}
    return {task: value / sum(raised.values()) for task, value in raised.items()}


def quotas(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """task -> its number of examples among `total`: the shares, rounded by the largest-remainder method.

    Raises SettingsError if a task would get none.
    """
    whole = {task: int(share * total) for task, share in shares.items()}
    # sorted() keeps ties in their order.
    by_remainder = sorted(shares, key=lambda task: whole[task] - shares[task] * total)
    for task in by_remainder[: total - sum(whole.values())]:
        whole[task] += 1
    if none := [task for task, count in whole.items() if count == 0]:
        raise SettingsError(
            f"the mixture draws no example of '{none[0]}' among {total}; raise the temperature, or train on more"
        )
    return whole


def draw(
    sizes: Mapping[str, int], templates: Mapping[str, int], mixture: Mixture, total: int, seed: int
) -> list[MixtureSample]:
    """`total` shuffled samples of the tasks. The seed alone decides them.

    sizes, templates: task -> its number of examples and of templates. A task draws each example once before it repeats
    any, and a repeated example has its next template (several templates a task: Wei et al. 2022, "Finetuned Language
    Models Are Zero-Shot Learners", section 2.1).
    """
    samples = [
        one
        for task, count in quotas(rates(sizes, mixture), total).items()
        for one in _of_task(task, sizes[task], templates[task], count, seed)
    ]
    random.Random(f"mixture-{seed}").shuffle(samples)
    return samples


def _of_task(task: str, size: int, templates: int, count: int, seed: int) -> list[MixtureSample]:
    rng = random.Random(f"mixture-{seed}-{task}")
    first = [rng.randrange(templates) for _ in range(size)]
    samples: list[MixtureSample] = []
    for repeat in range(-(-count // size)):
        order = list(range(size))
        rng.shuffle(order)
        samples += [MixtureSample(task, index, (first[index] + repeat) % templates, repeat) for index in order]
    return samples[:count]


def mixture_record(
    samples: Sequence[MixtureSample],
    tokens: Sequence[tuple[int, int]],
    sizes: Mapping[str, int],
    templates: Mapping[str, Sequence[str]],
    mixture: Mixture,
) -> MixtureRecord:
    """mixture.json: the examples, passes and tokens of each task, and its samples under each of its templates.

    tokens: (all, supervised) of each sample; templates: task -> the names of its templates.
    """
    shares = rates(sizes, mixture)
    task_shares: dict[str, TaskShare] = {}
    for task, size in sizes.items():
        mine = [(one, count) for one, count in zip(samples, tokens, strict=True) if one.task == task]
        by_template = Counter(one.template for one, _ in mine)
        task_shares[task] = TaskShare(
            available=size,
            rate=round(shares[task], 6),
            drawn=len(mine),
            distinct=len({one.index for one, _ in mine}),
            passes=round(len(mine) / size, 4),
            tokens=sum(all_tokens for _, (all_tokens, _) in mine),
            supervised_tokens=sum(supervised for _, (_, supervised) in mine),
            templates={name: by_template[number] for number, name in enumerate(templates[task])},
        )
    return MixtureRecord.of(task_shares)
