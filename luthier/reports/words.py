"""The sentences of a report. Captions of tables and figures are in the templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.records import Verdict
from luthier.reports.pairs import unbeaten, undecided
from luthier.reports.read import StudyPage
from luthier.results.multitask_record import TaskPair
from luthier.results.profile_record import EqualLengthRow
from luthier.results.study_record import ArmTable
from luthier.verdicts.warnings import UnbeatenBaselines, sentences_besides

VERDICTS: tuple[Verdict, ...] = ("better", "equivalent", "worse", "cannot tell")
WAYS = {  # how an arm comes to a label
    "head": "the head of an encoder",
    "likelihood": "the likelihood of each label, its end token included",
    "generation": "the label found in the text that it writes",
    "baseline": "no model",
}

# --------------------------------------------------------------------------------------------------------- warnings


def warnings_of(page: StudyPage) -> list[str]:
    """The warnings, the most serious first, one sentence each."""
    sentences = []
    if page.unfinished:
        sentences.append(f"Not finished, start the study again to go on: {', '.join(page.unfinished)}.")
    sentences += _unbeaten(page)
    if (times := page.study.task.test_opened or 1) > 1:
        sentences.append(
            f"{times - 1} earlier {'study' if times == 2 else 'studies'} opened this test split; "
            "choices made on it since make its numbers optimistic."
        )
    if grave := [finding.text for finding in page.study.health if finding.level != "note"]:
        sentences.append(
            f"Data: {grave[0]}" if len(grave) == 1 else f"The data check found {len(grave)} problems: see Data."
        )
    for arm in page.compared:
        if arm.name == page.compare.ship.provisional and 5 * arm.cut_answers > len(arm.answers):
            sentences.append(
                f"{arm.cut_answers} of {len(arm.answers)} answers of {arm.name} were stopped by its limit."
            )
    sentences += _reasoning(page)
    # compare.json says of each arm apart which baselines it does not beat; _unbeaten gathers them by baseline.
    return sentences + sentences_besides(page.compare, UnbeatenBaselines)


def _reasoning(page: StudyPage) -> list[str]:
    """How many answers hold a reasoning block, and what became of it."""
    kept = page.study.task.reasoning == "keep"
    told = [(arm, arm.counts.reasoning) for arm in page.arms if arm.counts and arm.counts.reasoning]
    if not told:
        return []
    named = ", ".join(f"{arm.name} ({count} of {len(arm.answers)})" for arm, count in told)
    if kept:
        return [
            f"Answers hold a reasoning block, which is judged as part of them: {named}; "
            'write reasoning = "leave out" under [answer] in task.toml to judge what follows it.'
        ]
    return [f"Reasoning blocks are left out of answers: {named}."]


def _unbeaten(page: StudyPage) -> list[str]:
    """Baselines that no arm is shown to beat, then those that some arms are not shown to beat."""
    rows = unbeaten(page)
    nobody = [one.baseline for one in rows if not one.beaten]
    return [
        *([f"No arm is shown to beat the baseline {' or the baseline '.join(nobody)}."] if nobody else []),
        *(f"Not shown to beat the baseline {one.baseline}: {', '.join(one.arms)}." for one in rows if one.beaten),
    ]


# ------------------------------------------------------------------------------------------------ sure, and how sure


def how_sure(page: StudyPage) -> str:
    """One sentence: the confidence, what it covers, and the number of examples."""
    compare, best = page.compare, page.compare.best
    units = f"{compare.n} independent test examples"
    if compare.examples != compare.n:
        units += f" ({compare.examples} rows)"
    if not compare.comparisons:
        return f"One arm, {units}; its interval has {100 * compare.level:.4g} % confidence."
    confidence = f"{100 * (1 - compare.alpha):.4g} %"
    pairs = f"all {compare.comparisons} pairs of arms at once" if compare.comparisons > 1 else "the one pair"
    low, high = ("unknown" if end is None else f"{end:.3f}" for end in (best.simultaneous_low, best.simultaneous_high))
    simultaneous = f"Simultaneous interval of the best mean, that of {best.arm}: {low} to {high}."
    return f"Verdicts hold with {confidence} confidence for {pairs}, from {units}. {simultaneous}"


def detectable(page: StudyPage) -> list[str]:
    """What this test set can show, given the spread of the answers. study.json has the estimate from before."""
    compare, power, margin = page.compare, page.compare.power, page.compare.margin
    sentences = []
    if power.detectable is not None and power.sd_range:
        low, high = power.sd_range
        sentences.append(
            f"The difference between two arms varies from example to example with a standard deviation of {low:.3f} to "
            f"{high:.3f} {page.deciding}. With n = {compare.n} a true difference of {power.detectable:.3f} is "
            f"found in {100 * power.power:.0f} % of studies for the pair that varies most, a smaller one for others."
        )
        can = "could" if power.equivalence_possible else "could not"
        sentences.append(f"Two arms {can} be found equivalent within {margin:.3f} with n = {compare.n}.")
    if open_pairs := undecided(page):
        most = open_pairs.most
        sentences.append(
            f"{open_pairs.pairs} of {compare.comparisons} pairs are undecided; to show a difference of "
            f"{margin:.3f} in each of them, about {most.more:,} more examples are needed "
            f"({most.total:,} in all; {most.low:,} to {most.high:,} as far as the spread is known)."
        )
    return sentences


# ------------------------------------------------------------------------------------------------ labels of tables


def limit_words(words: int | str | None) -> str:
    """The length to which all answers are cut."""
    return "as answered" if words is None else f"{words} words" if isinstance(words, int) else words


def limit_effect(row: EqualLengthRow) -> str:
    """What changes when all answers are cut to the same length."""
    if row.budget is None:
        return "the study's verdict"
    if row.ship_flips:
        return f"decision changes: ship {row.ship.arm}" if row.ship.arm else "decision changes: cannot tell"
    flips = len(row.flips)
    return f"same decision, {flips} pair verdict{'s' * (flips != 1)} change{'s' * (flips == 1)}" if flips else "same"


def weights(arm: ArmTable) -> str:
    """The width of an arm's weights, and how it came about."""
    if arm.base_width:
        return f"trained on {arm.base_width}"
    if arm.width:
        return f"{arm.width}, quantized after training" if arm.training else arm.width
    return "whole"


# -------------------------------------------------------------------------------------------------- several tasks


def task_sentences(arm: str, multi: str, pairs: Sequence[TaskPair]) -> list[str]:
    """Two answers: is `multi` as good as one `arm` a task, and does it help on tasks it was not trained on?"""
    mine = [pair for pair in pairs if pair.a == multi]
    seen, unseen = ([pair for pair in mine if pair.held_out is held] for held in (False, True))
    counts = Counter(pair.verdict for pair in seen)
    by_verdict = ", ".join(f"{verdict} on {counts[verdict]}" for verdict in VERDICTS if counts[verdict])
    sentences = [f"One {multi} against one {arm} a task: {by_verdict} of {len(seen)} tasks."]
    for verdict in VERDICTS:
        if names := [pair.task for pair in unseen if pair.verdict == verdict]:
            sentences.append(f"{_than_zero_shot(multi, verdict)} on {' and '.join(names)}, never trained on.")
    return sentences


def _than_zero_shot(arm: str, verdict: Verdict) -> str:
    return {
        "better": f"{arm} is better than zero-shot",
        "equivalent": f"{arm} is equivalent to zero-shot",
        "worse": f"{arm} is worse than zero-shot",
        "cannot tell": f"Cannot tell whether {arm} differs from zero-shot",
    }[verdict]


def family(questions: int, level: float, looks: Sequence[int | None]) -> str:
    """Which verdicts hold together, and at which confidence."""
    later = ", and by 2^k more at the k-th look at a test set" if any(looks) else ""
    return (
        f"A verdict is about one task; all {questions} hold together with {100 * level:.4g} % confidence, because each "
        f"has its error rate divided by {questions} (Bonferroni){later}. A task's own study judges every pair of its "
        "arms at once, which is another family and may say less or more."
    )


def mixture_words(mixture: Mapping[str, Any]) -> str:
    """'temperature mixture, T = 2, a task counted as at most 500 examples', from the keys of a MixtureSpec."""
    words = [f"{mixture['kind']} mixture"]
    if mixture["temperature"] is not None:
        words.append(f"T = {mixture['temperature']:g}")
    if mixture["cap"] is not None:
        words.append(f"a task counted as at most {mixture['cap']:,} examples")
    return ", ".join(words)
