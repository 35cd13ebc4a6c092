"""Which examples a report shows, and what in their answers the inputs do not hold.

The facts are looked up again for the examples that are shown, since profile.json keeps a few of each arm only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from luthier.records import Answer
from luthier.reports.read import StudyPage
from luthier.scoring.facts import Fact, Source, common_words, unsupported

Row = dict[str, Any]

APART = 16  # examples shown because the arms differ most on them
AT_RANDOM = 8  # examples shown whatever the arms did


def examples_to_show(page: StudyPage) -> list[Row]:
    """Those on which the arms differ most by the deciding metric, then some drawn by a fixed seed; the rows are sorted
    by that difference, `apart`, and `differ` says whether it exceeds the margin."""
    values = {example.id: _values(page, example.id) for example in page.examples}
    answered = [example for example in page.examples if values[example.id]]
    common = common_words(example.input for example in page.examples)

    def gap(example: Any) -> float:
        return _range(values[example.id])

    apart = sorted(answered, key=lambda example: -gap(example))[:APART]
    others = [example for example in answered if example not in apart]
    drawn = random.Random("report").sample(others, min(AT_RANDOM, len(others)))
    return [
        {
            "example": example,
            "apart": gap(example),
            "differ": gap(example) > page.compare["margin"],
            "drawn": example in drawn,
            "answers": _answers(page, example.id, Source(example.input, common)),
        }
        for example in apart + sorted(drawn, key=lambda example: -gap(example))
    ]


def _values(page: StudyPage, id: str) -> list[float]:
    """The deciding metric of every arm that has one for this example."""
    scores = [arm.scores[id].values.get(page.deciding) for arm in page.arms if id in arm.scores]
    return [value for value in scores if value is not None]


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _answers(page: StudyPage, id: str, source: Source) -> list[Row]:
    rows = []
    for arm in page.arms:
        if id in arm.answers:
            score = arm.scores.get(id)
            answer = arm.answers[id]
            found = [] if page.study["task"].get("labels") else unsupported(answer.text, source)
            rows.append(
                {
                    "arm": arm,
                    "value": score.values.get(page.deciding) if score else None,
                    "stop": answer.stop,
                    "text": answer.text,
                    "parts": marked(answer, found),
                    "findings": list({(fact.kind, fact.text): fact for fact in found}.values()),  # each once
                }
            )
    return rows


def marked(answer: Answer, findings: Sequence[Fact]) -> list[tuple[str, str | None]]:
    """The answer in pieces, each with the reason why it is not supported, or None; joined they are the answer."""
    parts: list[tuple[str, str | None]] = []
    at = 0
    for fact in sorted(findings, key=lambda fact: fact.start):
        if fact.start < at:
            continue  # two kinds in one place: the first is underlined, both are listed
        parts += [(answer.text[at : fact.start], None), (answer.text[fact.start : fact.end], fact.why)]
        at = fact.end
    return [part for part in [*parts, (answer.text[at:], None)] if part[0]]
