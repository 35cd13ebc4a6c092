"""Results of votes: for the arms, for all people together, and for one rater.

An item is one pair of arms on one dialogue. Its votes share the weight 1; repeats only measure consistency.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from luthier.errors import DataError
from luthier.rating import strengths
from luthier.rating.ballot import Ballot, Item
from luthier.records import Vote
from luthier.results.ratings_record import (
    Agreement,
    ArmStrength,
    BothBad,
    PairRating,
    PeopleRatings,
    Rater,
    Share,
    Strengths,
)
from luthier.stats import intervals, simultaneous
from luthier.stats.intervals import Floats, Interval, ends_of

LEVEL = 0.95


class Preferences(NamedTuple):
    """Results for the arms, from people or a judge; the fields are those of `PeopleRatings`."""

    votes: int
    judged_dialogues: int
    identical_items: int
    strengths: Strengths | None
    pairs: tuple[PairRating, ...]
    both_bad: BothBad


def preferences_of(ballot: Ballot, votes: Sequence[Vote]) -> Preferences:
    """Strengths, pairs and both bad from the votes of people together, or of one judge."""
    counted = _counted(votes)
    outcomes, identical = _outcomes(ballot, votes)
    return Preferences(
        votes=len(counted),
        judged_dialogues=len(outcomes),
        identical_items=identical,
        strengths=_strengths(ballot, outcomes) if len(outcomes) else None,
        pairs=tuple(_pair(ballot, number, counted, outcomes) for number in range(len(ballot.plan.pairs))),
        both_bad=_both_bad(ballot, counted),
    )


def people_of(ballot: Ballot, votes: Sequence[Vote]) -> PeopleRatings:
    """The results of all people's votes together."""
    counted = _counted(votes)
    return PeopleRatings(
        raters=len({vote.rater for vote in votes}),
        **preferences_of(ballot, votes)._asdict(),
        position=share_of(_position(counted)),
        repeats=share_of(_steadiness(votes)),
        agreement=_agreement(counted),
    )


def _counted(votes: Sequence[Vote]) -> list[Vote]:
    return [vote for vote in votes if not vote.repeat and vote.verdict is not None]


def _outcomes(ballot: Ballot, votes: Sequence[Vote]) -> tuple[Floats, int]:
    """(dialogues, pairs, 3) outcomes, each item weighing 1 however many votes it has; and how many are identical.

    An identical item counts as a tie once a rater has reached its position in the order.
    """
    by_item: dict[Any, list[int]] = defaultdict(list)
    pairs = {tuple(sorted(pair)): (number, pair) for number, pair in enumerate(ballot.plan.pairs)}
    for vote in _counted(votes):
        by_item[vote.item].append(side_of(vote, pairs[vote.item[1:]][1]))
    identical = {item.key[:3] for item in _identical_items(ballot, votes)}
    by_item |= {key: [1] for key in identical - set(by_item)}
    table: dict[str, Floats] = defaultdict(lambda: np.zeros((len(pairs), 3)))
    for (id, *arms), sides in by_item.items():
        table[id][pairs[tuple(arms)][0]] = np.bincount(sides, minlength=3) / len(sides)
    # In the plan's order, so that the bootstrap does not depend on the order of votes.
    rows = [table[id] for id in ballot.plan.dialogues if id in table]
    return np.array(rows).reshape(-1, len(pairs), 3), len(identical)


def side_of(vote: Vote, pair: Sequence[str]) -> int:
    """0 the pair's first arm is preferred, 1 neither, 2 its second."""
    return 1 if vote.winner is None else 2 * pair.index(vote.winner)


def _identical_items(ballot: Ballot, votes: Sequence[Vote]) -> Iterable[Item]:
    """Identical items that stand before the last vote of some rater; all of them once everything is judged."""
    judged = {vote.item for vote in votes}
    for rater in dict.fromkeys(vote.rater for vote in votes):
        order = ballot.order(rater)
        own = {(*vote.item, vote.repeat) for vote in votes if vote.rater == rater}
        last = max((index for index, item in enumerate(order) if item.key in own), default=0)
        if all(item.identical or item.key[:3] in judged for item in order):
            last = len(order)
        yield from (item for item in order[:last] if item.identical)


# ------------------------------------------------------------------------------------------------- arms and pairs


def _strengths(ballot: Ballot, outcomes: Floats) -> Strengths:
    """Davidson's strengths with intervals, and what they mean as chances against the other arms."""
    arms, index = ballot.plan.arms, {arm: number for number, arm in enumerate(ballot.plan.arms)}
    pairs = [(index[a], index[b]) for a, b in ballot.plan.pairs]
    try:
        estimates = strengths.strengths(outcomes, pairs, len(arms), level=LEVEL, seed=ballot.plan.seed)
    except DataError as error:
        return Strengths(arms=(), log_tie=None, one_sided=None, reason=str(error))
    fit, rates = estimates.fit, _win_rates(estimates.fit, pairs)
    rows = [
        ArmStrength(arm=arm, log_strength=float(strength), **ends_of(ends), win_rate=rate)
        for arm, strength, ends, rate in zip(arms, fit.log_strengths, estimates.intervals, rates, strict=True)
    ]
    ranked = tuple(sorted(rows, key=lambda row: -row.log_strength))
    return Strengths(arms=ranked, log_tie=float(fit.log_tie), one_sided=estimates.one_sided, reason=None)


def _win_rates(fit: strengths.Davidson, pairs: strengths.Pairs) -> list[float]:
    """The expected win rate of each arm against a random other arm, ties counted half."""
    arms = len(fit.log_strengths)
    rates = np.zeros(arms)
    for (i, j), (first, tie, second) in zip(pairs, fit.chances(pairs), strict=True):
        rates[i] += (first + tie / 2) / (arms - 1)
        rates[j] += (second + tie / 2) / (arms - 1)
    return [float(rate) for rate in rates]


def _pair(ballot: Ballot, number: int, votes: Sequence[Vote], outcomes: Floats) -> PairRating:
    """One pair from its own votes, without the model: how often a wins, ties counted half."""
    pair = ballot.plan.pairs[number]
    own = [vote for vote in votes if vote.item[1:] == tuple(sorted(pair))]
    sides = Counter(side_of(vote, pair) for vote in own)
    rows = outcomes[:, number][outcomes[:, number].sum(axis=1) > 0] if len(outcomes) else outcomes
    counts: dict[str, Any] = {
        "a": pair[0], "b": pair[1], "n": len(rows), "votes": len(own), "a_wins": sides[0], "ties": sides[1],
        "b_wins": sides[2], "both_bad": sum(vote.verdict == "both bad" for vote in own),
    }  # fmt: skip
    if not len(rows):
        unknown = {"win_rate": None, **ends_of(None), **ends_of(None, "simultaneous_")}
        return PairRating(**counts, **unknown, verdict="cannot tell")
    estimate = strengths.preference(rows[:, 0] - rows[:, 2])
    family = estimate.interval(simultaneous.simultaneous_level(LEVEL, len(ballot.plan.pairs)))
    return PairRating(
        **counts,
        win_rate=(1 + estimate.value) / 2,
        **ends_of(_as_rate(estimate.interval(LEVEL))),
        **ends_of(_as_rate(family), "simultaneous_"),
        verdict=simultaneous.verdict(family, margin=0.0, n=estimate.n, nonzero=estimate.nonzero),
        decisive=share_of([(vote.example, vote.winner == pair[0]) for vote in own if vote.winner]),
    )


def _as_rate(ends: Interval) -> Interval:
    return Interval((1 + ends.low) / 2, (1 + ends.high) / 2)


def _both_bad(ballot: Ballot, votes: Sequence[Vote]) -> BothBad:
    """How often both answers were called bad: over all votes, and over the votes that each arm was part of."""

    def share_among(some: Iterable[Vote]) -> Share | None:
        return share_of([(vote.example, vote.verdict == "both bad") for vote in some])

    arms = {arm: share_among(vote for vote in votes if arm in vote.item[1:]) for arm in ballot.plan.arms}
    return BothBad(all=share_among(votes), arms=arms)


# --------------------------------------------------------------------------------------------------------- raters


def rater_of(people: Sequence[Vote], name: str) -> Rater:
    """One person: number of votes, speed, consistency, and preference for a side."""
    own = [vote for vote in people if vote.rater == name]
    once = [vote for vote in own if not vote.repeat]
    seconds = [vote.seconds for vote in own if vote.seconds is not None]
    others: dict[Any, list[Vote]] = defaultdict(list)
    for vote in people:
        if vote.rater != name and not vote.repeat:
            others[vote.item].append(vote)
    same = [(vote.example, _choice(vote) == _choice(other)) for vote in once for other in others[vote.item]]
    return Rater(
        rater=name,
        votes=len(own),
        seconds_median=median(seconds) if seconds else None,
        position=share_of(_position(once)),
        repeats=share_of(_steadiness(own)),
        with_others=share_of(same),
        ties=share_of([(vote.example, vote.winner is None) for vote in once]),
        both_bad=share_of([(vote.example, vote.verdict == "both bad") for vote in once]),
    )


def _position(votes: Iterable[Vote]) -> list[tuple[str, bool]]:
    """Of the decisive votes, which went to the answer shown first; a half of them where nobody leans to a side."""
    return [(vote.example, vote.verdict == "first") for vote in votes if vote.winner]


def _steadiness(votes: Sequence[Vote]) -> list[tuple[str, bool]]:
    """Of the questions asked again with sides swapped, which got the same verdict."""
    first = {(vote.rater, vote.item): vote for vote in votes if not vote.repeat}
    again = [(vote, first.get((vote.rater, vote.item))) for vote in votes if vote.repeat]
    return [(vote.example, _choice(vote) == _choice(before)) for vote, before in again if before is not None]


def _choice(vote: Vote) -> str | None:
    """The verdict without its side: an arm's name, tie or both bad."""
    return vote.winner or vote.verdict


def _agreement(votes: Sequence[Vote]) -> Agreement | None:
    """Between raters, on items with two votes or more; a preference, a tie and both bad are different things."""
    counts: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for vote in votes:
        category = 2 if vote.verdict == "both bad" else (0, 1, 3)[side_of(vote, vote.item[1:])]
        counts[vote.item][category] += 1
    table = np.array(list(counts.values()), dtype=float).reshape(-1, 4)
    return strengths.agreement(table, [item[0] for item in counts], LEVEL, mirrored=True)


def share_of(marks: Sequence[tuple[str, bool]]) -> Share | None:
    """The share of (dialogue, yes or no) marks, with an interval over dialogues; None without marks."""
    if not marks:
        return None
    index = intervals.unit_index([dialogue for dialogue, _ in marks])[1]
    yes = np.bincount(index, [mark for _, mark in marks])
    return strengths.share(yes, np.bincount(index).astype(float), LEVEL)
