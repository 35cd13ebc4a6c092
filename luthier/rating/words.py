"""The sentences of ratings.json: conclusions from votes, and warnings about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luthier.results.ratings_record import PairRating, PeopleRatings, Rater, Share
from luthier.stats.intervals import MIN_NONZERO

ENOUGH_RATERS = 5  # from so many people on, sentences speak of raters like these
STEADY = 0.6  # a rater below this repeats verdicts hardly more often than by chance


def sentences(people: PeopleRatings | None, raters: Sequence[Rater], votes_needed: Mapping[str, int]) -> list[str]:
    """The conclusions, for a reader of nothing else.

    people: the results of all people's votes; None without votes. votes_needed: share of decisive votes, such as
    '0.6' -> the votes needed to detect it.
    """
    if people is None:
        return ["No person has voted yet."]
    return [
        *_pairs(people),
        _raters(people),
        _votes_needed(people, votes_needed),
        *_strengths(people),
        *_warnings(people, raters),
    ]


def _pairs(people: PeopleRatings) -> list[str]:
    whose = "these raters" if people.raters < ENOUGH_RATERS else f"raters like these {people.raters}"
    return [_pair(row, whose) for row in people.pairs if row.votes]


def _pair(row: PairRating, whose: str) -> str:
    assert row.win_rate is not None and row.simultaneous_low is not None and row.simultaneous_high is not None
    interval = _percents(row.simultaneous_low, row.simultaneous_high)
    rate = f"{row.a} wins {100 * row.win_rate:.0f} %, simultaneous interval {interval}, n = {row.n}; ties count half"
    if row.verdict == "cannot tell":
        return f"Cannot tell whether {row.a} or {row.b} is preferred ({rate})."
    better, other = (row.a, row.b) if row.verdict == "better" else (row.b, row.a)
    return f"For {whose}, {better} is preferred to {other} ({rate})."


def _raters(people: PeopleRatings) -> str:
    count = people.raters
    votes = f"{count} rater{'s' * (count != 1)}, {people.votes} votes on {people.judged_dialogues} dialogues"
    if count >= ENOUGH_RATERS:
        return f"{votes}."
    return f"{votes}: with fewer than {ENOUGH_RATERS} raters all of this holds for these raters only."


def _votes_needed(people: PeopleRatings, needed: Mapping[str, int]) -> str:
    decisive = [row.decisive_votes for row in people.pairs]
    span = " to ".join(str(votes) for votes in sorted({min(decisive), max(decisive)}))
    return (
        f"A 60/40 preference needs about {needed['0.6']} decisive votes to be found in 80 % of studies, "
        f"a 55/45 one about {needed['0.55']}; the pairs have {span}."
    )


def _strengths(people: PeopleRatings) -> list[str]:
    if people.strengths is None:
        return []
    if people.strengths.reason:
        return [f"No strengths: {people.strengths.reason}."]
    if people.strengths.one_sided:
        return ["Some arm lost no decisive vote: how far it is ahead rests on half a vote added to each outcome."]
    return []


def _warnings(people: PeopleRatings, raters: Sequence[Rater]) -> list[str]:
    """Warnings: raters prefer a side, a rater is inconsistent, or only one rater judged."""
    warnings = []
    side = people.position
    if side and not side.low <= 0.5 <= side.high:
        warnings.append(
            f"The answer shown first won {100 * side.value:.0f} % of decisive votes "
            f"({_percents(side.low, side.high)}): raters "
            "lean to a side. Sides are balanced, so this draws strengths towards each other and not to one arm."
        )
    if people.agreement is None:
        warnings.append("Nobody else judged the shared dialogues: agreement between raters is not known.")
    return warnings + [_unsteady(rater.rater, rater.repeats) for rater in raters if _is_unsteady(rater.repeats)]


def _is_unsteady(repeats: Share | None) -> bool:
    return repeats is not None and repeats.votes >= MIN_NONZERO and repeats.high < STEADY


def _unsteady(name: str, repeats: Share | None) -> str:
    assert repeats is not None
    share = f"{100 * repeats.value:.0f} % of {repeats.votes:.0f} questions"
    return f"{name} said the same on {share} asked again, which is hardly more than chance."


def _percents(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f} %"
