"""The cells of the table: one promise each, at one size, with the bounds it has to keep.

A cell draws its own data by a generator of its own seed, calls what compare() calls, and returns one number between 0
and 1: how often something happened. Draws from a real matrix are rows *with replacement*, so its means are the truth.

A share of finitely many repeats has an error of its own. Beyond a bound by at most ERRORS standard errors it does not
show that the bound is broken: *within error*, where a test with an error rate of exactly 5 % stands half of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from calibration.matrices import Floats, centred, real
from luthier.stats import intervals, power, simultaneous
from luthier.stats.seeds import mean_over_seeds

Random = np.random.Generator
Draw = Callable[[Random], Floats]

SIZES = (60, 100, 500)
DRAWS = 2**11  # directions for max |t|: thousands of studies average out what one critical value misses
COVERED = (0.94, 0.965)
ERRORS = 3


@dataclass(frozen=True)
class Cell:
    """`run(random, repeats)` gives the share. A bound of None is none; without any the share is only reported."""

    group: str
    name: str
    repeats: int
    run: Callable[[Random, int], float]
    low: float | None = None
    high: float | None = None
    counted: bool = True  # the share is of repeats; False for another number between 0 and 1

    @property
    def key(self) -> str:
        return f"{self.group}: {self.name}"

    def holds(self, share: float, repeats: int) -> str | None:
        """'yes', 'within error' or 'no'; None where there is no bound."""
        if self.low is None and self.high is None:
            return None
        nearest = min(max(share, self.low or 0.0), 1.0 if self.high is None else self.high)
        error = math.sqrt(nearest * (1 - nearest) / repeats)
        return "yes" if nearest == share else "within error" if abs(share - nearest) <= ERRORS * error else "no"


def all_cells() -> list[Cell]:
    """Every cell, in the order of the table."""
    matrices = real()
    parts = (_coverage, _clusters, _few, _no_difference, _detection, _equivalence, _shipping, _power, _seeds)
    return [cell for part in parts for cell in part(matrices)]


def _share(happens: Callable[[Random], bool]) -> Callable[[Random, int], float]:
    return lambda random, repeats: sum(happens(random) for _ in range(repeats)) / repeats


def _rows(matrix: Floats, n: int) -> Draw:
    return lambda random: matrix[random.integers(len(matrix), size=n)]


# --------------------------------------------------------------------------------------------------------- coverage


def _covers(draw: Draw, truth: float) -> Callable[[Random, int], float]:
    def happens(random: Random) -> bool:
        low, high = intervals.mean_of(draw(random)).interval(0.95)
        return bool(low <= truth <= high)

    return _share(happens)


def _tied(values: Floats, n: int) -> Draw:
    """Half of the differences are exactly 0."""
    return lambda random: np.where(random.random(n) < 0.5, 0.0, values[random.integers(len(values), size=n)])


def _coverage(matrices: dict[str, Floats]) -> Iterator[Cell]:
    for n in SIZES:
        for name, matrix in matrices.items():
            one, difference = matrix[:, 2], matrix[:, 2] - matrix[:, 5]
            found = {
                "mean of copy-3": (_rows(one, n), one.mean()),
                "copy-3 - longest-2": (_rows(difference, n), difference.mean()),
                "the same, half of it tied": (_tied(difference, n), difference.mean() / 2),
            }
            for what, (draw, truth) in found.items():
                yield Cell("Coverage", f"{name}: {what}, n = {n}", 20_000, _covers(draw, float(truth)), *COVERED)


def _clusters(matrices: dict[str, Floats]) -> Iterator[Cell]:
    """Three rows a dialogue: three systems' scores of it, each centred, which are high and low together."""
    for n in SIZES:
        matrix = centred(matrices["dialogsum"])[:, [2, 3, 5]]
        truth, names = float(matrix.mean()), [str(unit) for unit in np.repeat(np.arange(n), 3)]

        def by_row(random: Random, matrix: Floats = matrix, n: int = n) -> Floats:
            return _rows(matrix, n)(random).ravel()

        def by_unit(random: Random, draw: Draw = by_row, names: list[str] = names) -> Floats:
            return intervals.by_unit(draw(random), names)[0]

        yield Cell("Clusters", f"3 rows a dialogue as {3 * n} units", 20_000, _covers(by_row, truth), None, 0.90)
        yield Cell("Clusters", f"3 rows a dialogue as {n} units", 20_000, _covers(by_unit, truth), *COVERED)


# ------------------------------------------------------------------------------------------------ few and yes or no


def _few(matrices: dict[str, Floats]) -> Iterator[Cell]:
    """Three units in n differ: whatever the interval says, nobody can tell which arm is better."""
    for n in SIZES:

        def sparse(random: Random, n: int = n) -> Floats:
            return np.where(random.random(n) < 3 / n, random.choice([-0.5, 0.3, 0.4], n), 0.0)

        def signs(random: Random, n: int = n) -> Floats:
            return np.where(random.random(n) < 3 / n, random.choice([-1.0, 1.0], n), 0.0)

        truth = 3 / n * (-0.5 + 0.3 + 0.4) / 3
        yield Cell("Few differences", f"about 3 of n = {n} differ: coverage", 20_000, _covers(sparse, truth))
        for what, draw in (("about 3", sparse), ("yes or no, about 3", signs)):
            name = f"{what} of n = {n} differ: *better* or *worse*"
            yield Cell("Few differences", name, 5_000, _share(_separates(draw)), None, 0.01)
        for share in (0.1, 0.5):
            yield Cell("Yes or no", f"Wilson, {share:.0%} yes, n = {n}: coverage", 20_000, _wilson_covers(share, n))


def _separates(draw: Draw) -> Callable[[Random], bool]:
    return lambda random: _verdict(draw(random), 0.02) in ("better", "worse")


def _wilson_covers(share: float, n: int) -> Callable[[Random, int], float]:
    def happens(random: Random) -> bool:
        low, high = intervals.wilson(float(random.binomial(n, share)), n)
        return low <= share <= high

    return _share(happens)


def _verdict(difference: Floats, margin: float, level: float = 0.95) -> str:
    """The verdict on one pair."""
    estimate = intervals.paired(difference, np.zeros(len(difference)))
    each, within = simultaneous.verdict_levels([estimate], level)
    ends, bounds = estimate.interval(each), estimate.interval(within)
    few = simultaneous.cautious(estimate, each)
    return simultaneous.verdict(ends, margin=margin, n=estimate.n, nonzero=estimate.nonzero, bounds=bounds, few=few)


# ------------------------------------------------------------------------------------------------ nothing is better


def _pairs(scores: Floats) -> dict[tuple[str, str], intervals.Estimate]:
    return {
        (str(a), str(b)): intervals.paired(scores[:, a], scores[:, b])
        for a, b in combinations(range(scores.shape[1]), 2)
    }


def _verdicts(scores: Floats, margin: float) -> dict[tuple[str, str], str]:
    """The verdicts of a study of all these arms."""
    pairs = _pairs(scores)
    each, within = simultaneous.verdict_levels(list(pairs.values()), draws=DRAWS)
    return {
        pair: simultaneous.verdict(
            e.interval(each),
            margin=margin,
            n=e.n,
            nonzero=e.nonzero,
            bounds=e.interval(within),
            few=simultaneous.cautious(e, each),
        )
        for pair, e in pairs.items()
    }


def _no_difference(matrices: dict[str, Floats]) -> Iterator[Cell]:
    """A study of 8 arms that are equal in the mean, in which any pair is called better or worse."""

    def called(draw: Draw) -> Callable[[Random, int], float]:
        return _share(lambda random: bool({"better", "worse"} & set(_verdicts(draw(random), 0.02).values())))

    for n in SIZES:
        for name, matrix in matrices.items():
            yield _aa(f"{name}: 8 unlike arms centred, n = {n}", called(_rows(centred(matrix), n)))
        rows = _rows(matrices["dialogsum"], n)
        shuffled = called(lambda random, rows=rows: random.permuted(rows(random), axis=1))
        yield _aa(f"dialogsum: scores permuted within a dialogue, n = {n}", shuffled)


def _aa(name: str, run: Callable[[Random, int], float]) -> Cell:
    return Cell("Nothing is better", name, 2_000, run, 40 / 2_000, 124 / 2_000)


# -------------------------------------------------------------------------------------------------------- one pair


def _shifted(values: Floats, mean: float, n: int, sd: float | None = None) -> Draw:
    """Rows of values moved to a mean, and stretched to a standard deviation where one is given."""
    spread = 1.0 if sd is None else sd / values.std()
    return _rows(mean + spread * (values - values.mean()), n)


def _detection(matrices: dict[str, Floats]) -> Iterator[Cell]:
    """A difference of 3 standard errors: in a comparison alone, and at a first look, with half the error rate."""
    for n in SIZES:
        for name, matrix in matrices.items():
            values = matrix[:, 2] - matrix[:, 5]
            draw = _shifted(values, 3 * float(values.std()) / math.sqrt(n), n)
            strict = 1 - simultaneous.alpha_at_look(1)
            skewed = intervals.mean_of(values).squared_skewness
            expected = power.power_of(3 / math.sqrt(n), n, 1.0, level=strict, squared_skewness=skewed)
            for look, level, low, high in (
                ("", 0.95, 0.75, 0.85),
                (f" at the first look, predicted {expected:.3f}", strict, expected - 0.03, expected + 0.03),
            ):
                run = _share(lambda random, draw=draw, level=level: _verdict(draw(random), 0.02, level) == "better")
                yield Cell("Detection", f"{name}: 3 standard errors, n = {n}{look}", 20_000, run, low, high)


def _equivalence(matrices: dict[str, Floats]) -> Iterator[Cell]:
    margin = 0.01
    values = matrices["dialogsum"][:, 2] - matrices["dialogsum"][:, 5]
    for n, truth, low, high in ((500, 0.0, 0.70, None), (500, margin, None, 0.05), (2_000, margin, None, 0.05)):
        draw = _shifted(values, truth, n, sd=0.08)
        run = _share(lambda random, draw=draw: _verdict(draw(random), margin) == "equivalent")
        name = f"*equivalent*, truth {truth:g}, margin .01, sd .08, n = {n}"
        yield Cell("Equivalence", name, 100_000 if truth else 5_000, run, low, high)
    for n, most in ((200, 0.05), (500, 0.02), (2_000, 0.005)):  # about ten differ, all to one side, where they may

        def rare(random: Random, n: int = n, most: float = most) -> Floats:
            return (random.random(n) < most).astype(float)

        run = _share(lambda random, draw=rare, most=most: _verdict(draw(random), most) == "equivalent")
        name = f"*equivalent*, truth at the margin {most:g}, yes or no, so few differ, n = {n}"
        yield Cell("Equivalence", name, 20_000, run, None, 0.05)
    yield Cell(
        "Equivalence", "8 arms, 4 a margin below: any wrong verdict, n = 500", 1_000, _mixed(matrices), None, 0.062
    )


def _mixed(matrices: dict[str, Floats]) -> Callable[[Random, int], float]:
    """Equal arms called better, or arms exactly a margin apart called equivalent: both kinds share one error rate."""
    margin, lower = 0.03, np.array([0.0, 0.03] * 4)
    draw = _rows(centred(matrices["dialogsum"]) - lower, 500)

    def wrong(random: Random) -> bool:
        found = _verdicts(draw(random), margin)
        apart = {pair: lower[int(pair[0])] != lower[int(pair[1])] for pair in found}
        return any(
            verdict == "equivalent" if apart[pair] else verdict in ("better", "worse")
            for pair, verdict in found.items()
        )

    return _share(wrong)


# -------------------------------------------------------------------------------------------------------- shipping


def _shipping(matrices: dict[str, Floats]) -> Iterator[Cell]:
    """One best arm, one a hair more than the margin below it, six exactly at the margin: none of the seven may ship."""
    margin = 0.02
    lower = np.array([0.0, margin + 1e-6, *[margin] * 6])

    def wrong(draw: Draw) -> Callable[[Random], bool]:
        def happens(random: Random) -> bool:
            bounds = simultaneous.against_the_best([str(i) for i in range(8)], _pairs(draw(random)), draws=DRAWS)
            return set(simultaneous.close_to_the_best(bounds, margin)) > {"0"}

        return happens

    for n in SIZES:
        for name, matrix in matrices.items():
            run = _share(wrong(_rows(centred(matrix) - lower, n)))
            yield Cell("Shipping", f"{name}: a worse arm may ship, n = {n}", 2_000, run, None, 0.05)


# ----------------------------------------------------------------------------------------------------------- power


def _power(matrices: dict[str, Floats]) -> Iterator[Cell]:
    difference = 0.02
    pairs = {name: matrix[:, 2] - matrix[:, 5] for name, matrix in matrices.items()}
    pairs["normal"] = np.random.default_rng(1).normal(size=100_000) * 0.12
    for name, values in pairs.items():
        sd, skewed = float(values.std()), intervals.mean_of(values).squared_skewness
        for comparisons in (1, 28):
            n = power.examples_needed(difference, sd, comparisons, squared_skewness=skewed).total
            expected = power.power_of(difference, n, sd, comparisons, squared_skewness=skewed)
            level = simultaneous.simultaneous_level(0.95, comparisons)
            draw = _shifted(values, difference, n)
            run = _share(lambda random, draw=draw, level=level: _verdict(draw(random), 0.02, level) == "better")
            what = f"{name}: {n} units for .02, {comparisons} pair{'s' * (comparisons > 1)}, predicted {expected:.3f}"
            yield Cell("Power", what, 5_000, run, expected - 0.03, expected + 0.03)
    for units in (30, 100):
        for quantile in (0.1, 0.5, 0.9):
            name = f"{quantile:.0%} of pilots of {units} units plan for a power below"
            run = _from_pilot(pairs["dialogsum"], difference, units, quantile)
            yield Cell("Power", name, 5_000, run, counted=False)


def _from_pilot(values: Floats, difference: float, units: int, quantile: float) -> Callable[[Random, int], float]:
    """The power that the planned number of units really has, when the sd comes from a pilot."""

    def run(random: Random, repeats: int) -> float:
        sds = [float(values[random.integers(len(values), size=units)].std(ddof=1)) for _ in range(repeats)]
        planned = [power.examples_needed(difference, sd).total for sd in sds]
        return float(np.quantile([power.power_of(difference, n, float(values.std())) for n in planned], quantile))

    return run


# ----------------------------------------------------------------------------------------------------------- seeds


def _seeds(matrices: dict[str, Floats]) -> Iterator[Cell]:
    """Seeds and dialogues are drawn anew each time: does the recipe's interval hold the recipe's mean, 0?"""

    def covers(seeds: int, seed_sd: float, n: int) -> Callable[[Random], bool]:
        def happens(random: Random) -> bool:
            shared = 0.1 * random.normal(size=n) + seed_sd * random.normal(size=(seeds, 1))
            low, high = mean_over_seeds(shared + 0.1 * random.normal(size=(seeds, n))).interval(0.95)
            return low <= 0 <= high

        return happens

    for seeds in (3, 5):
        for n in (100, 500):
            for seed_sd in (0.0, 0.0025, 0.005, 0.01, 0.02):
                name = f"{seeds} seeds of sd {100 * seed_sd:g} points, n = {n}: coverage"
                yield Cell("Seeds", name, 20_000, _share(covers(seeds, seed_sd, n)), *COVERED)
