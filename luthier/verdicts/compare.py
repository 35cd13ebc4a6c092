"""Arms aligned by example key -> verdicts: the one function `compare`, which returns what compare.json holds.

    align      the examples that every arm has a value of the deciding metric for; all others are listed, by arm
    measure    for each metric: each arm, and each pair *on the same units*, by t, Wilson or bootstrap
    verdicts   the deciding metric's pairs from simultaneous intervals, the arm to ship, what several seeds say
    warn       what a reader must know before believing any of it

Everything follows from scores, a seed and what was declared: no text, model or clock, so two runs give the same file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import combinations

from luthier.errors import SettingsError
from luthier.metrics import CAN_DECIDE, DECIDING, MARGIN
from luthier.scoring.score import signature
from luthier.stats import intervals, simultaneous
from luthier.verdicts.align import Arms, Row, Table, align, metrics_of, missing
from luthier.verdicts.decide import (
    Cost,
    arm_row,
    baseline_rows,
    best_row,
    claims,
    group_rows,
    pair_row,
    power_row,
    recipe_rows,
    rule_of,
    ship_row,
)
from luthier.verdicts.measure import Seeds, measure, seed_tables


def compare(
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
) -> Row:
    """Compares all pairs of arms on the examples they share. Plain JSON values; None for what is not known.

    arms: name -> its scores; a pair (a, b) follows the order of the names, and its difference is mean a - mean b.
    deciding: the metric that verdicts come from; margin: the smallest difference in it that matters (0.02 is 2 points).
    Both are declared before the test split is opened. cost: name -> numbers, smaller is cheaper, the first counts most.
    level: confidence of the intervals. look: this is the k-th look at this test set, whose verdicts spend
    (1 - level) / 2^k; None for no correction. seed: of the bootstrap for bleu, chrf and macro_f1.
    seeds: name -> the scores of each further seed of a trained arm; `recipe` rows beside the deciding metric's numbers
    then say what holds when it is trained again, without a verdict, and `claims` says so in two sentences.

    Raises SettingsError for an option out of its range, DataError when the arms do not share their examples.
    """
    check_settings(arms, deciding, margin, cost, level)
    table = align(arms, deciding)
    columns = {metric: measure(table, metric, deciding, seed) for metric in metrics_of(table)}
    strict = level if look is None else 1 - simultaneous.alpha_at_look(look, 1 - level)
    decider, rule = columns[deciding], rule_of(columns[deciding], deciding, margin, level, strict)

    pairs = [pair_row(table, columns[metric], pair, rule) for pair in combinations(arms, 2) for metric in columns]
    judged = {(row["a"], row["b"]): row for row in pairs if row["metric"] == deciding}
    result: Row = {
        "deciding": deciding,
        "margin": margin,
        "level": level,
        "look": look,
        "alpha": round(1 - strict, 12),  # 0.05, not 0.050000000000000044
        "n": len(set(table.units)),
        "examples": len(table.ids),
        "comparisons": math.comb(len(arms), 2),
        "seed": seed,
        "signatures": {metric: signature(metric, table.references) for metric in columns},
        "arms": {name: {m: arm_row(columns[m].arms.get(name), level) for m in columns} for name in arms},
        "best": best_row(decider, rule),
        "pairs": pairs,
        "groups": group_rows(decider, judged),
        "power": power_row(decider, rule),
        "baselines": baseline_rows(list(arms), judged, baselines),
        "ship": ship_row(decider, judged, rule, cost),
        "excluded": table.excluded,
        "missing": missing(table, list(columns)),
    }
    if seeds is not None:
        _add_recipes(result, seed_tables(table, deciding, seeds))
    return {**result, "warnings": _warnings(result, table, baselines)}


def _add_recipes(result: Row, tables: dict[str, intervals.Floats]) -> None:
    """`recipe` beside the deciding metric's numbers, and `claims` about the arm to ship, or the best."""
    deciding, level = result["deciding"], result["level"]
    arms, pairs = recipe_rows(tables, level)
    for name, row in arms.items():
        result["arms"][name][deciding]["recipe"] = row
    for row in result["pairs"]:
        if row["metric"] == deciding:
            row["recipe"] = pairs[row["a"], row["b"]]
    name = result["ship"]["arm"] or result["ship"]["provisional"]
    row = result["arms"][name][deciding]
    result["claims"] = claims(row, arms[name], name, len(tables[name]), deciding, level)


def check_settings(
    arms: Collection[str], deciding: str, margin: float, cost: Cost | None = None, level: float = 0.95
) -> None:
    """Refuses with SettingsError what `compare` cannot do; `arms` are names, so nothing need be scored beforehand."""
    if not arms:
        raise SettingsError("there are no arms to compare; give at least one")
    if deciding not in CAN_DECIDE:
        raise SettingsError(f"'{deciding}' cannot decide between arms; choose one of {', '.join(CAN_DECIDE)}")
    if not 0 < margin < 1:
        raise SettingsError(f"margin {margin} is not between 0 and 1; scores are on 0 to 1, so 2 points are 0.02")
    if not 0.5 <= level < 1:
        raise SettingsError(f"level {level} is not in 0.5 to 1; 95 % confidence is 0.95")
    if unpriced := [name for name in arms if cost is not None and name not in cost]:
        raise SettingsError(f"no cost is given for {', '.join(unpriced)}; give one for every arm, or none at all")


def _warnings(result: Row, table: Table, baselines: Sequence[str]) -> list[str]:
    """What a reader must know before believing the numbers, one sentence each."""
    n, metric, best, margin = result["n"], result["deciding"], result["best"], result["margin"]
    found = []
    for arm, rows in result["excluded"].items():
        reasons = ", ".join(f"{reason} ({times})" for reason, times in Counter(r["reason"] for r in rows).items())
        found.append(f"{len(rows)} examples are left out for every arm: {arm} has no {metric} for them: {reasons}.")
    if n < intervals.MIN_UNITS:
        found.append(f"Only {n} independent units: below {intervals.MIN_UNITS} every verdict is 'cannot tell'.")
    found += _grouping(result, table)
    if result["look"] is not None:
        found.append(_look(result))
    if result["comparisons"]:
        several = f"the highest of {len(result['arms'])}"
        found.append(f"The mean of {best['arm']} is optimistic, being {several}: quote its simultaneous interval.")
    if result["comparisons"] and not result["power"]["equivalence_possible"]:
        found.append(f"With n = {n} and a margin of {margin:.3f} no pair of arms can be found equivalent.")
    for row in result["pairs"]:
        if row.get("identical"):
            found.append(f"{row['a']} and {row['b']} score the same in everything; most likely they answer the same.")
    if absent := [name for name in baselines if name not in result["arms"]]:
        found.append(f"Not among the arms, so that nobody knows whether an arm beats it: {', '.join(absent)}.")
    for arm, rows in result["baselines"].items():
        if arm not in baselines and (unbeaten := [name for name, row in rows.items() if not row["beats"]]):
            found.append(f"{arm} is not shown to beat the baseline {', '.join(unbeaten)}.")
    return found


def _grouping(result: Row, table: Table) -> list[str]:
    """What was taken together before anything was counted: rows of one unit, references of one example."""
    found, n = [], result["n"]
    if n < result["examples"]:
        most = max(Counter(table.units).values())
        found.append(
            f"{result['examples']} examples are {n} independent units (of up to {most} rows); intervals count units."
        )
    counts = Counter(score.reference_count for score in next(iter(table.scores.values())))
    if max(counts) > 1:
        many = f"{max(counts)} references" if len(counts) == 1 else f"{min(counts)} to {max(counts)} references"
        found.append(f"Examples have {many}, which make one score, not several units (ROUGE: {table.references}).")
    return found


def _look(result: Row) -> str:
    confidence = f"{100 * (1 - result['alpha']):.5g} %"
    return (
        f"This is look {result['look']} at this test set, so verdicts need {confidence} confidence: each look may err "
        "half as often as the one before it."
    )
