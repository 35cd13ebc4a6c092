"""Equal effort: the same number of configurations tried on dev for every trained arm, by successive halving.

    configurations -> all of them on a small budget -> the better half on twice that -> ... -> the one that is left

What is tried is the learning rate and the method's main dial (its `sweep`), as far as the arm itself does not give
them. This is successive halving (Jamieson and Talwalkar 2016): the budget of the last round is half of an arm's own
training and each round before it half of the next, so that every round costs about as much as the others. Each trial
is a whole short training with its own warm-up and decay; a longer one is begun anew, because a run whose rate has
decayed already is not the beginning of a longer one.

Only train and dev are looked at. The trials' numbers stay in tune/trials.jsonl, their weights do not.
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
from luthier.errors import FolderError, PromptError, SettingsError
from luthier.progress import say
from luthier.results.arm_record import TRIALS_FILE, Trial, Tuning
from luthier.results.record import append_lines_of, read_lines_of
from luthier.studies.fit import Work, fit

Configuration = dict[str, Any]

REACH = 10.0  # rates are tried from a tenth of the arm's own to ten times it


def tune(work: Work, arm: TrainedArm) -> tuple[TrainedArm, Tuning]:
    """The arm with the configuration that dev chose, and what choosing took; trials that are on disk are not redone.

    Raises SettingsError when every trial fails, FolderError when the folder holds trials of other configurations.
    """
    tried = configurations(arm, work.trials, work.seed)
    if len(tried) < 2:
        return arm, Tuning(trials=0)
    say(f"{arm.name}: {len(tried)} configurations on dev, {halvings(len(tried))} rounds")
    trials = _Trials(work, arm, tried)
    alive = list(range(len(tried)))
    for round in range(halvings(len(tried))):
        ranked = sorted((trials.run(number, round) for number in alive), key=_rank)
        if (best := ranked[0]).dev is None:
            raise SettingsError(f"arm '{arm.name}': every trial failed; the first said: {best.reason}")
        alive = [trial.trial for trial in ranked[: math.ceil(len(ranked) / 2)]]
    say(f"{arm.name}: dev chose {_words(best.settings)} ({work.task.spec.decide.metric} {best.dev:.3f})")
    return configured(arm, best.settings), _about(work, tried, best, list(trials.done.values()))


def configurations(arm: TrainedArm, count: int, seed: int) -> list[Configuration]:
    """The arm's own configuration, then `count - 1` others spread over the ranges of what may be tuned.

    A Latin hypercube (McKay, Beckman and Conover 1979): each setting's range is cut into as many parts as there are
    trials, and each part is tried once. The same seed and count put the trials of all arms at the same places.
    Equal configurations are tried once, so there may be fewer.
    """
    others = max(0, count - 1)
    dice = random.Random(f"tune-{seed}-{count}")
    places = {name: _spread(others, dice) for name in (LEARNING_RATE, *arm.method.sweep)}
    own = {name: _value(arm, name) for name in arm.tunable}
    made = [own] + [{name: _at(arm, name, places[name][i]) for name in arm.tunable} for i in range(others)]
    return [configuration for i, configuration in enumerate(made) if configuration not in made[:i]]


def _spread(count: int, dice: random.Random) -> list[float]:
    """One number in each of `count` equal parts of 0 to 1, in random order."""
    places = [(part + dice.random()) / count for part in range(count)]
    dice.shuffle(places)
    return places


def _value(arm: TrainedArm, name: str) -> Any:
    return getattr(arm.training if name == LEARNING_RATE else arm.settings, name)


def _at(arm: TrainedArm, name: str, place: float) -> Any:
    """The value at a place from 0 to 1: rates on a logarithmic scale, to two digits; else one of the candidates."""
    if name == LEARNING_RATE:
        return float(f"{_value(arm, name) * REACH ** (2 * place - 1):.2g}")
    candidates = arm.method.sweep[name]
    return candidates[int(place * len(candidates))]


def configured(arm: TrainedArm, configuration: Mapping[str, Any]) -> TrainedArm:
    """The arm with these settings in place of its own."""
    rate = {name: value for name, value in configuration.items() if name == LEARNING_RATE}
    dials = {name: value for name, value in configuration.items() if name != LEARNING_RATE}
    return replace(arm, settings=arm.settings.model_copy(update=dials), training=arm.training.model_copy(update=rate))


def halvings(count: int) -> int:
    """Rounds until one of `count` is left, the better half being kept each time."""
    return math.ceil(math.log2(count)) if count > 1 else 0


def _rank(trial: Trial) -> tuple[float, int]:
    """The best dev metric first; of equals the earlier trial, and so the arm's own settings; failed ones last."""
    return (-trial.dev if trial.dev is not None else math.inf, trial.trial)


def _words(configuration: Configuration) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in configuration.items())


def _about(work: Work, tried: Sequence[Configuration], best: Trial, trials: Sequence[Trial]) -> Tuning:
    """What tuning tried, took and chose; no clock, so that it is equal between two runs."""
    return Tuning(
        trials=len(tried),
        rounds=halvings(len(tried)),
        trainings=len(trials),
        failed=sum(trial.dev is None for trial in trials),
        steps=sum(trial.steps for trial in trials),
        train_tokens=sum(trial.train_tokens for trial in trials),
        supervised_tokens=sum(trial.supervised_tokens for trial in trials),
        dev_answers=len(work.dev) * sum(trial.dev is not None for trial in trials),
        own=tried[0],
        chosen=best.settings,
        metric=work.task.spec.decide.metric,
        dev=best.dev,
    )


class _Trials:
    """The trials of one arm, in its folder: what is there already is read, what is missing is run."""

    def __init__(self, work: Work, arm: TrainedArm, tried: Sequence[Configuration]) -> None:
        self.work, self.arm, self.tried = work, arm, tried
        self.place = work.folder.arm(arm.name) / "tune"
        rows = read_lines_of(Trial, self.place / TRIALS_FILE)
        self.done = {(row.trial, row.round): row for row in rows}

    def run(self, number: int, round: int) -> Trial:
        """The trial of configuration `number` on the budget of `round`."""
        place = self.place / f"trial-{number}-round-{round}"
        trial = self._planned(number, round)
        if known := self.done.get((number, round)):
            if (known.settings, known.passes) != (trial.settings, trial.passes):
                raise FolderError(f"{self.place}: holds trials of other settings; remove the arm's folder to tune anew")
        else:
            known = self.done[number, round] = self._train(trial, place)
            append_lines_of(self.place / TRIALS_FILE, [known])
            self.work.folder.log("trial", arm=self.arm.name, trial=number, round=round, dev=known.dev)
        shutil.rmtree(place, ignore_errors=True)  # a kill may have come between the line and this
        return known

    def _planned(self, number: int, round: int) -> Trial:
        whole = self.arm.training.passes(len(self.work.train))
        return Trial(number, round, self.tried[number], whole * 2.0 ** (round - halvings(len(self.tried))))

    def _train(self, trial: Trial, place: Path) -> Trial:
        """Trains and asks dev once, at the end. Settings with which that cannot be done lose."""
        arm, began = configured(self.arm, trial.settings), time.monotonic()
        training = arm.training.model_copy(update={"epochs": trial.passes, "evaluations": 1})
        title = f"{arm.name}: round {trial.round + 1}, {_words(trial.settings)}"
        try:
            fitted = fit(self.work, replace(arm, training=training), place, title)
        except (SettingsError, PromptError) as error:
            self.work.folder.spent(arm.name, tune_seconds=time.monotonic() - began)
            return replace(trial, reason=str(error))
        trained, counts = fitted.trained, fitted.counts
        self.work.folder.spent(arm.name, tune_seconds=trained.seconds, tune_evaluate_seconds=trained.evaluation_seconds)
        return replace(
            trial,
            steps=counts.steps,
            train_tokens=counts.train_tokens,
            supervised_tokens=counts.supervised_tokens,
            dev=counts.best_dev,
        )
