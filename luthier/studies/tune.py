"""Tuning with equal effort: dev tries the same number of configurations of every trained arm, by successive halving.

    configurations -> all of them on a small budget -> the better half on twice that -> ... -> the one that is left

Tuning varies the learning rate and the method's main dial (its `sweep`), unless the arm gives them itself. This is
successive halving (Jamieson and Talwalkar 2016). The last round's budget is half of an arm's own training, and each
earlier round's budget is half of the next one's, so all rounds cost about the same. Each trial is a complete short
training with its own warm-up and decay. A longer trial starts anew, because the learning rate of the shorter one has
decayed already.

Tuning reads only train and dev. tune/trials.jsonl keeps the trials' numbers; their weights are deleted.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.arms.resolve import LEARNING_RATE, TrainedArm
from luthier.errors import FolderError, ModelError, PromptError, SettingsError
from luthier.progress import say
from luthier.results.arm_record import TRIALS_FILE, Trial, TuningResult
from luthier.results.record import append_lines_of, read_lines_of
from luthier.studies.domain import trial_plan
from luthier.studies.fit import StudyContext, fit

Configuration = dict[str, Any]

REACH = 10.0  # rates are tried from a tenth of the arm's own to ten times it


def tune(context: StudyContext, arm: TrainedArm) -> tuple[TrainedArm, TuningResult]:
    """The arm with the configuration that dev chose, and a summary of the trials. Trials on disk are not repeated.

    Raises SettingsError when every trial fails, FolderError when the folder holds trials of other configurations.
    """
    tried = configurations(arm, context.trials, context.seed)
    if len(tried) < 2:
        return arm, TuningResult(trials=0)
    say(f"{arm.name}: {len(tried)} configurations on dev, {halvings(len(tried))} rounds")
    trials = _Trials(context, arm, tried)
    alive = list(range(len(tried)))
    for round in range(halvings(len(tried))):
        ranked = sorted((trials.run(number, round) for number in alive), key=_rank)
        if (best := ranked[0]).dev is None:
            raise SettingsError(f"arm '{arm.name}': every trial failed; the first said: {best.reason}")
        alive = [trial.trial for trial in ranked[: math.ceil(len(ranked) / 2)]]
    say(f"{arm.name}: dev chose {_words(best.settings)} ({context.task.spec.decide.metric} {best.dev:.3f})")
    return configured(arm, best.settings), _about(context, tried, best, list(trials.done.values()))


def configurations(arm: TrainedArm, count: int, seed: int) -> list[Configuration]:
    """The arm's own configuration, then `count - 1` others spread over the ranges of the tunable settings.

    A Latin hypercube (McKay, Beckman and Conover 1979): each setting's range is cut into `count - 1` parts, and each
    part is tried once. The same seed and count put the trials of all arms at the same positions. Duplicates are left
    out, so there may be fewer.
    """
    others = max(0, count - 1)
    rng = random.Random(f"tune-{seed}-{count}")
    positions = {name: _spread(others, rng) for name in (LEARNING_RATE, *arm.method.sweep)}
    own = {name: _value(arm, name) for name in arm.tunable}
    tried = [own] + [{name: _at(arm, name, positions[name][i]) for name in arm.tunable} for i in range(others)]
    return [configuration for i, configuration in enumerate(tried) if configuration not in tried[:i]]


def _spread(count: int, rng: random.Random) -> list[float]:
    """One number in each of `count` equal parts of 0 to 1, in random order."""
    positions = [(part + rng.random()) / count for part in range(count)]
    rng.shuffle(positions)
    return positions


def _value(arm: TrainedArm, name: str) -> Any:
    return getattr(arm.training if name == LEARNING_RATE else arm.settings, name)


def _at(arm: TrainedArm, name: str, position: float) -> Any:
    """The value at a position from 0 to 1: a rate on a logarithmic scale, to two digits, or one of the candidates."""
    if name == LEARNING_RATE:
        return float(f"{_value(arm, name) * REACH ** (2 * position - 1):.2g}")
    candidates = arm.method.sweep[name]
    return candidates[int(position * len(candidates))]


def configured(arm: TrainedArm, configuration: Mapping[str, Any]) -> TrainedArm:
    """The arm with these settings in folder of its own."""
    rate = {name: value for name, value in configuration.items() if name == LEARNING_RATE}
    dials = {name: value for name, value in configuration.items() if name != LEARNING_RATE}
    return replace(arm, settings=arm.settings.model_copy(update=dials), training=arm.training.model_copy(update=rate))


def halvings(count: int) -> int:
    """Rounds until one of `count` is left, where each round keeps the better half."""
    return math.ceil(math.log2(count)) if count > 1 else 0


def _rank(trial: Trial) -> tuple[float, int]:
    """A sort key: the best dev metric first, of equals the earlier trial (the arm's own is first), failures last."""
    return (-trial.dev if trial.dev is not None else math.inf, trial.trial)


def _words(configuration: Configuration) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in configuration.items())


def _about(context: StudyContext, tried: Sequence[Configuration], best: Trial, trials: Sequence[Trial]) -> TuningResult:
    """The summary of tuning. It holds no times, so that two runs give the same."""
    return TuningResult(
        trials=len(tried),
        rounds=halvings(len(tried)),
        trainings=len(trials),
        failed=sum(trial.dev is None for trial in trials),
        steps=sum(trial.steps for trial in trials),
        train_tokens=sum(trial.train_tokens for trial in trials),
        supervised_tokens=sum(trial.supervised_tokens for trial in trials),
        dev_answers=len(context.dev) * sum(trial.dev is not None for trial in trials),
        own=tried[0],
        chosen=best.settings,
        metric=context.task.spec.decide.metric,
        dev=best.dev,
    )


class _Trials:
    """The trials of one arm, in its folder. Trials on disk are read; missing ones are run."""

    def __init__(self, context: StudyContext, arm: TrainedArm, tried: Sequence[Configuration]) -> None:
        self.context, self.arm, self.tried = context, arm, tried
        self.folder = context.folder.arm(arm.name) / "tune"
        rows = read_lines_of(Trial, self.folder / TRIALS_FILE)
        self.done = {(row.trial, row.round): row for row in rows}

    def run(self, number: int, round: int) -> Trial:
        """The trial of configuration `number` on the budget of `round`."""
        folder = self.folder / f"trial-{number}-round-{round}"
        planned = self._planned(number, round)
        if trial := self.done.get((number, round)):
            if (trial.settings, trial.passes) != (planned.settings, planned.passes):
                raise FolderError(
                    f"{self.folder}: holds trials of other settings; remove the arm's folder to tune anew"
                )
        else:
            trial = self.done[number, round] = self._train(planned, folder)
            append_lines_of(self.folder / TRIALS_FILE, [trial])
            self.context.folder.log("trial", arm=self.arm.name, trial=number, round=round, dev=trial.dev)
        shutil.rmtree(folder, ignore_errors=True)  # the process may have been killed between the line and this
        return trial

    def _planned(self, number: int, round: int) -> Trial:
        whole = self.arm.training.passes(len(self.context.train))
        return Trial(number, round, self.tried[number], whole * 2.0 ** (round - halvings(len(self.tried))))

    def _train(self, trial: Trial, folder: Path) -> Trial:
        """Trains, and asks dev once at the end. A trial that raises has no dev metric, so it loses."""
        arm, began = configured(self.arm, trial.settings), time.monotonic()
        training = arm.training.model_copy(update={"epochs": trial.passes, "evaluations": 1})
        title = f"{arm.name}: round {trial.round + 1}, {_words(trial.settings)}"
        try:
            trial_arm = replace(arm, training=training)
            fitted = fit(self.context, trial_arm, folder, title, trial_plan(self.context, trial_arm))
        except (SettingsError, ModelError, PromptError) as error:
            self.context.folder.spent(arm.name, tune_seconds=time.monotonic() - began)
            return replace(trial, reason=str(error))
        trained, counts = fitted.trained, fitted.counts
        self.context.folder.spent(
            arm.name, tune_seconds=trained.seconds, tune_evaluate_seconds=trained.evaluation_seconds
        )
        return replace(
            trial,
            steps=counts.steps,
            train_tokens=counts.train_tokens,
            supervised_tokens=counts.supervised_tokens,
            dev=counts.best_dev,
        )
