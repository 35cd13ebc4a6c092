"""A confusion matrix counts every answer once, the unclear ones too."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.records import Answer, Example
from luthier.reports.confusion import confusion_rows, matrices
from luthier.reports.read import ArmPage, StudyPage
from luthier.results.cost import ArmCost, Cost
from luthier.scoring.score import score
from luthier.verdicts.compare import comparison
from tests import records

LABELS = ("a", "b", "c")


def page(*told: str, labels: tuple[str, ...] = LABELS) -> StudyPage:
    examples = [Example(str(i), "x", (label,)) for i, label in enumerate(["a", "a", "b", "b"])]
    answers = {str(i): Answer(str(i), text) for i, text in enumerate(told)}
    scores = {"arm": score(list(answers.values()), examples, labels=list(LABELS))}
    compared = comparison(scores, deciding="accuracy")
    study = records.study_record(["arm"], task={"labels": list(labels)})
    record = records.arm_record("arm", answers_by="head")
    arm = ArmPage(
        "arm", "trained", record, ArmCost(), compared.arms["arm"], [], answers, {s.id: s for s in scores["arm"]}, []
    )
    return StudyPage(Path(), study, compared, Cost(), examples, [arm])


def test_the_matrix_its_margins_and_the_rates() -> None:
    (matrix,) = matrices(page("a", "b", "b", "no idea"))
    assert [[cell.count for cell in line.cells] for line in matrix.lines] == [[1, 1, 0, 0], [0, 1, 0, 1], [0] * 4]
    assert matrix.unclear == 1
    a, b, c = matrix.lines
    assert (a.n, a.precision, a.recall) == (2, 1.0, 0.5)
    assert (b.precision, b.recall, b.f1) == (0.5, 0.5, 0.5)
    assert (c.n, c.precision, c.recall, c.f1) == (0, None, None, None)
    assert a.f1 == pytest.approx(2 / 3)
    assert [cell.right for cell in b.cells] == [False, True, False, False]


def test_the_long_table_holds_every_cell() -> None:
    rows = confusion_rows(page("a", "b", "b", "no idea"))
    assert len(rows) == 12 and sum(row["count"] for row in rows) == 4
    assert {"arm": "arm", "label": "b", "said": "(no label)", "count": 1} in rows
    texts = page("a", "b", "b", "a", labels=())
    assert matrices(texts) == confusion_rows(texts) == []
