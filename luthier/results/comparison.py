"""compare.json: a comparison of arms, from every arm's means to the arm to ship.

    Comparison     the whole file
    ArmMetric      one arm on one metric           ArmRecipe   the same over seeds
    Pair           two arms on one metric          PairRecipe  the same over seeds
    Decision       which arm to ship, and why      Best, Power, AgainstBaseline, LeftOut, Claims

Scores are on 0 to 1. `low` and `high` are the ends of an interval of the comparison's `level`, for this one number
alone; None is an unknown number or an infinite bound. n counts independent units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from luthier.records import Verdict
from luthier.results.record import Number, Part, Record

_TURNED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
_ENDS = ("", "simultaneous_", "one_sided_")


def turned(verdict: Verdict) -> Verdict:
    """The verdict of b against a, where `verdict` is that of a against b."""
    return _TURNED.get(verdict, verdict)


class Mean(Part):
    """A mean over n units with its interval; all None and n = 0 where there is nothing to average."""

    mean: Number | None
    low: Number | None
    high: Number | None
    n: int


class ArmRecipe(Part):
    """An arm over training seeds: seeds and units are random."""

    mean: Number  # over all seeds
    low: Number | None
    high: Number | None
    seeds: int  # how many were trained
    seed_share: Number  # of the variance of `mean`, 0 to 1: what seeds add to it
    seed_sd: Number  # standard deviation of the true mean of one seed


class PairRecipe(Part):
    """A pair over training seeds: the fields of ArmRecipe, for the difference a - b."""

    difference: Number
    low: Number | None
    high: Number | None
    seeds: int
    seed_share: Number
    seed_sd: Number


class ArmMetric(Mean):
    """One arm on one metric."""

    recipe: ArmRecipe | None = None  # over seeds; None where there are too few for a claim


class ExamplesNeeded(Part):
    """How many units decide a pair, if they vary as these do."""

    more: int  # from here on
    total: int  # shows a true difference of one margin with a power of 0.8
    low: int  # `low` to `high` is what the uncertainty of the spread makes of `total`
    high: int
    to_be_sure: int  # decides whatever the true difference is


class Pair(Part):
    """Two arms on one metric, paired by unit; the fields from `simultaneous_low` on are of the deciding one alone."""

    a: str
    b: str
    metric: str
    difference: Number | None  # mean of a - mean of b
    low: Number | None
    high: Number | None
    n: int
    verdict: Verdict | None  # of a against b; None on every other than the deciding metric
    mcnemar_p: Number | None = None  # exact McNemar, of metrics that are yes or no
    simultaneous_low: Number | None = None  # an interval that holds for all pairs of arms at once
    simultaneous_high: Number | None = None
    one_sided_low: Number | None = None  # bounds of which each alone holds for all pairs of arms at once
    one_sided_high: Number | None = None
    within_margin: bool | None = None  # whether the one-sided bounds lie inside the margin
    sd: Number | None = None  # standard deviation of the difference of one unit
    nonzero: int | None = None  # units on which the two differ
    may_differ: Number | None = None  # where none differs: the share of further units that may
    identical: bool | None = None  # whether all scores of the two are equal
    examples_needed: ExamplesNeeded | None = None  # of a pair that is not decided
    recipe: PairRecipe | None = None  # as of ArmMetric

    @property
    def arms(self) -> frozenset[str]:
        return frozenset((self.a, self.b))

    @property
    def separated(self) -> bool:
        """Whether one of the two is shown to be better."""
        return self.verdict in ("better", "worse")

    def seen_from(self, arm: str) -> Self:
        """The pair turned so that `arm` stands first: its difference is `arm` minus the other, its verdict `arm`'s."""
        if arm not in self.arms:
            raise ValueError(f"'{arm}' is none of {self.a}, {self.b}")
        if arm == self.a:
            return self
        verdict = self.verdict and turned(self.verdict)
        changed: dict[str, Any] = {"a": self.b, "b": self.a, "difference": _minus(self.difference), "verdict": verdict}
        changed |= _turned_ends(self, _ENDS)
        if recipe := self.recipe:
            update = {"difference": -recipe.difference, **_turned_ends(recipe, ("",))}
            changed["recipe"] = recipe.model_copy(update=update)
        # What the pair does not have stays absent.
        return self.model_copy(update={key: value for key, value in changed.items() if key in self.model_fields_set})


def _turned_ends(of: Pair | PairRecipe, prefixes: Sequence[str]) -> dict[str, Number | None]:
    """Both ends of each interval, of the negated number."""
    ends: dict[str, Number | None] = {}
    for prefix in prefixes:
        low, high = f"{prefix}low", f"{prefix}high"
        ends |= {low: _minus(getattr(of, high)), high: _minus(getattr(of, low))}
    return ends


def _minus(number: Number | None) -> Number | None:
    return None if number is None else -number


class Best(Part):
    """The arm with the highest mean of the deciding metric."""

    arm: str
    mean: Number
    simultaneous_low: Number | None  # an interval that holds for whichever arm turns out highest
    simultaneous_high: Number | None


class Power(Part):
    """The power of this test set on the deciding metric."""

    power: Number  # probability with which `detectable` is found
    sd_range: tuple[Number, Number] | None  # sd of the pair that varies least and of the one that varies most
    detectable: Number | None  # true difference that is found, for the pair that varies most
    equivalence_possible: bool  # whether any pair could be found equivalent


class AgainstBaseline(Part):
    """An arm's verdict against a baseline."""

    verdict: Verdict
    beats: bool  # only *better* does


class Decision(Part):
    """The arm to ship: the cheapest whose lower bound against the best of the others is above -margin."""

    verdict: Literal["ship", "cannot tell"]
    arm: str | None  # None: cannot tell
    provisional: str  # the highest mean
    may_be_best: tuple[str, ...]  # the arms that the bounds do not rule out
    lower_bounds: dict[str, Number | None]  # arm -> lower bound of its mean minus the best of the others
    more_examples: int | None  # needed to show differences of one margin, where nothing is decided
    sentence: str  # the decision with its numbers
    barred: dict[str, str] = Field(default={})  # arm -> why it may not be shipped; given where there are any

    @property
    def choice(self) -> str:
        """The arm to ship, else the provisional one."""
        return self.arm or self.provisional


class LeftOut(Part):
    """An example that is left out for every arm, because one has no value of the deciding metric for it."""

    id: str
    reason: str


class Claims(Part):
    """Two sentences about the arm to ship: on this one model, and on its training over seeds (the recipe)."""

    model: str
    recipe: str


class Comparison(Record):
    """All arms and all pairs of them on the examples that they share."""

    FILE: ClassVar[str] = "compare.json"
    REMEDY: ClassVar[str] = "remove the file and start the study again, and it is made from the scores"

    deciding: str  # the metric that verdicts come from
    margin: Number  # the smallest difference of it that matters
    level: Number  # confidence of descriptive intervals
    look: int | None  # number of the look at the test set; None where looks are not counted
    alpha: Number  # error rate of all verdicts together
    n: int
    examples: int  # rows; several may make one unit
    comparisons: int  # pairs of arms
    seed: int  # of the bootstrap
    signatures: dict[str, str]  # metric -> library, version and options
    arms: dict[str, dict[str, ArmMetric]]  # arm -> metric -> its mean
    best: Best
    pairs: tuple[Pair, ...]  # on every metric
    groups: tuple[tuple[str, ...], ...]  # of arms that are not separated, in the order of their means
    power: Power
    baselines: dict[str, dict[str, AgainstBaseline]]  # arm -> baseline -> how the arm stands against it
    ship: Decision
    excluded: dict[str, tuple[LeftOut, ...]]  # arm -> the examples that it had no value for
    missing: dict[str, dict[str, dict[str, int]]]  # arm -> metric -> reason -> answers without a value of it
    claims: Claims | None = None  # where further seeds were trained
    warnings: tuple[str, ...]  # one sentence each

    def pairs_on(self, metric: str) -> tuple[Pair, ...]:
        """Every pair of arms on one metric."""
        return tuple(pair for pair in self.pairs if pair.metric == metric)

    @property
    def deciding_pairs(self) -> tuple[Pair, ...]:
        return self.pairs_on(self.deciding)

    def pair(self, a: str, b: str, metric: str | None = None) -> Pair | None:
        """a against b, as seen from a, on the deciding metric or another; None where the two were not compared."""
        named = metric or self.deciding
        pair = next((pair for pair in self.pairs if pair.metric == named and pair.arms == {a, b}), None)
        return pair and pair.seen_from(a)

    def deciding_row(self, arm: str) -> ArmMetric | None:
        """An arm on the deciding metric; None for an arm that was not compared."""
        return self.arms.get(arm, {}).get(self.deciding)

    def by_mean(self) -> list[str]:
        """The arms, the highest mean of the deciding metric first, those without one last."""
        rows = {arm: self.deciding_row(arm) for arm in self.arms}
        means = {arm: row.mean for arm, row in rows.items() if row and row.mean is not None}
        return [*sorted(means, key=lambda arm: -means[arm]), *(arm for arm in self.arms if arm not in means)]

    def arms_to_ask(self) -> list[str]:
        """The arms by preference for asking one: the arm to ship, the provisional one, then by their means.

        Those that may not be shipped are left out.
        """
        first = [self.ship.arm] if self.ship.arm else []
        names = dict.fromkeys([*first, self.ship.provisional, *self.by_mean()])
        return [name for name in names if name not in self.ship.barred]

    def baseline_names(self) -> list[str]:
        """The arms that others are compared with as baselines."""
        return list(dict.fromkeys(name for rows in self.baselines.values() for name in rows))

    def groups_not_separated(self) -> list[tuple[str, ...]]:
        """The groups of two arms or more."""
        return [group for group in self.groups if len(group) > 1]
