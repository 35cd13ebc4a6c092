"""Which examples a report shows, and the names and quantities in their answers that the inputs do not support.

The facts are looked up again for the examples that are shown, since profile.json keeps a few of each arm only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.records import Answer, Example
from luthier.reports.read import ArmPage, StudyPage
from luthier.scoring.facts import Fact, unsupported
from luthier.scoring.score import spoken
from luthier.scoring.source import Source, common_words

APART = 16  # examples shown because the arms differ most on them
AT_RANDOM = 8  # examples shown whatever the arms did


@dataclass(frozen=True)
class ShownAnswer:
    """The answer of one arm."""

    arm: ArmPage
    answer: Answer
    value: float | None  # of the deciding metric
    parts: list[tuple[str, str | None]]  # see `marked`
    findings: list[Fact]  # what is not supported, each once
    left_out: bool = False  # whether a reasoning block is not shown, since it is no part of the answer


@dataclass(frozen=True)
class ShownExample:
    """An example with the answer of each arm."""

    example: Example
    apart: float  # the best value of the deciding metric minus the worst
    differ: bool  # whether that exceeds the margin
    at_random: bool
    answers: list[ShownAnswer]


def examples_to_show(page: StudyPage) -> list[ShownExample]:
    """Those on which the arms differ most by the deciding metric, then some drawn by a fixed seed; each of the two
    sorted by that difference.
    """
    values = {example.id: _values(page, example.id) for example in page.examples}
    answered = [example for example in page.examples if values[example.id]]
    common = common_words(example.input for example in page.examples)

    def gap(example: Example) -> float:
        return max(values[example.id]) - min(values[example.id])

    apart = sorted(answered, key=lambda example: -gap(example))[:APART]
    others = [example for example in answered if example not in apart]
    at_random = random.Random("report").sample(others, min(AT_RANDOM, len(others)))
    return [
        ShownExample(
            example,
            apart=gap(example),
            differ=gap(example) > page.compare.margin,
            at_random=example in at_random,
            answers=_answers(page, example.id, Source(example.input, common)),
        )
        for example in apart + sorted(at_random, key=lambda example: -gap(example))
    ]


def _values(page: StudyPage, id: str) -> list[float]:
    """The deciding metric of every arm that has one for this example."""
    scores = [arm.scores[id].values.get(page.deciding) for arm in page.arms if id in arm.scores]
    return [value for value in scores if value is not None]


def _answers(page: StudyPage, id: str, source: Source) -> list[ShownAnswer]:
    shown = []
    for arm in page.arms:
        if given := arm.answers.get(id):
            answer, score = spoken(given, page.reading), arm.scores.get(id)
            facts = [] if page.labels or page.facts_not_read else unsupported(answer.text, source)
            shown.append(
                ShownAnswer(
                    arm,
                    answer,
                    value=score.values.get(page.deciding) if score else None,
                    parts=marked(answer, facts),
                    findings=list({(fact.kind, fact.text): fact for fact in facts}.values()),
                    left_out=answer is not given,
                )
            )
    return shown


def marked(answer: Answer, findings: Sequence[Fact]) -> list[tuple[str, str | None]]:
    """The pieces of an answer in order, each with the reason why it is not supported, or None."""
    parts: list[tuple[str, str | None]] = []
    at = 0
    for fact in sorted(findings, key=lambda fact: fact.start):
        if fact.start < at:
            continue  # two kinds in one place: the first is underlined, both are listed
        parts += [(answer.text[at : fact.start], None), (answer.text[fact.start : fact.end], fact.why)]
        at = fact.end
    return [part for part in [*parts, (answer.text[at:], None)] if part[0]]
