"""What a study says of its arms: pairs, groups that are not separated, warnings, how sure it is, what it could show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from luthier.reports.read import StudyPage
from luthier.stats.power import examples_needed

Row = dict[str, Any]

FIRST_WARNINGS = 3  # on the first screen; the others unfold
DIFFERENCES = (0.01, 0.02, 0.03, 0.05, 0.1)  # for which the examples needed are told, beside the margin

_TURNED = {"better": "worse", "worse": "better"}


def ranked_pairs(page: StudyPage) -> list[Row]:
    """The pairs on the deciding metric, each turned so that its better mean stands first; the best arms first."""
    place = {arm.name: number for number, arm in enumerate(page.compared)}
    rows = [_turned(row, place) for row in page.compare["pairs"] if row["metric"] == page.deciding]
    return sorted(rows, key=lambda row: (place.get(row["a"], len(place)), place.get(row["b"], len(place))))


def _turned(row: Row, place: Mapping[str, int]) -> Row:
    """The pair, or the same pair seen from the other arm: a - b becomes b - a."""
    if place.get(row["a"], len(place)) <= place.get(row["b"], len(place)):
        return row
    ends = {f"{prefix}low": f"{prefix}high" for prefix in ("", "simultaneous_", "one_sided_")}
    turned = row | {"a": row["b"], "b": row["a"], "verdict": _TURNED.get(row["verdict"], row["verdict"])}
    for low, high in ends.items():
        turned |= {low: _minus(row.get(high)), high: _minus(row.get(low))}
    return turned | {"difference": _minus(row["difference"])}


def _minus(number: float | None) -> float | None:
    return None if number is None else -number


def against_the_best(page: StudyPage) -> dict[str, Row]:
    """arm -> its pair with the best of the other arms, seen from the arm."""
    order = [arm.name for arm in page.compared]
    found = {}
    for name in order:
        others = [other for other in order if other != name]
        row = next((r for r in ranked_pairs(page) if others and {r["a"], r["b"]} == {name, others[0]}), None)
        if row is not None:
            found[name] = _turned(row, {name: 0, others[0]: 1})
    return found


def groups_of(page: StudyPage) -> list[list[str]]:
    """The sets of two arms or more that are not separated; none in studies of before they were told."""
    return [group for group in page.compare.get("groups") or [] if len(group) > 1]


def letters_of(page: StudyPage) -> dict[str, str]:
    """arm -> the letters of its groups, which two arms share when they are not separated; none for an arm apart."""
    groups = groups_of(page)
    if len(groups) > len(ascii_lowercase):
        return {}
    return {
        arm.name: "".join(letter for letter, group in zip(ascii_lowercase, groups, strict=False) if arm.name in group)
        for arm in page.compared
    }


def strip_of(pairs: Sequence[Row], margin: float) -> Callable[[float], float]:
    """Difference -> place on a strip of 0 to 100, the same for all pairs, with 0 and both margins on it."""
    ends = [row.get(key) for row in pairs for key in ("simultaneous_low", "simultaneous_high", "difference")]
    known = [end for end in ends if end is not None] + [-1.2 * margin, 1.2 * margin]
    low, high = min(known), max(known)
    return lambda difference: 100 * (difference - low) / (high - low)


# --------------------------------------------------------------------------------------------------------- warnings


def warnings_of(page: StudyPage) -> list[str]:
    """What a reader must know first, the gravest first; one sentence each."""
    compare, found = page.compare, []
    if page.unfinished:
        found.append(f"Not finished, start the study again to go on: {', '.join(page.unfinished)}.")
    found += _unbeaten(page)
    if (times := page.test_opened or 1) > 1:
        found.append(
            f"{times - 1} earlier {'study' if times == 2 else 'studies'} opened this test split; "
            "choices made on it since make its numbers optimistic."
        )
    grave = [row["text"] for row in page.study.get("health") or [] if row["level"] != "note"]
    if grave:
        found.append(
            f"Data: {grave[0]}" if len(grave) == 1 else f"The data check found {len(grave)} problems: see Data."
        )
    for arm in page.compared:
        if arm.name == compare["ship"]["provisional"] and 5 * arm.cut_answers > len(arm.answers):
            found.append(f"{arm.cut_answers} of {len(arm.answers)} answers of {arm.name} were stopped by its limit.")
    # compare.json says the same of each arm apart; _unbeaten gathers them by baseline.
    return found + [text for text in compare["warnings"] if "is not shown to beat the baseline" not in text]


def _unbeaten(page: StudyPage) -> list[str]:
    """Baselines that no arm is shown to beat, then those that some arms are not."""
    none, some = [], []
    for baseline in page.baselines:
        beats = {
            arm: rows[baseline]["beats"]
            for arm, rows in page.compare["baselines"].items()
            if baseline in rows and arm not in page.baselines
        }
        losers = [arm for arm, beaten in beats.items() if not beaten]
        if losers and len(losers) == len(beats):
            none.append(baseline)
        elif losers:
            some.append(f"Not shown to beat the baseline {baseline}: {', '.join(losers)}.")
    nobody = [f"No arm is shown to beat the baseline {' or the baseline '.join(none)}."] if none else []
    return nobody + some


# ------------------------------------------------------------------------------------------------ sure, and how sure


def how_sure(page: StudyPage) -> str:
    """The confidence, what it covers and from how much, in one sentence."""
    compare = page.compare
    confidence, n = f"{100 * (1 - compare['alpha']):.4g} %", compare["n"]
    units = f"{n} independent test examples" + (f" ({compare['examples']} rows)" if compare["examples"] != n else "")
    if not compare["comparisons"]:
        return f"One arm, {units}; its interval has {100 * compare['level']:.4g} % confidence."
    pairs = f"all {compare['comparisons']} pairs of arms at once" if compare["comparisons"] > 1 else "the one pair"
    best = compare["best"]
    low, high = best.get("simultaneous_low"), best.get("simultaneous_high")
    simultaneous = f" Simultaneous interval of the best mean, that of {best['arm']}: {_shown(low)} to {_shown(high)}."
    return f"Verdicts hold with {confidence} confidence for {pairs}, from {units}.{simultaneous}"


def detectable(page: StudyPage) -> list[str]:
    """What the answers' real spread says about this test set; study.json has what was said before."""
    power, metric, margin = page.compare["power"], page.deciding, page.compare["margin"]
    found = []
    if power.get("detectable") is not None:
        low, high = power["sd_range"]
        found.append(
            f"The difference between two arms varies from example to example with a standard deviation of {low:.3f} to "
            f"{high:.3f} {metric}. With n = {page.compare['n']} a true difference of {power['detectable']:.3f} is "
            f"found in {100 * power['power']:.0f} % of studies for the pair that varies most, a smaller one for others."
        )
        can = "could" if power["equivalence_possible"] else "could not"
        found.append(f"Two arms {can} be found equivalent within {margin:.3f} with n = {page.compare['n']}.")
    undecided = [row["examples_needed"] for row in ranked_pairs(page) if row.get("examples_needed")]
    if undecided:
        most = max(undecided, key=lambda needed: needed["more"])
        found.append(
            f"{len(undecided)} of {page.compare['comparisons']} pairs are undecided; to show a difference of "
            f"{margin:.3f} in each of them, about {most['more']:,} more examples are needed "
            f"({most['total']:,} in all; {most['low']:,} to {most['high']:,} as far as the spread is known)."
        )
    return found


def examples_for(page: StudyPage) -> list[Row]:
    """difference -> examples that show it in 80 % of studies: for the pair that varies least and the one that varies
    most, all pairs judged at once."""
    power, compare = page.compare["power"], page.compare
    if not compare["comparisons"] or not power.get("sd_range"):
        return []
    known = sorted({*DIFFERENCES, compare["margin"]})

    def needed(difference: float, sd: float) -> int | None:
        level, pairs = 1 - compare["alpha"], compare["comparisons"]
        return examples_needed(difference, sd, pairs, level=level).total if sd else None

    least, most = power["sd_range"]
    return [{"difference": d, "least": needed(d, least), "most": needed(d, most)} for d in known]


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
