"""The pairs of a study's arms: verdicts, letters of groups, baselines that are not beaten, examples needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from luthier.reports.read import StudyPage
from luthier.results.comparison import ExamplesNeeded, Pair
from luthier.results.multitask_record import TaskPair
from luthier.stats.power import examples_needed

DIFFERENCES = (0.01, 0.02, 0.03, 0.05, 0.1)  # to show the examples needed for, besides the margin


def ranked_pairs(page: StudyPage) -> list[Pair]:
    """The pairs on the deciding metric, each as seen from its better mean; the best arms first."""
    order = [arm.name for arm in page.compared]

    def rank(arm: str) -> int:
        return order.index(arm) if arm in order else len(order)

    pairs = [pair.seen_from(min(pair.a, pair.b, key=rank)) for pair in page.compare.deciding_pairs]
    return sorted(pairs, key=lambda pair: (rank(pair.a), rank(pair.b)))


def against_the_best(page: StudyPage) -> dict[str, Pair]:
    """arm -> its pair with the best of the other arms, as seen from the arm."""
    order = [arm.name for arm in page.compared]
    pairs = {}
    for name in order:
        others = [other for other in order if other != name]
        if others and (pair := page.compare.pair(name, others[0])):
            pairs[name] = pair
    return pairs


def letters_of(page: StudyPage) -> dict[str, str]:
    """arm -> the letters of its groups, which two arms share when they are not separated; none for an arm apart."""
    groups = page.compare.groups_not_separated()
    if len(groups) > len(ascii_lowercase):
        return {}
    return {
        arm.name: "".join(letter for letter, group in zip(ascii_lowercase, groups, strict=False) if arm.name in group)
        for arm in page.compared
    }


def strip_of(pairs: Sequence[Pair | TaskPair], margin: float) -> Callable[[float], float]:
    """Difference -> position on a strip of 0 to 100, the same for all pairs, that shows 0 and both margins."""
    ends = [end for pair in pairs for end in (pair.simultaneous_low, pair.simultaneous_high, pair.difference)]
    numbers = [end for end in ends if end is not None] + [-1.2 * margin, 1.2 * margin]
    low, high = min(numbers), max(numbers)
    return lambda difference: 100 * (difference - low) / (high - low)


# -------------------------------------------------------------------------------------------------------- baselines


@dataclass(frozen=True)
class Unbeaten:
    """A baseline that arms are not shown to beat."""

    baseline: str
    arms: tuple[str, ...]
    beaten: bool  # whether some other arm is shown to beat it


def unbeaten(page: StudyPage) -> list[Unbeaten]:
    """A row for each baseline that some arm, other than a baseline, is not shown to beat."""
    rows, baselines = [], page.compare.baseline_names()
    for baseline in baselines:
        beats = {
            arm: rows[baseline].beats
            for arm, rows in page.compare.baselines.items()
            if baseline in rows and arm not in baselines
        }
        if losers := tuple(arm for arm, beaten in beats.items() if not beaten):
            rows.append(Unbeaten(baseline, losers, beaten=len(losers) < len(beats)))
    return rows


# ----------------------------------------------------------------------------------------- what could be detected


@dataclass(frozen=True)
class Undecided:
    """The undecided pairs, and the most examples that one of them needs."""

    pairs: int
    most: ExamplesNeeded


def undecided(page: StudyPage) -> Undecided | None:
    """None where every pair is decided, or the need is unknown."""
    needed = [pair.examples_needed for pair in ranked_pairs(page) if pair.examples_needed]
    return Undecided(len(needed), max(needed, key=lambda one: one.more)) if needed else None


@dataclass(frozen=True)
class ExamplesFor:
    """Examples that show a true difference with a power of 0.8; None where the pairs do not vary at all."""

    difference: float
    least: int | None  # for the pair that varies least
    most: int | None  # for the pair that varies most


def examples_for(page: StudyPage) -> list[ExamplesFor]:
    """A row for each of DIFFERENCES and the margin, all pairs judged at once; none with one arm."""
    compare = page.compare
    if not compare.comparisons or not compare.power.sd_range:
        return []
    least, most = compare.power.sd_range

    def needed(difference: float, sd: float) -> int | None:
        return examples_needed(difference, sd, compare.comparisons, level=1 - compare.alpha).total if sd else None

    differences = sorted({*DIFFERENCES, compare.margin})
    return [ExamplesFor(difference, needed(difference, least), needed(difference, most)) for difference in differences]
