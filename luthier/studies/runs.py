"""The trainings of a study: which arms, under how many seeds, and how long the remaining ones will take.

One seed says something about one model. Several seeds say something about the recipe. Every trained arm gets the same
number of seeds and of trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from luthier.arms.resolve import Arm, TrainedArm
from luthier.results.cost import Cost
from luthier.studies.domain import begun_with
from luthier.studies.origin import arm_table
from luthier.studies.tune import halvings


@dataclass(frozen=True)
class Run:
    """An arm under one of its seeds. Seed 0 is the study's own, whose model is compared and shipped."""

    of: Arm
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder under arms/ and of its row in cost.json."""
        return f"{self.of.name}/seed-{self.seed}" if self.seed else self.of.name

    @property
    def arm(self) -> Arm:
        return replace(self.of, name=self.name)


def trained_here(arm: Arm) -> bool:
    """Whether the study itself trains the arm, on its own train split."""
    return isinstance(arm, TrainedArm) and not arm.trained_on


def trainings(arms: Sequence[Arm]) -> list[Arm]:
    """The arms that train, each training once: those that differ only in what is done after it take its weights."""
    return [arm for arm in arms if trained_here(arm) and earlier_twin(arm, arms) is None]


def earlier_twin(arm: Arm, arms: Sequence[Arm]) -> Arm | None:
    """The first of `arms` that stands before `arm` and whose trained weights it takes; None: it trains itself."""
    own = arm_table(arm, labelled=True)
    before = (one for one in arms[: arms.index(arm)] if trained_here(one))
    return next((one for one in before if arm_table(one, labelled=True).gives_training_to(own)), None)


def runs(arms: Sequence[Arm], seeds: int) -> list[Run]:
    """Every arm once, then every trained arm under each further seed. A complete comparison comes first."""
    further = [Run(arm, seed) for seed in range(1, seeds) for arm in arms if trained_here(arm)]
    return [Run(arm, 0) for arm in arms] + further


def training_notes(arms: Sequence[Arm], seeds: int, trials: int) -> list[str]:
    """Sentences about how often each arm trains, and which claims that does not support; [] if none trains."""
    trained = [arm.name for arm in trainings(arms)]
    others = [arm.name for arm in arms if trained_here(arm) and arm.name not in trained]
    if not trained:
        return []
    arms_text = f"{len(trained)} trained arm{'s' * (len(trained) > 1)} ({', '.join(trained)})"
    sentences = [
        f"{arms_text} under {seeds} seeds: {len(trained) * seeds} trainings; "
        "how long they take is known after the first."
        if seeds > 1
        else f"{arms_text} under one seed: verdicts are about these models, not about their recipes (--seeds 3)."
    ]
    rounds = halvings(trials)
    more = trials * rounds / 2**rounds
    sentences.append(
        f"Each of them is tuned on dev first: {trials} configurations in {rounds} round{'s' * (rounds != 1)}, about as "
        f"long as {more:.3g} training{'s' * (more != 1)} more."
        if trials
        else "No tuning, 0 trials: each keeps the settings it was given (--tune 4)."
    )
    if others:
        sentences.append(f"Not trained again, because an arm above has the same training: {', '.join(others)}.")
    begun: dict[str, list[str]] = {}
    for arm in arms:
        if (alike := begun_with(arm)) is not None:
            begun.setdefault(alike, []).append(arm.name)
    for names in begun.values():
        sentences.append(
            f"Further pretraining comes on top of equal effort, in {', '.join(names)}: done once"
            f"{' for all of them' * (len(names) > 1)}{' under each seed' * (seeds > 1)}. It tells what texts add, and "
            "not which of two equal efforts is better."
        )
    return sentences


def time_left(cost: Cost, done: Sequence[Run], pending: Sequence[Run]) -> float | None:
    """Seconds that the `pending` runs will take, estimated from those that are done; None while none is done.

    A run of an arm that ran before takes the mean of that arm's runs. Any other takes the mean of all runs.
    """
    if not done:
        return None

    def expected(run: Run) -> float:
        of_same_arm = [one for one in done if one.of.name == run.of.name]
        rows = [cost.of(one.name) for one in of_same_arm or done]
        return fmean(row.seconds_untuned if run.seed else row.seconds for row in rows)

    return sum(map(expected, pending))
