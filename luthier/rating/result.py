"""The results of votes: STUDY/ratings.jsonl -> `result` -> `Ratings`, written to STUDY/ratings.json.

    votes of people   -> strengths, pairs, both bad, agreement, position, consistency, metrics against people
    votes of a judge  -> the same, each judge apart, and how far it agrees with people; never added to theirs

No rater is asked and no model runs. The result holds the rows of the figures that a report draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from luthier.errors import FolderError
from luthier.metrics import METRICS
from luthier.rating import strengths as preference
from luthier.rating.ballot import Ballot, open_ballot
from luthier.rating.votes import LEVEL, people_of, preferences_of, rater_of, share_of, side_of
from luthier.rating.words import sentences
from luthier.records import Score, Vote
from luthier.results.names import arm_folder
from luthier.results.ratings_record import (
    Correlation,
    Figure,
    FigureRow,
    JudgeRatings,
    MetricAgreement,
    PeopleRatings,
    RatingPlan,
    Ratings,
    WithPeople,
)
from luthier.results.record import read_lines_of
from luthier.results.study_record import StudyRecord
from luthier.stats import intervals
from luthier.stats.intervals import ends_of

EXAMPLE_SHARES = (0.6, 0.55, 0.7)  # of decisive votes; the result says how many votes find each of them

Scores = Mapping[str, Mapping[str, Score]]  # arm -> example -> score


def result(folder: Path) -> Ratings:
    """Reads the votes of a study, writes ratings.json and returns what it holds.

    Raises FolderError when nobody has begun to rate or files are damaged. Where votes do not link all arms, there are
    no strengths, with the reason.
    """
    StudyRecord.read(folder)  # raises where there is no study
    if not RatingPlan.is_in(folder):
        raise FolderError(f"{folder}: nobody has rated it yet; begin with: luthier rate {folder} --rater NAME")
    ballot = open_ballot(folder)
    ratings = _ratings(ballot, ballot.votes(), {arm: _scores(folder, arm) for arm in ballot.plan.arms})
    ratings.write(folder)
    return ratings


def _ratings(ballot: Ballot, votes: Sequence[Vote], scores: Scores) -> Ratings:
    plan = ballot.plan
    by_people = [vote for vote in votes if not vote.machine]
    machines = dict.fromkeys(vote.rater for vote in votes if vote.machine)
    people = people_of(ballot, by_people) if by_people else None
    raters = tuple(rater_of(by_people, name) for name in dict.fromkeys(vote.rater for vote in by_people))
    metrics = _metrics(by_people, scores, plan.seed)
    needed = {f"{share:g}": preference.votes_needed(share) for share in EXAMPLE_SHARES}
    return Ratings(
        format=1,
        arms=plan.arms,
        dialogues=len(plan.dialogues),
        shared=plan.shared,
        seed=plan.seed,
        level=LEVEL,
        people=people,
        raters=raters,
        metrics=metrics,
        judges=tuple(_judge(ballot, [vote for vote in votes if vote.rater == name], by_people) for name in machines),
        votes_needed=needed,
        figures=_figures(people, metrics) if people else {},
        sentences=tuple(sentences(people, raters, needed)),
    )


def _scores(folder: Path, arm: str) -> dict[str, Score]:
    return {score.id: score for score in read_lines_of(Score, arm_folder(folder, arm) / "scores.jsonl")}


# ------------------------------------------------------------------------------------------ metrics, judges, people


class _ScoredItem(NamedTuple):
    """What a metric and people say of one item: above 0 for its first arm by name, below 0 for its second."""

    example: str
    difference: float  # of the metric
    sides: list[int]  # 1, 0 or -1 a vote


def _metrics(people: Sequence[Vote], scores: Scores, seed: int) -> dict[str, MetricAgreement]:
    """metric -> how often it prefers the answer that people prefer, and its correlation with them within dialogue."""
    items = {metric: _scored_items(people, scores, metric) for metric in METRICS}
    return {metric: _metric(some, seed) for metric, some in items.items() if some}


def _scored_items(people: Sequence[Vote], scores: Scores, metric: str) -> list[_ScoredItem]:
    items: dict[tuple[str, str, str], _ScoredItem] = {}
    for vote in people:
        example, a, b = vote.item
        first, second = (_value(scores[arm], example, metric) for arm in (a, b))
        if not vote.repeat and first is not None and second is not None:
            item = items.setdefault(vote.item, _ScoredItem(example, first - second, []))
            item.sides.append(1 - side_of(vote, (a, b)))
    return list(items.values())


def _value(scores: Mapping[str, Score], id: str, metric: str) -> float | None:
    return scores[id].values.get(metric) if id in scores else None


def _metric(items: Sequence[_ScoredItem], seed: int) -> MetricAgreement:
    decisive = [(item, side) for item in items for side in item.sides if side]
    same = [(item.example, (item.difference > 0) == (side > 0)) for item, side in decisive if item.difference]
    return MetricAgreement(
        agrees=share_of(same),
        metric_ties=len(decisive) - len(same),
        correlation=_correlation(items, seed),
    )


def _correlation(items: Sequence[_ScoredItem], seed: int) -> Correlation | None:
    """Between differences of the metric and mean preferences, over the items of all dialogues; bootstrap interval.

    Differences of two answers to one dialogue hold nothing of how hard it is, so this is the correlation *within*
    dialogue. Which answer is subtracted from which is arbitrary, hence sums of products around 0 and not the means.
    """
    differences = np.array([item.difference for item in items])
    sides = np.array([np.mean(item.sides) for item in items])
    index = intervals.unit_index([item.example for item in items])[1]
    products = np.stack(
        [np.bincount(index, x) for x in (differences * sides, differences**2, sides**2)], axis=1
    )  # (dialogues, 3)
    total = products.sum(axis=0)
    if len(products) < intervals.MIN_NONZERO or not total[1] * total[2]:
        return None
    resampled = intervals.resampled_sums(products, preference.RESAMPLES, seed)
    defined = resampled[resampled[:, 1] * resampled[:, 2] > 0]
    values = defined[:, 0] / np.sqrt(defined[:, 1] * defined[:, 2])
    ends = intervals.percentile_interval(values, len(products), LEVEL)
    value = float(total[0] / np.sqrt(total[1] * total[2]))
    return Correlation(value=value, **ends_of(ends), n=len(products))


def _judge(ballot: Ballot, votes: Sequence[Vote], people: Sequence[Vote]) -> JudgeRatings:
    """The results of one machine's votes, how often they changed with the order, and whether people agree."""
    given = [vote for vote in votes if vote.verdict is not None]
    preferences = preferences_of(ballot, given) if given else None
    return JudgeRatings(
        judge=votes[0].rater,
        machine=True,
        items=len(votes),
        no_verdict=dict(Counter(vote.reason for vote in votes if vote.verdict is None)),
        inconsistent=share_of([(vote.example, not vote.consistent) for vote in given]),
        turned=dict(Counter(vote.reason for vote in given if not vote.consistent)),
        votes=preferences.votes if preferences else 0,
        strengths=preferences.strengths if preferences else None,
        pairs=preferences.pairs if preferences else (),
        both_bad=preferences.both_bad if preferences else None,
        with_people=_with_people(given, people),
    )


def _with_people(machine: Sequence[Vote], people: Sequence[Vote]) -> WithPeople | None:
    """How often people and the machine agree on the same item: in all votes, and where both chose a side."""
    by_item = {vote.item: vote for vote in machine}
    both = [(vote, by_item[vote.item]) for vote in people if not vote.repeat and vote.item in by_item]
    if not both:
        return None
    same = [(vote.example, vote.winner == other.winner) for vote, other in both]
    sided = [(vote.example, vote.winner == other.winner) for vote, other in both if vote.winner and other.winner]
    return WithPeople(all=share_of(same), decisive=share_of(sided))


# --------------------------------------------------------------------------------------------------------- figures


def _figures(people: PeopleRatings, metrics: Mapping[str, MetricAgreement]) -> dict[str, Figure]:
    strengths = [
        FigureRow(label=row.arm, value=row.log_strength, low=row.low, high=row.high)
        for row in (people.strengths.arms if people.strengths else ())
    ]
    pairs = [
        FigureRow(label=f"{row.a} over {row.b}", value=row.win_rate, low=row.low, high=row.high)
        for row in people.pairs
        if row.win_rate is not None
    ]
    agreement = [
        FigureRow(label=metric, value=row.agrees.value, low=row.agrees.low, high=row.agrees.high)
        for metric, row in metrics.items()
        if row.agrees
    ]
    return {
        "strengths": Figure(x="log-strength", reference=0.0, rows=tuple(strengths)),
        "pairs": Figure(x="win rate, ties counted half", reference=0.5, rows=tuple(pairs)),
        "metrics": Figure(x="share of votes the metric agrees with", reference=0.5, rows=tuple(agreement)),
    }
