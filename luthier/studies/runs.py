"""How much work a study is: which trainings, under how many seeds, and how long the rest will take.

One seed tells of this model; only several tell of the recipe. Every trained arm gets the same number of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from luthier.arms.resolve import Arm, TrainedArm
from luthier.results.cost import Cost
from luthier.studies.tune import halvings


@dataclass(frozen=True)
class Run:
    """An arm under one of its seeds: 0 is the study's own, whose model is compared and shipped."""

    of: Arm
    seed: int

    @property
    def name(self) -> str:
        """Where it lies under arms/ and what its row of cost.json is called."""
        return f"{self.of.name}/seed-{self.seed}" if self.seed else self.of.name

    @property
    def arm(self) -> Arm:
        return replace(self.of, name=self.name)


def trained_here(arm: Arm) -> bool:
    """Whether the study itself trains the arm, on its own train split."""
    return isinstance(arm, TrainedArm) and not arm.trained_on


def runs(arms: Sequence[Arm], seeds: int) -> list[Run]:
    """Every arm once, then every trained arm under each further seed: the comparison is whole before it is widened."""
    further = [Run(arm, seed) for seed in range(1, seeds) for arm in arms if trained_here(arm)]
    return [Run(arm, 0) for arm in arms] + further


def effort(arms: Sequence[Arm], seeds: int, trials: int) -> list[str]:
    """What is trained how often, and what that does not allow to claim; said before anything is trained."""
    trained = [arm.name for arm in arms if trained_here(arm)]
    if not trained:
        return []
    once = f"{len(trained)} trained arm{'s' * (len(trained) > 1)} ({', '.join(trained)})"
    said = [
        f"{once} under {seeds} seeds: {len(trained) * seeds} trainings; how long they take is known after the first."
        if seeds > 1
        else f"{once} under one seed: verdicts are about these models, not about their recipes (--seeds 3)."
    ]
    rounds = halvings(trials)
    more = trials * rounds / 2**rounds
    said.append(
        f"Each of them is tuned on dev first: {trials} configurations in {rounds} round{'s' * (rounds != 1)}, about as "
        f"long as {more:.3g} training{'s' * (more != 1)} more."
        if trials
        else "No tuning, 0 trials: each keeps the settings it was given (--tune 4)."
    )
    return said


def time_left(cost: Cost, done: Sequence[Run], pending: Sequence[Run]) -> float | None:
    """Seconds that the `pending` runs will take, going by what those that are done took.

    An arm under another seed takes what it took before, an arm that never ran what the others took on average; None
    while nothing is known.
    """
    if not done:
        return None

    def expected(run: Run) -> float:
        same = [one for one in done if one.of.name == run.of.name]
        rows = [cost.of(one.name) for one in same or done]
        return fmean(row.seconds_untuned if run.seed else row.seconds for row in rows)

    return sum(map(expected, pending))
