"""Arms aligned by example key -> verdicts: `comparison`, and `compare`, which says the same in plain JSON values.

    align      the examples that every arm has a value of the deciding metric for; all others are listed, by arm
    measure    for each metric: each arm, and each pair *on the same units*, by t, Wilson or bootstrap
    verdicts   the deciding metric's pairs from simultaneous intervals, the arm to ship, what several seeds say
    warn       what a reader must know before believing any of it

Everything follows from scores, a seed and what was declared: no text, model or clock, so two runs give the same file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import combinations

from luthier.errors import SettingsError
from luthier.metrics import CAN_DECIDE, DECIDING, MARGIN, SMALLEST_MARGIN
from luthier.results.comparison import ArmMetric, Comparison, Pair
from luthier.results.record import plain
from luthier.scoring.score import signature
from luthier.settings import checked_seed
from luthier.stats import simultaneous
from luthier.verdicts.align import Arms, align, metrics_of, missing
from luthier.verdicts.decide import (
    Cost,
    Recipes,
    against_baselines,
    arm_metric,
    best_of,
    claims_of,
    decision_of,
    groups_of,
    pair_of,
    power_of,
    recipes_of,
    rule_of,
)
from luthier.verdicts.measure import Seeds, measure, seed_tables
from luthier.verdicts.warnings import beside, warnings_of, words


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
) -> Comparison:
    """Compares all pairs of arms on the examples they share. None stands for what is not known.

    arms: name -> its scores; a pair (a, b) follows the order of the names, and its difference is mean a - mean b.
    deciding: the metric that verdicts come from; margin: the smallest difference in it that matters (0.02 is 2 points).
    Both are declared before the test split is opened. cost: name -> numbers, smaller is cheaper, the first counts most.
    level: confidence of the intervals. look: this is the k-th look at this test set, whose verdicts spend
    (1 - level) / 2^k; None for no correction. seed: of the bootstrap for bleu, chrf and macro_f1.
    seeds: name -> the scores of each further seed of a trained arm; `recipe` rows beside the deciding metric's numbers
    then say what holds when it is trained again, without a verdict, and `claims` says so in two sentences.

    Raises SettingsError for an option out of its range, DataError when the arms do not share their examples.
    """
    check_settings(arms, deciding, margin, cost, level, seed, look)
    table = align(arms, deciding)
    columns = {metric: measure(table, metric, deciding, seed) for metric in metrics_of(table)}
    strict = level if look is None else 1 - simultaneous.alpha_at_look(look, 1 - level)
    decider, rule = columns[deciding], rule_of(columns[deciding], deciding, margin, level, strict)
    pairs = [pair_of(table, columns[metric], pair, rule) for pair in combinations(arms, 2) for metric in columns]
    judged = {(pair.a, pair.b): pair for pair in pairs if pair.metric == deciding}
    found = Comparison(
        deciding=deciding,
        margin=margin,
        level=level,
        look=look,
        alpha=round(1 - strict, 12),  # 0.05, not 0.050000000000000044
        n=len(set(table.units)),
        examples=len(table.ids),
        comparisons=math.comb(len(arms), 2),
        seed=seed,
        signatures={metric: signature(metric, table.references) for metric in columns},
        arms={name: {m: arm_metric(columns[m].arms.get(name), level) for m in columns} for name in arms},
        best=best_of(decider, rule),
        pairs=tuple(pairs),
        groups=groups_of(decider, judged),
        power=power_of(decider, rule),
        baselines=against_baselines(list(arms), judged, baselines),
        ship=decision_of(decider, judged, rule, cost),
        excluded=table.excluded,
        missing=missing(table, list(columns)),
        warnings=(),
    )
    if seeds is not None:
        found = _with_recipes(found, recipes_of(seed_tables(table, deciding, seeds), level))
    warnings = warnings_of(found, beside(table, baselines))
    return found.model_copy(update={"warnings": tuple(map(words, warnings))})


compare = plain(comparison, "compare")


def _with_recipes(found: Comparison, recipes: Recipes) -> Comparison:
    """`recipe` beside the deciding metric's numbers, and `claims` about the arm to ship, or the best."""

    def arm(name: str, rows: dict[str, ArmMetric]) -> dict[str, ArmMetric]:
        return rows | {found.deciding: rows[found.deciding].model_copy(update={"recipe": recipes.arms[name]})}

    def pair(of: Pair) -> Pair:
        return of.model_copy(update={"recipe": recipes.pairs[of.a, of.b]}) if of.metric == found.deciding else of

    arms, name = {name: arm(name, rows) for name, rows in found.arms.items()}, found.ship.choice
    claims = claims_of(name, arms[name][found.deciding], recipes.seeds[name], found.deciding, found.level)
    return found.model_copy(update={"arms": arms, "pairs": tuple(map(pair, found.pairs)), "claims": claims})


def check_settings(
    arms: Collection[str],
    deciding: str,
    margin: float,
    cost: Cost | None = None,
    level: float = 0.95,
    seed: int = 0,
    look: int | None = None,
) -> None:
    """Refuses with SettingsError what `compare` cannot do; `arms` are names, so nothing need be scored beforehand."""
    if not arms:
        raise SettingsError("there are no arms to compare; give at least one")
    if deciding not in CAN_DECIDE:
        raise SettingsError(f"'{deciding}' cannot decide between arms; choose one of {', '.join(CAN_DECIDE)}")
    if not 0 < margin < 1:
        raise SettingsError(f"margin {margin} is not between 0 and 1; scores are on 0 to 1, so 2 points are 0.02")
    if margin < SMALLEST_MARGIN:
        raise SettingsError(f"margin {margin} is smaller than any test set can show; give {SMALLEST_MARGIN:g} or more")
    if not 0.5 <= level < 1:
        raise SettingsError(f"level {level} is not in 0.5 to 1; 95 % confidence is 0.95")
    if unpriced := [name for name in arms if cost is not None and name not in cost]:
        raise SettingsError(f"no cost is given for {', '.join(unpriced)}; give one for every arm, or none at all")
    checked_seed(seed, "compare")
    if look is not None:
        simultaneous.alpha_at_look(look)
