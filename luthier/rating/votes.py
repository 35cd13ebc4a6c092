"""What a panel's votes say, as plain JSON values: of people together, of one rater, of one machine.

An item is one pair of arms on one dialogue. Its votes share the weight 1; repeats are only looked at for steadiness.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np

from luthier.errors import DataError
from luthier.rating import strengths
from luthier.rating.ballot import Ballot, Item
from luthier.rating.strengths import Share
from luthier.records import Vote
from luthier.stats import intervals, simultaneous
from luthier.stats.intervals import Floats, Interval, ends_of

Row = dict[str, Any]

LEVEL = 0.95


def panel_of(ballot: Ballot, votes: Sequence[Vote]) -> Row:
    """Everything that is said of people together, or of one judge."""
    once = [vote for vote in votes if not vote.repeat and vote.verdict is not None]
    outcomes, passed = _outcomes(ballot, votes)
    return {
        "raters": len({vote.rater for vote in votes}),
        "votes": len(once),
        "judged_dialogues": len(outcomes),
        "identical_items": passed,
        "strengths": _strengths(ballot, outcomes) if len(outcomes) else None,
        "pairs": [_pair(ballot, number, once, outcomes) for number in range(len(ballot.plan.pairs))],
        "both_bad": _both_bad(ballot, once),
        "position": share_of(_position(once)),
        "repeats": share_of(_steadiness(votes)),
        "agreement": _agreement(ballot, once),
    }


def _outcomes(ballot: Ballot, votes: Sequence[Vote]) -> tuple[Floats, int]:
    """(dialogues, pairs, 3) outcomes, each item weighing 1 however many votes it has; and how many are identical.

    An identical item counts as a tie once a rater has come past it, as if it had been asked in its place.
    """
    by_item: dict[Any, list[int]] = defaultdict(list)
    pairs = {tuple(sorted(pair)): (number, pair) for number, pair in enumerate(ballot.plan.pairs)}
    for vote in votes:
        if not vote.repeat and vote.verdict is not None:
            by_item[vote.item].append(side_of(vote, pairs[vote.item[1:]][1]))
    passed = {item.key[:3] for item in _passed(ballot, votes)}
    by_item |= {key: [1] for key in passed - set(by_item)}
    table: dict[str, Floats] = defaultdict(lambda: np.zeros((len(pairs), 3)))
    for (id, *arms), sides in by_item.items():
        table[id][pairs[tuple(arms)][0]] = np.bincount(sides, minlength=3) / len(sides)
    # In the plan's order, so that the bootstrap does not hang on who voted when.
    rows = [table[id] for id in ballot.plan.dialogues if id in table]
    return np.array(rows).reshape(-1, len(pairs), 3), len(passed)


def side_of(vote: Vote, pair: Sequence[str]) -> int:
    """0 the pair's first arm is preferred, 1 neither, 2 its second."""
    return 1 if vote.winner is None else 2 * pair.index(vote.winner)


def _passed(ballot: Ballot, votes: Sequence[Vote]) -> Iterable[Item]:
    """Identical items that stand before the last vote of some rater; all of them once everything is judged."""
    judged = {vote.item for vote in votes}
    for rater in dict.fromkeys(vote.rater for vote in votes):
        order = ballot.order(rater)
        own = {(*vote.item, vote.repeat) for vote in votes if vote.rater == rater}
        last = max((place for place, item in enumerate(order) if item.key in own), default=0)
        if all(item.identical or item.key[:3] in judged for item in order):
            last = len(order)
        yield from (item for item in order[:last] if item.identical)


def _strengths(ballot: Ballot, outcomes: Floats) -> Row:
    """Davidson's strengths with intervals, and what they mean as chances against the other arms."""
    arms, index = ballot.plan.arms, {arm: place for place, arm in enumerate(ballot.plan.arms)}
    pairs = [(index[a], index[b]) for a, b in ballot.plan.pairs]
    try:
        found = strengths.strengths(outcomes, pairs, len(arms), level=LEVEL, seed=ballot.plan.seed)
    except DataError as error:
        return {"arms": [], "log_tie": None, "one_sided": None, "reason": str(error)}
    rates = _win_rates(found.fit, pairs)
    rows: list[Row] = [
        {"arm": arm, "log_strength": float(strength), **ends_of(ends), "win_rate": rate}
        for arm, strength, ends, rate in zip(arms, found.fit.log_strengths, found.intervals, rates, strict=True)
    ]
    ranked = sorted(rows, key=lambda row: -row["log_strength"])
    return {"arms": ranked, "log_tie": float(found.fit.log_tie), "one_sided": found.one_sided, "reason": None}


def _win_rates(fit: strengths.Davidson, pairs: strengths.Pairs) -> list[float]:
    """What the model expects of each arm against one of the others drawn at random, ties counted half."""
    arms = len(fit.log_strengths)
    rates = np.zeros(arms)
    for (i, j), (first, tie, second) in zip(pairs, fit.chances(pairs), strict=True):
        rates[i] += (first + tie / 2) / (arms - 1)
        rates[j] += (second + tie / 2) / (arms - 1)
    return [float(rate) for rate in rates]


def _pair(ballot: Ballot, number: int, votes: Sequence[Vote], outcomes: Floats) -> Row:
    """One pair by its own votes alone, whatever the model says: how often a wins, ties counted half."""
    pair = ballot.plan.pairs[number]
    own = [vote for vote in votes if vote.item[1:] == tuple(sorted(pair))]
    counts = Counter(side_of(vote, pair) for vote in own)
    rows = outcomes[:, number][outcomes[:, number].sum(axis=1) > 0] if len(outcomes) else outcomes
    row: Row = {
        "a": pair[0], "b": pair[1], "n": len(rows), "votes": len(own), "a_wins": counts[0], "ties": counts[1],
        "b_wins": counts[2], "both_bad": sum(vote.verdict == "both bad" for vote in own),
    }  # fmt: skip
    if not len(rows):
        return row | {"win_rate": None, **ends_of(None), **ends_of(None, "simultaneous_"), "verdict": "cannot tell"}
    estimate = strengths.preference(rows[:, 0] - rows[:, 2])
    family = estimate.interval(simultaneous.simultaneous_level(LEVEL, len(ballot.plan.pairs)))
    verdict = simultaneous.verdict(family, margin=0.0, n=estimate.n, nonzero=estimate.nonzero)
    return row | {
        "win_rate": (1 + estimate.value) / 2,
        **ends_of(_as_rate(estimate.interval(LEVEL))),
        **ends_of(_as_rate(family), "simultaneous_"),
        "verdict": verdict,
        "decisive": share_of([(vote.example, vote.winner == pair[0]) for vote in own if vote.winner]),
    }


def _as_rate(ends: Interval) -> Interval:
    return Interval((1 + ends.low) / 2, (1 + ends.high) / 2)


def _both_bad(ballot: Ballot, votes: Sequence[Vote]) -> Row:
    """How often both answers were called bad: over all votes, and over the votes that each arm was part of."""
    marks = [(vote.example, vote.verdict == "both bad", vote) for vote in votes]
    arms = {arm: [(id, bad) for id, bad, vote in marks if arm in vote.item[1:]] for arm in ballot.plan.arms}
    return {"all": share_of([mark[:2] for mark in marks])} | {
        "arms": {arm: share_of(rows) for arm, rows in arms.items()}
    }


def _position(votes: Iterable[Vote]) -> list[tuple[str, bool]]:
    """Of the decisive votes, which went to the answer shown first; a half of them where nobody leans to a side."""
    return [(vote.example, vote.verdict == "first") for vote in votes if vote.winner]


def _steadiness(votes: Sequence[Vote]) -> list[tuple[str, bool]]:
    """Of the questions asked again with sides swapped, which got the same verdict."""
    first = {(vote.rater, vote.item): vote for vote in votes if not vote.repeat}
    again = [(vote, first.get((vote.rater, vote.item))) for vote in votes if vote.repeat]
    return [(vote.example, _said(vote) == _said(before)) for vote, before in again if before is not None]


def _said(vote: Vote) -> str | None:
    """The verdict without its side: an arm's name, tie or both bad."""
    return vote.winner or vote.verdict


def _agreement(ballot: Ballot, votes: Sequence[Vote]) -> Row | None:
    """Between raters, on items with two votes or more; a preference, a tie and both bad are different things."""
    counts: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for vote in votes:
        side = 2 if vote.verdict == "both bad" else (0, 1, 3)[side_of(vote, vote.item[1:])]
        counts[vote.item][side] += 1
    table = np.array(list(counts.values()), dtype=float).reshape(-1, 4)
    return _agreement_row(strengths.agreement(table, [item[0] for item in counts], LEVEL, mirrored=True))


def _agreement_row(found: strengths.Agreement | None) -> Row | None:
    if found is None:
        return None
    return {
        "percent": _share_row(found.percent), "alpha": found.alpha, "low": found.low, "high": found.high,
        "items": found.items,
    }  # fmt: skip


def rater_of(people: Sequence[Vote], name: str) -> Row:
    """One person: how much, how fast, how steady, leaning where."""
    own = [vote for vote in people if vote.rater == name]
    once = [vote for vote in own if not vote.repeat]
    seconds = [vote.seconds for vote in own if vote.seconds is not None]
    others: dict[Any, list[Vote]] = defaultdict(list)
    for vote in people:
        if vote.rater != name and not vote.repeat:
            others[vote.item].append(vote)
    same = [(vote.example, _said(vote) == _said(other)) for vote in once for other in others[vote.item]]
    return {
        "rater": name,
        "votes": len(own),
        "seconds_median": median(seconds) if seconds else None,
        "position": share_of(_position(once)),
        "repeats": share_of(_steadiness(own)),
        "with_others": share_of(same),
        "ties": share_of([(vote.example, vote.winner is None) for vote in once]),
        "both_bad": share_of([(vote.example, vote.verdict == "both bad") for vote in once]),
    }


# ---------------------------------------------------------------------------------------------------- plain values


def share_of(marks: Sequence[tuple[str, bool]]) -> Row | None:
    """The share of (dialogue, yes or no) marks, with an interval over dialogues; None without marks."""
    if not marks:
        return None
    index = intervals.unit_index([dialogue for dialogue, _ in marks])[1]
    yes = np.bincount(index, [mark for _, mark in marks])
    found = strengths.share(yes, np.bincount(index).astype(float), LEVEL)
    return _share_row(found) if found else None


def _share_row(found: Share) -> Row:
    return {"value": found.value, "low": found.low, "high": found.high, "votes": found.votes}
