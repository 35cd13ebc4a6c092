"""What the votes say: STUDY/ratings.jsonl -> `result`, which is plain JSON values, written to STUDY/ratings.json.

    votes of people   -> strengths, pairs, both bad, agreement, position, steadiness, metrics against people
    votes of a judge  -> the same, each judge apart, and how far it agrees with people; never added to theirs

Nothing is asked and no model runs. The figures' rows are in the result, for a report to draw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luthier.errors import FolderError
from luthier.files import read_json, read_lines, write_json
from luthier.metrics import METRICS
from luthier.rating import strengths as preference
from luthier.rating.ballot import PLAN, Ballot, open_ballot
from luthier.rating.votes import LEVEL, Row, panel_of, rater_of, share_of, side_of
from luthier.records import Score, Vote, from_row
from luthier.stats import intervals
from luthier.stats.intervals import ends_of

RESULT = "ratings.json"
PANEL = 5  # people from whom on something is said of more than these raters
STEADY = 0.6  # a rater surely below this says the same hardly more often than chance does
EXAMPLE_SHARES = (0.6, 0.55, 0.7)  # of decisive votes, for which the number of votes needed is told


def result(folder: Path) -> Row:
    """Reads the votes of a study, writes ratings.json and returns what it holds.

    Raises FolderError when nobody has begun to rate or files are damaged. Where votes do not link all arms, there are
    no strengths, with the reason.
    """
    read_json(folder / "study.json")  # refuses what is no study
    if not (folder / PLAN).exists():
        raise FolderError(f"{folder}: nobody has rated it yet; begin with: luthier rate {folder} --rater NAME")
    ballot = open_ballot(folder)
    votes = ballot.votes()
    people = [vote for vote in votes if not vote.machine]
    machines = list(dict.fromkeys(vote.rater for vote in votes if vote.machine))
    raters = list(dict.fromkeys(vote.rater for vote in people))
    scores = {arm: _scores(folder, arm) for arm in ballot.plan.arms}
    found: Row = {
        "format": 1,
        "arms": list(ballot.plan.arms),
        "dialogues": len(ballot.plan.dialogues),
        "shared": ballot.plan.shared,
        "seed": ballot.plan.seed,
        "level": LEVEL,
        "people": panel_of(ballot, people) if people else None,
        "raters": [rater_of(people, name) for name in raters],
        "metrics": _metrics(ballot, people, scores) if people else {},
        "judges": [_judge(ballot, [v for v in votes if v.rater == name], people) for name in machines],
        "votes_needed": {f"{share:g}": preference.votes_needed(share) for share in EXAMPLE_SHARES},
    }
    found |= {"figures": _figures(found), "sentences": _sentences(found)}
    write_json(folder / RESULT, found)
    return found


def _scores(folder: Path, arm: str) -> dict[str, Score]:
    rows = read_lines(folder / "arms" / arm / "scores.jsonl")
    return {score.id: score for score in (from_row(Score, row) for row in rows)}


# ------------------------------------------------------------------------------------------ metrics, judges, people


def _metrics(ballot: Ballot, people: Sequence[Vote], scores: Mapping[str, Mapping[str, Score]]) -> Row:
    """metric -> how often it prefers the answer that people prefer, and its correlation with them within dialogue."""
    return {metric: row for metric in METRICS if (row := _metric(people, scores, metric, ballot.plan.seed))}


def _metric(people: Sequence[Vote], scores: Mapping[str, Mapping[str, Score]], metric: str, seed: int) -> Row | None:
    rows: dict[Any, tuple[float, list[int]]] = {}
    for vote in people:
        a, b = vote.item[1:]
        first, second = (_value(scores[arm], vote.example, metric) for arm in (a, b))
        if not vote.repeat and first is not None and second is not None:
            rows.setdefault(vote.item, (first - second, []))[1].append(1 - side_of(vote, (a, b)))
    if not rows:
        return None
    sides = [(item[0], (gap > 0) == (side > 0)) for item, (gap, votes) in rows.items() if gap for side in votes if side]
    undecided = sum(1 for gap, votes in rows.values() if not gap for side in votes if side)
    return {"agrees": share_of(sides), "metric_ties": undecided, "correlation": _correlation(rows, seed)}


def _value(scores: Mapping[str, Score], id: str, metric: str) -> float | None:
    return scores[id].values.get(metric) if id in scores else None


def _correlation(rows: Mapping[Any, tuple[float, list[int]]], seed: int) -> Row | None:
    """Between differences of the metric and mean preferences, over the items of all dialogues; bootstrap interval.

    Differences of two answers to one dialogue hold nothing of how hard it is, so this is the correlation *within*
    dialogue. Which answer is subtracted from which is arbitrary, hence sums of products around 0 and not the means.
    """
    gaps, sides = (np.array(column) for column in zip(*((gap, np.mean(v)) for gap, v in rows.values()), strict=True))
    index = intervals.unit_index([item[0] for item in rows])[1]
    products = np.stack([np.bincount(index, x) for x in (gaps * sides, gaps**2, sides**2)], axis=1)
    total = products.sum(axis=0)
    if len(products) < intervals.MIN_NONZERO or not total[1] * total[2]:
        return None
    drawn = intervals.resampled_sums(products, preference.RESAMPLES, seed)
    known = drawn[drawn[:, 1] * drawn[:, 2] > 0]
    ends = intervals.percentile_interval(known[:, 0] / np.sqrt(known[:, 1] * known[:, 2]), len(products), LEVEL)
    return {"value": float(total[0] / np.sqrt(total[1] * total[2])), **ends_of(ends), "n": len(products)}


def _judge(ballot: Ballot, votes: Sequence[Vote], people: Sequence[Vote]) -> Row:
    """One machine's votes: what they say, how often they turned with the sides, and whether people agree."""
    given = [vote for vote in votes if vote.verdict is not None]
    panel = panel_of(ballot, given) if given else {}
    return {
        "judge": votes[0].rater,
        "machine": True,
        "items": len(votes),
        "no_verdict": dict(Counter(vote.reason for vote in votes if vote.verdict is None)),
        "inconsistent": share_of([(vote.example, not vote.consistent) for vote in given]),
        "turned": dict(Counter(vote.reason for vote in given if not vote.consistent)),
        "votes": panel.get("votes", 0),
        "strengths": panel.get("strengths"),
        "pairs": panel.get("pairs", []),
        "both_bad": panel.get("both_bad"),
        "with_people": _with_people(given, people),
    }


def _with_people(machine: Sequence[Vote], people: Sequence[Vote]) -> Row | None:
    """Each person's vote beside the machine's on the same item: how often both say the same; and where both chose."""
    said = {vote.item: vote for vote in machine}
    both = [(vote, said[vote.item]) for vote in people if not vote.repeat and vote.item in said]
    if not both:
        return None
    same = [(vote.example, vote.winner == other.winner) for vote, other in both]
    sided = [(vote.example, vote.winner == other.winner) for vote, other in both if vote.winner and other.winner]
    return {"all": share_of(same), "decisive": share_of(sided)}


def _figures(found: Row) -> Row:
    """Rows of label, value, low, high, ready to be drawn; `reference` is where a line for *no difference* stands."""
    people = found["people"]
    if people is None:
        return {}
    strengths = [
        {"label": row["arm"], "value": row["log_strength"], "low": row["low"], "high": row["high"]}
        for row in (people["strengths"] or {"arms": []})["arms"]
    ]
    pairs = [
        {"label": f"{row['a']} over {row['b']}", "value": row["win_rate"], "low": row["low"], "high": row["high"]}
        for row in people["pairs"]
        if row["win_rate"] is not None
    ]
    agrees = {metric: row["agrees"] for metric, row in found["metrics"].items() if row["agrees"]}
    metrics = [
        {"label": metric, "value": row["value"], "low": row["low"], "high": row["high"]}
        for metric, row in agrees.items()
    ]
    return {
        "strengths": {"x": "log-strength", "reference": 0.0, "rows": strengths},
        "pairs": {"x": "win rate, ties counted half", "reference": 0.5, "rows": pairs},
        "metrics": {"x": "share of votes the metric agrees with", "reference": 0.5, "rows": metrics},
    }


# ------------------------------------------------------------------------------------------------------- sentences


def _sentences(found: Row) -> list[str]:
    """What can be concluded, for someone who reads nothing else."""
    people, needed = found["people"], found["votes_needed"]
    if people is None:
        return ["No person has voted yet."]
    count = people["raters"]
    whose = "these raters" if count < PANEL else f"raters like these {count}"
    said = [_pair_sentence(row, whose) for row in people["pairs"] if row["votes"]]
    said.append(
        f"{count} rater{'s' * (count != 1)}, {people['votes']} votes on {people['judged_dialogues']} dialogues"
        + (f": with fewer than {PANEL} raters all of this holds for these raters only." if count < PANEL else ".")
    )
    said.append(
        f"A 60/40 preference needs about {needed['0.6']} decisive votes to be found in 80 % of studies, "
        f"a 55/45 one about {needed['0.55']}; the pairs have "
        f"{' to '.join(str(n) for n in _range(row['a_wins'] + row['b_wins'] for row in people['pairs']))}."
    )
    strengths = people["strengths"] or {"one_sided": None, "reason": None}
    if strengths["reason"]:
        said.append(f"No strengths: {strengths['reason']}.")
    if strengths["one_sided"]:
        said.append("Some arm lost no decisive vote: how far it is ahead rests on half a vote added to each outcome.")
    return said + _warnings(found)


def _range(numbers: Iterable[int]) -> list[int]:
    return sorted({min(found := list(numbers)), max(found)})


def _pair_sentence(row: Row, whose: str) -> str:
    rate = f"{100 * row['win_rate']:.0f} %, simultaneous interval {_percents(row, 'simultaneous_')}, n = {row['n']}"
    if row["verdict"] == "cannot tell":
        return f"Cannot tell whether {row['a']} or {row['b']} is preferred ({row['a']} wins {rate}; ties count half)."
    better, other = (row["a"], row["b"]) if row["verdict"] == "better" else (row["b"], row["a"])
    return f"For {whose}, {better} is preferred to {other} ({row['a']} wins {rate}; ties count half)."


def _percents(row: Row, prefix: str = "") -> str:
    return f"{100 * row[f'{prefix}low']:.0f} to {100 * row[f'{prefix}high']:.0f} %"


def _warnings(found: Row) -> list[str]:
    """What speaks against trusting the votes: a lean to a side, a rater who is not steady, nobody to compare with."""
    people, said = found["people"], []
    side = people["position"]
    if side and not side["low"] <= 0.5 <= side["high"]:
        said.append(
            f"The answer shown first won {100 * side['value']:.0f} % of decisive votes ({_percents(side)}): raters "
            "lean to a side. Sides are balanced, so this draws strengths towards each other and not to one arm."
        )
    if people["agreement"] is None:
        said.append("Nobody else judged the shared dialogues: agreement between raters is not known.")
    for row in found["raters"]:
        steady = row["repeats"]
        if steady and steady["votes"] >= intervals.MIN_NONZERO and steady["high"] < STEADY:
            share = f"{100 * steady['value']:.0f} % of {steady['votes']:.0f} questions"
            said.append(f"{row['rater']} said the same on {share} asked again, which is hardly more than chance.")
    return said
