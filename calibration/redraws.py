"""Is a stated difference decided as often as it was predicted? Redraws of a study's own scores, with replacement.

    python -m calibration.redraws STUDY [REPEATS]     into calibration/results/redraws.json and docs/redraws.md

A redraw takes n dialogues of the study with all arms' scores of them, so a pair keeps its ties, its skewness and what
it shares with other pairs, and the study's own means are the truth. Each redraw is judged as a study of all these arms
is: one error rate for all pairs. A *stated* difference takes the place of a pair's own by moving one arm's scores.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from luthier.files import write_json, write_text
from luthier.results.comparison import Comparison
from luthier.results.folder import StudyFolder
from luthier.stats import intervals, power, simultaneous
from luthier.stats.intervals import Estimate, Floats
from luthier.verdicts.align import align
from luthier.verdicts.measure import measure

Row = dict[str, Any]
Pair = tuple[str, str]

RESULTS = Path(__file__).parent / "results" / "redraws.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "redraws.md"

FEW, SIZES = 20, (100, 200)  # a test set that is too small, and those whose power is held against what happens
REPEATS, LEVEL, POWER, SEED = 2_000, 0.95, 0.8, 0
DRAWS = 2**11  # directions for max |t|, as in cells.py

INTRODUCTION = """# Redraws of a study

Was a difference found as often as luthier said it would be? The scores of a study's arms are drawn again, n dialogues
with replacement, and judged as a study of all its arms is: one error rate of 5 % for all pairs. *Predicted* is
`power_of` with the pair's sd and a Bonferroni level, which is what a study says before it runs; *found* is the share of
redraws with the right verdict, with its 95 % interval (Wilson). *Detectable* is the difference that is said to be found
in 80 % of studies of this size; it was put in the place of the pair's own difference by moving one arm's scores.

From 60 dialogues on a verdict uses the correlation of the pairs, which Bonferroni does not know, so a little more is
found than was said. With 20 dialogues less is found: the sd is hardly known, and skewness makes intervals longer.

`python -m calibration.redraws STUDY` makes this page from a finished study's folder.
"""


def matrix_of(folder: Path) -> tuple[list[str], Floats, float]:
    """The arms, their (units, arms) scores on the deciding metric, and the margin."""
    said = Comparison.read(folder)
    arms = list(said.arms)
    scores = {arm: StudyFolder(folder).scores(arm) for arm in arms}
    column = measure(align(scores, said.deciding), said.deciding, said.deciding, SEED)
    values = [column.arms[arm].values for arm in arms]
    if any(own is None for own in values):
        sys.exit(f"{folder}: {said.deciding} has no value of one dialogue, so nothing can be drawn again")
    return arms, np.stack([own for own in values if own is not None], axis=1), said.margin


def predicted(names: list[str], matrix: Floats, n: int) -> dict[Pair, Row]:
    """pair -> its difference, sd, the power that it has at n, and the difference that has a power of POWER."""
    found: dict[Pair, Row] = {}
    comparisons = len(names) * (len(names) - 1) // 2
    for (a, one), (b, two) in combinations(zip(names, matrix.T, strict=True), 2):
        difference, sd = float((one - two).mean()), float((one - two).std())
        found[a, b] = {
            "difference": difference,
            "power": power.power_of(difference, n, sd, comparisons),
            "detectable": power.detectable_difference(n, sd, comparisons, power=POWER),
        }
    return found


def redrawn(names: list[str], matrix: Floats, n: int, margin: float, repeats: int) -> list[Row]:
    """A row for each pair: what was predicted of n dialogues, and how often it happened."""
    expected = predicted(names, matrix, n)
    counts: dict[Pair, Counter[str]] = {pair: Counter() for pair in expected}
    random = np.random.default_rng([SEED, n])
    for _ in range(repeats):
        draw = matrix[random.integers(len(matrix), size=n)].T
        pairs = {(a, b): intervals.paired(draw[names.index(a)], draw[names.index(b)]) for a, b in expected}
        each, within = simultaneous.verdict_levels(list(pairs.values()), LEVEL, draws=DRAWS)
        for pair, estimate in pairs.items():
            own = expected[pair]
            counts[pair][_verdict(estimate, margin, each, within)] += 1
            moved = estimate.interval(each).low + own["detectable"] - own["difference"]
            counts[pair]["detected"] += moved > 0
    right = {pair: "better" if own["difference"] > 0 else "worse" for pair, own in expected.items()}
    return [
        {"a": a, "b": b, **expected[a, b], "found": counts[a, b][right[a, b]] / repeats}
        | {key: counts[a, b][key] / repeats for key in ("detected", "equivalent", "cannot tell")}
        for a, b in expected
    ]


def _verdict(estimate: Estimate, margin: float, each: float, within: float) -> str:
    ends, bounds = estimate.interval(each), estimate.interval(within)
    few = simultaneous.cautious(estimate, each)
    return simultaneous.verdict(ends, margin=margin, n=estimate.n, nonzero=estimate.nonzero, bounds=bounds, few=few)


def page(result: Row) -> str:
    """docs/redraws.md: a table a size."""
    text = (
        f"{INTRODUCTION}\n{len(result['arms'])} arms, {result['units']} dialogues, margin {result['margin']:g}, "
        f"{result['repeats']:,} redraws a size.\n"
    )
    for n, rows in result["sizes"].items():
        text += f"\n## n = {n}\n\n{_sentence(rows, int(n), result)}\n\n"
        text += "| pair | difference | predicted | found | *cannot tell* | detectable | found |\n"
        text += "|---|---:|---:|---|---:|---:|---|\n"
        text += "".join(_line(row, result["repeats"]) for row in rows)
    return text


def _sentence(rows: list[Row], n: int, result: Row) -> str:
    """What the detectable differences came to; and for few dialogues what is said of close pairs."""
    found = [100 * row["detected"] for row in rows]
    said = f"Differences said to be found in {100 * POWER:.0f} % of studies: {min(found):.1f} to {max(found):.1f} %."
    if n > FEW:
        return said
    close = [row["cannot tell"] for row in rows if abs(row["difference"]) < result["margin"]]
    cannot = f"*cannot tell* in {100 * min(close):.1f} % or more" if close else "none"
    return f"{len(close)} pairs differ by less than the margin: {cannot}. {said}"


def _line(row: Row, repeats: int) -> str:
    def share(key: str) -> str:
        low, high = intervals.wilson(row[key] * repeats, repeats)
        return f"{row[key]:.3f} ({low:.3f} to {high:.3f})"

    return (
        f"| {row['a']} - {row['b']} | {row['difference']:.3f} | {row['power']:.3f} | {share('found')} | "
        f"{row['cannot tell']:.3f} | {row['detectable']:.3f} | {share('detected')} |\n"
    )


def main() -> None:
    """Redraws the study that is named, and writes the results and the page."""
    if len(sys.argv) not in (2, 3):
        sys.exit("python -m calibration.redraws STUDY [REPEATS]")
    names, matrix, margin = matrix_of(Path(sys.argv[1]))
    repeats = int(sys.argv[2]) if len(sys.argv) == 3 else REPEATS
    sizes = {str(n): redrawn(names, matrix, n, margin, repeats) for n in (FEW, *SIZES)}
    result = {"arms": names, "units": len(matrix), "margin": margin, "repeats": repeats, "sizes": sizes}
    write_json(RESULTS, result)
    write_text(PAGE, page(result))


if __name__ == "__main__":
    main()
