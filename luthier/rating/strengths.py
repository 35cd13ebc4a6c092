"""The statistics of votes between two answers: strengths, agreement, shares, and how many votes a difference needs.

Outcomes are an array (dialogues, pairs, 3): the weight of *first preferred*, *no preference*, *second preferred*. All
votes on one pair in one dialogue share the weight 1, so a dialogue that several raters read counts once. The estimate
is the *marginal preference*: how often one of these raters prefers the first arm, on a dialogue like these. Votes on
one dialogue depend on each other, so resampling draws dialogues, not votes.

Choices and why (simulated raters, `python -m calibration.rating`):
- Strengths: the percentile bootstrap over dialogues, widened to Student's t level, as for corpus metrics in
  `stats/intervals.py`.
- Shares of votes: Wilson's interval on the number of independent votes that the clusters are worth.
- Win rates of a pair: t after adding one win and one loss, which is never empty, also when one arm wins always.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm
from scipy.stats import t as student

from luthier.errors import DataError, SettingsError
from luthier.results.ratings_record import Agreement, Share
from luthier.stats.intervals import (
    Estimate,
    Floats,
    Interval,
    mean_of,
    percentile_interval,
    resampled_sums,
    t_interval,
    unit_index,
    wilson,
)

Pairs = Sequence[tuple[int, int]]  # (first, second) arm of each column of outcomes

PRIOR = 0.5  # votes added to each of the three outcomes of a compared pair: an arm that wins always stays finite
RESAMPLES = 2_000
_STEPS, _STEP, _CLOSE = 60, 2.0, 1e-9  # Newton: at most so many steps, so long, until they are as short as this


# ------------------------------------------------------------------------------------------------------- strengths


class Davidson(NamedTuple):
    """log_strengths (..., arms) with mean 0; log_tie (...): the logarithm of nu, 0 where even arms tie in a third."""

    log_strengths: Floats
    log_tie: Floats

    def chances(self, pairs: Pairs) -> Floats:
        """(..., pairs, 3): the chances of first, tie and second."""
        parameters = np.concatenate([self.log_strengths, self.log_tie[..., None]], axis=-1)
        return _softmax(parameters @ _design(pairs, self.log_strengths.shape[-1]).T)


def davidson(outcomes: Floats, pairs: Pairs, arms: int) -> Davidson:
    """Strengths from (..., pairs, 3) summed outcomes, for many data sets at once.

    P(i over j) = p_i / s, P(tie) = nu sqrt(p_i p_j) / s, s = p_i + p_j + nu sqrt(p_i p_j)   (Davidson 1970, "On
    Extending the Bradley-Terry Model to Accommodate Ties"). PRIOR votes are added to each outcome of a pair that was
    compared; half a vote is what Haldane (1956) and Anscombe (1956) add to a logit, against bias and infinity.

    Raises DataError when the compared pairs do not link all arms: the groups then have no common scale.
    """
    return _fit(outcomes + _prior(outcomes.reshape(-1, len(pairs), 3).sum(axis=0), pairs, arms), pairs, arms)


def _prior(summed: Floats, pairs: Pairs, arms: int) -> Floats:
    """(pairs, 3) votes to add; refuses when the pairs that were compared do not link all arms."""
    compared = summed.sum(axis=1) > 0
    linked = [pair for pair, has in zip(pairs, compared, strict=True) if has]
    groups = connected_components(_graph(linked, arms), directed=False)[0]
    if groups > 1:
        raise DataError(
            f"the votes compare the arms in {groups} groups that no vote links, so their strengths have no common "
            "scale; judge more items"
        )
    return np.where(compared, PRIOR, 0.0)[:, None] * np.ones(3)


def _fit(counts: Floats, pairs: Pairs, arms: int, start: Davidson | None = None) -> Davidson:
    """The maximum of the likelihood of (..., pairs, 3) counts; `start` saves steps.

    In log p and log nu the model is a multinomial logit, whose likelihood is concave: Newton's steps find its maximum.
    """
    flat = counts.reshape(-1, 3 * len(pairs))
    design = _design(pairs, arms)[:, 1:]  # the first arm is the zero of the scale until the end
    free = np.zeros((len(flat), design.shape[1])) + (0.0 if start is None else _parameters(start))
    for _ in range(_STEPS):
        score, information = _score_and_information(flat, free, design)
        step = np.clip(np.linalg.solve(information, score[..., None])[..., 0], -_STEP, _STEP)
        free = free + step
        if np.abs(step).max() < _CLOSE:
            break
    strengths = np.concatenate([np.zeros((len(free), 1)), free[:, :-1]], axis=1)
    strengths -= strengths.mean(axis=1, keepdims=True)
    shape = counts.shape[:-2]
    return Davidson(strengths.reshape(*shape, arms), free[:, -1].reshape(shape))


def _parameters(fit: Davidson) -> Floats:
    """The free parameters of one fit: strengths against the first arm, then log nu."""
    return np.append(fit.log_strengths[1:] - fit.log_strengths[0], fit.log_tie)


def _score_and_information(counts: Floats, free: Floats, design: Floats) -> tuple[Floats, Floats]:
    """First derivatives and minus the second ones of the log-likelihood of multinomial logits."""
    sets, width = free.shape
    expected = _softmax(free @ design.T) * _per_pair(counts).sum(axis=2, keepdims=True)
    flat = expected.reshape(sets, -1)
    squares = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    # Per pair: n times the covariance of the features, which is E[xx'] - E[x] E[x]'.
    means = np.einsum("spo,pof->spf", expected, design.reshape(-1, 3, width))
    totals = np.maximum(_per_pair(counts).sum(axis=2), 1e-300)[..., None]
    between = np.matmul((means / totals).transpose(0, 2, 1), means)
    return (counts - flat) @ design, (flat @ squares).reshape(sets, width, width) - between


def _per_pair(flat: Floats) -> Floats:
    return flat.reshape(len(flat), -1, 3)


def _softmax(utilities: Floats) -> Floats:
    """(..., 3 x pairs) utilities -> (..., pairs, 3) chances."""
    by_pair = utilities.reshape(*utilities.shape[:-1], -1, 3)
    powers = np.exp(by_pair - by_pair.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _design(pairs: Pairs, arms: int) -> Floats:
    """(3 x pairs, arms + 1): utility of an outcome = log p_i, log nu + (log p_i + log p_j) / 2, log p_j."""
    design = np.zeros((len(pairs), 3, arms + 1))
    for row, (i, j) in enumerate(pairs):
        design[row, 0, i] = design[row, 2, j] = design[row, 1, arms] = 1
        design[row, 1, [i, j]] = 0.5
    return design.reshape(-1, arms + 1)


def _graph(edges: Pairs, arms: int) -> coo_matrix:
    rows, columns = np.array(edges, dtype=int).reshape(-1, 2).T
    return coo_matrix((np.ones(len(edges)), (rows, columns)), shape=(arms, arms))


@dataclass(frozen=True)
class StrengthEstimates:
    """Strengths of arms with their intervals; `one_sided`: a group of arms lost no decisive vote."""

    fit: Davidson
    intervals: list[Interval]  # of the log-strengths, one an arm
    one_sided: bool


def strengths(
    outcomes: Floats, pairs: Pairs, arms: int, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> StrengthEstimates:
    """Davidson's strengths from (dialogues, pairs, 3) outcomes, with bootstrap intervals over dialogues.

    Where one group of arms lost no vote to the rest (Ford 1957), or there are only ties, resamples look alike and
    the bootstrap interval is too short. The interval is then widened to hold also the normal one from the curvature at
    the fit with its PRIOR votes, and `one_sided` is set.
    Raises DataError when the votes do not link all arms.
    """
    summed = outcomes.sum(axis=0)
    prior = _prior(summed, pairs, arms)
    fit = _fit(summed + prior, pairs, arms)
    resampled = resampled_sums(outcomes.reshape(len(outcomes), -1), resamples, seed).reshape(-1, len(pairs), 3)
    fits = _fit(resampled + prior, pairs, arms, fit).log_strengths
    intervals = [percentile_interval(fits[:, arm], len(outcomes), level) for arm in range(arms)]
    one_sided = _one_sided(summed, pairs, arms)
    if one_sided:
        both = zip(intervals, _curvature_intervals(summed + prior, pairs, fit, level), strict=True)
        intervals = [Interval(min(a.low, b.low), max(a.high, b.high)) for a, b in both]
    return StrengthEstimates(fit, intervals, one_sided)


def _one_sided(outcomes: Floats, pairs: Pairs, arms: int) -> bool:
    """Whether the graph of who beat whom at least once, ties left out, does not lead from every arm to every other."""
    won = [(i, j) for (i, j), (first, _, _) in zip(pairs, outcomes, strict=True) if first > 0]
    lost = [(j, i) for (i, j), (_, _, second) in zip(pairs, outcomes, strict=True) if second > 0]
    return bool(connected_components(_graph(won + lost, arms), connection="strong")[0] > 1)


def _curvature_intervals(counts: Floats, pairs: Pairs, fit: Davidson, level: float) -> list[Interval]:
    """Normal intervals of the centred log-strengths from the information at the fit."""
    arms, free = len(fit.log_strengths), _parameters(fit)[None]
    information = _score_and_information(counts.reshape(1, -1), free, _design(pairs, arms)[:, 1:])[1][0]
    centre = (np.eye(arms) - 1 / arms)[:, 1:]  # the first arm's strength was fixed at 0
    spread = np.sqrt(np.diag(centre @ np.linalg.inv(information)[:-1, :-1] @ centre.T))
    z = float(norm.ppf((1 + level) / 2))
    ends = zip(fit.log_strengths - z * spread, fit.log_strengths + z * spread, strict=True)
    return [Interval(float(low), float(high)) for low, high in ends]


# ---------------------------------------------------------------------------------------------------- pairs, shares


def preference(values: Floats) -> Estimate:
    """The mean of (dialogues,) preferences: 1 first, 0 none, -1 second; means of votes may lie between.

    The interval is Student's t after one win and one loss are added (Bonett & Price 2012, "Adjusted Wald Confidence
    Interval for a Difference of Binomial Proportions Based on Paired Data"): the plain one has no length where one arm
    wins everywhere. The win rate with ties counted half is (1 + mean) / 2.
    """
    plain, added = mean_of(values), mean_of(np.append(values, [1.0, -1.0]))

    def interval(level: float) -> Interval:
        low, high = t_interval(added.value, added.sd, added.n, level)
        return Interval(max(-1.0, min(low, plain.value)), min(1.0, max(high, plain.value)))

    return Estimate(plain.value, plain.n, plain.sd, plain.nonzero, interval)


def share(yes: NDArray[Any], votes: NDArray[Any], level: float = 0.95) -> Share | None:
    """The share of yes among votes, from (dialogues,) counts of both; None without votes.

    Wilson's interval on the effective number of votes: divided by the design effect of the clusters (never below 1),
    and by (t / z)^2 for the degrees of freedom (Korn & Graubard 1998, who put Clopper and Pearson's interval on it).
    """
    kept = votes > 0
    yes, votes = yes[kept], votes[kept]
    clusters, total = len(votes), float(votes.sum())
    if clusters == 0:
        return None
    value = float(yes.sum() / total)
    effective = total
    if clusters > 1:
        variance = clusters / (clusters - 1) * float(((yes - value * votes) ** 2).sum()) / total**2
        simple = value * (1 - value) / total
        effective /= max(1.0, variance / simple) if simple > 0 else 1.0
        tail = (1 + level) / 2
        effective *= (float(norm.ppf(tail)) / float(student.ppf(tail, clusters - 1))) ** 2
    worth = max(1, round(effective))
    low, high = wilson(value * worth, worth, level)
    return Share(value=value, low=low, high=high, votes=total)


def votes_needed(share_of_wins: float, level: float = 0.95, power: float = 0.8) -> int:
    """Decisive votes with which a true share of wins is told from one half with probability `power` (normal formula).

    n = ((z_{1 - alpha/2} / 2 + z_power sqrt(p (1 - p))) / (p - 1/2))^2   (Fleiss, Levin & Paik 2003, "Statistical
    Methods for Rates and Proportions", section 2.5); independent votes, one pair. Raises SettingsError at one half.
    """
    if not 0 < share_of_wins < 1 or share_of_wins == 0.5:
        raise SettingsError(f"a share of {share_of_wins} is no difference; give one between 0 and 1 that is not a half")
    spread = math.sqrt(share_of_wins * (1 - share_of_wins))
    reach = float(norm.ppf((1 + level) / 2)) / 2 + float(norm.ppf(power)) * spread
    return math.ceil((reach / (share_of_wins - 0.5)) ** 2)


# -------------------------------------------------------------------------------------------------------- agreement


def agreement(
    counts: Floats, dialogues: Sequence[str], level: float = 0.95, mirrored: bool = False
) -> Agreement | None:
    """Agreement from (items, categories) counts of votes, items with two votes or more; None when there are none.

    alpha = 1 - (1 - observed) / expected disagreement, nominal (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability"): 1 is perfect, 0 what chance would give. Its interval is that of the observed agreement over
    dialogues, with the expected one held fixed. `mirrored`: the first and the last category are two sides of one thing
    (which arm of a pair is called first is arbitrary), so chance gives them equal shares.
    """
    votes = counts.sum(axis=1)
    kept = votes > 1
    counts, votes = counts[kept], votes[kept]
    if not len(counts):
        return None
    alike = (counts * (counts - 1)).sum(axis=1) / (votes - 1)
    index = unit_index([d for d, keep in zip(dialogues, kept, strict=True) if keep])[1]
    observed = share(np.bincount(index, alike), np.bincount(index, votes), level)
    assert observed is not None  # there are items, so there are votes
    expected = _expected_disagreement(counts.sum(axis=0), mirrored)
    if expected == 0:
        return Agreement(percent=observed, alpha=None, low=None, high=None, items=len(counts))
    alpha, low, high = (1 - (1 - share) / expected for share in (observed.value, observed.low, observed.high))
    return Agreement(percent=observed, alpha=alpha, low=low, high=high, items=len(counts))


def _expected_disagreement(totals: Floats, mirrored: bool) -> float:
    """The share of pairs of votes that would differ if all votes were shuffled."""
    if mirrored:
        totals = totals.copy()
        totals[[0, -1]] = (totals[0] + totals[-1]) / 2
    n = totals.sum()
    return float(1 - (totals * (totals - 1)).sum() / (n * (n - 1)))
