"""Scores of arms -> verdicts: `comparison` returns a Comparison, `compare` the same as plain JSON values.

    align      the examples that every arm has a value of the deciding metric for; the others are listed by arm
    measure    for each metric: each arm, and each pair *on the same units*, by t, Wilson or bootstrap
    decide     verdicts on the deciding metric's pairs, the arm to ship, results over seeds
    warnings   warnings about the comparison

The result depends only on scores, a seed and the options, so two runs give the same file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from luthier.errors import SettingsError
from luthier.metrics import CAN_DECIDE, DECIDING, ENDS, MARGIN, SMALLEST_MARGIN, TOO_SMALL
from luthier.results.comparison import ArmMetric, Comparison, Pair
from luthier.results.record import plain
from luthier.scoring.score import signature
from luthier.settings import checked_seed
from luthier.stats import simultaneous
from luthier.verdicts.align import Arms, align, metrics_of, missing
from luthier.verdicts.decide import (
    Cost,
    SeedResults,
    against_baselines,
    arm_metric,
    best_of,
    claims_of,
    decision_of,
    groups_of,
    pair_of,
    power_of,
    rule_of,
    seed_results_of,
)
from luthier.verdicts.measure import Seeds, measure, seed_tables
from luthier.verdicts.warnings import score_facts, warnings_of, words


def comparison(
    arms: Arms,
    *,
    deciding: str = DECIDING,
    margin: float = MARGIN,
    cost: Cost | None = None,
    level: float = 0.95,
    baselines: Sequence[str] = ("copy-3", "zero-shot"),
    seed: int = 0,
    look: int | None = None,
    seeds: Seeds | None = None,
    barred: Mapping[str, str] | None = None,
) -> Comparison:
    """Compares all pairs of arms on the examples they share. None means unknown.

    arms: name -> its scores; a pair (a, b) follows the order of the names, and its difference is mean a - mean b.
    deciding: the metric that verdicts come from; margin: the smallest difference in it that matters (0.02 is 2 points).
    Both are declared before the test split is opened. cost: name -> numbers; smaller is cheaper, and the first
    number counts most.
    level: confidence of the intervals. look: the number k of this look at the test set; its verdicts
    spend (1 - level) / 2^k. None for no correction. seed: of the bootstrap for bleu, chrf and macro_f1.
    seeds: name -> the scores of each further seed of a trained arm. The deciding metric then gets `recipe` rows, means
    over seeds without a verdict, and `claims` says them in two sentences.
    barred: arm -> why, for arms that are compared and never shipped.

    Raises SettingsError for an option out of its range, DataError when the arms do not share their examples.
    """
    check_settings(arms, deciding, margin, cost, level, seed, look)
    table = align(arms, deciding)
    columns = {metric: measure(table, metric, deciding, seed) for metric in metrics_of(table)}
    strict = level if look is None else 1 - simultaneous.alpha_at_look(look, 1 - level)
    decider, rule = columns[deciding], rule_of(columns[deciding], deciding, margin, level, strict)
    pairs = [pair_of(table, columns[metric], pair, rule) for pair in combinations(arms, 2) for metric in columns]
    judged = {(pair.a, pair.b): pair for pair in pairs if pair.metric == deciding}
    result = Comparison(
        deciding=deciding,
        margin=margin,
        level=level,
        look=look,
        alpha=round(1 - strict, 12),  # 0.05, not 0.050000000000000044
        n=len(set(table.units)),
        examples=len(table.ids),
        comparisons=math.comb(len(arms), 2),
        seed=seed,
        signatures={metric: signature(metric, table.references, table.reading) for metric in columns},
        arms={name: {m: arm_metric(columns[m].arms.get(name), level) for m in columns} for name in arms},
        best=best_of(decider, rule),
        pairs=tuple(pairs),
        groups=groups_of(decider, judged),
        power=power_of(decider, rule),
        baselines=against_baselines(list(arms), judged, baselines),
        ship=decision_of(decider, judged, rule, cost, barred or {}),
        excluded=table.excluded,
        missing=missing(table, list(columns)),
        warnings=(),
    )
    if seeds is not None:
        result = _with_seed_results(result, seed_results_of(seed_tables(table, deciding, seeds), level, ENDS[deciding]))
    warnings = warnings_of(result, score_facts(table, baselines))
    return result.model_copy(update={"warnings": tuple(map(words, warnings))})


compare = plain(comparison, "compare")


def again(compared: Comparison, arms: Arms) -> Comparison:
    """These arms compared by the rules of an earlier comparison: its metric, margin, level, look, seed and baselines.

    Costs are not in compare.json: of the arms that the bounds allow, the one that was chosen is taken for the cheapest.
    So equal scores give the decision again, and one that the scores do not allow comes out otherwise. Further seeds are
    not there either. Raises what `comparison` raises.
    """
    chosen = compared.ship.arm
    return comparison(
        arms,
        deciding=compared.deciding,
        margin=compared.margin,
        cost=None if chosen is None else {name: (name != chosen,) for name in arms},
        level=compared.level,
        baselines=compared.baseline_names(),
        seed=compared.seed,
        look=compared.look,
        barred=compared.ship.barred,
    )


def _with_seed_results(result: Comparison, seed_results: SeedResults) -> Comparison:
    """Adds `recipe` to the deciding metric's numbers, and `claims` about the arm to ship, or the best."""

    def arm(name: str, rows: dict[str, ArmMetric]) -> dict[str, ArmMetric]:
        return rows | {result.deciding: rows[result.deciding].model_copy(update={"recipe": seed_results.arms[name]})}

    def pair(of: Pair) -> Pair:
        return of.model_copy(update={"recipe": seed_results.pairs[of.a, of.b]}) if of.metric == result.deciding else of

    arms, name = {name: arm(name, rows) for name, rows in result.arms.items()}, result.ship.choice
    claims = claims_of(name, arms[name][result.deciding], seed_results.seeds[name], result.deciding, result.level)
    return result.model_copy(update={"arms": arms, "pairs": tuple(map(pair, result.pairs)), "claims": claims})


def check_settings(
    arms: Collection[str],
    deciding: str,
    margin: float,
    cost: Cost | None = None,
    level: float = 0.95,
    seed: int = 0,
    look: int | None = None,
) -> None:
    """Raises SettingsError for options that `compare` does not accept; needs only the names of the arms."""
    if not arms:
        raise SettingsError("there are no arms to compare; give at least one")
    if deciding not in CAN_DECIDE:
        raise SettingsError(f"'{deciding}' cannot decide between arms; choose one of {', '.join(CAN_DECIDE)}")
    if not 0 < margin < 1:
        raise SettingsError(f"margin {margin} is not between 0 and 1; scores are on 0 to 1, so 2 points are 0.02")
    if margin < SMALLEST_MARGIN:
        raise SettingsError(f"margin {margin} {TOO_SMALL}")
    if not 0.5 <= level < 1:
        raise SettingsError(f"level {level} is not in 0.5 to 1; 95 % confidence is 0.95")
    if unpriced := [name for name in arms if cost is not None and name not in cost]:
        raise SettingsError(f"no cost is given for {', '.join(unpriced)}; give one for every arm, or none at all")
    checked_seed(seed, "compare")
    if look is not None:
        simultaneous.alpha_at_look(look)
