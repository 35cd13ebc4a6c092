"""A confusion matrix counts every answer once, the unclear ones too."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.records import Answer, Example
from luthier.reports.confusion import class_rows, confusion_rows
from luthier.reports.read import ArmPage, StudyPage


def page(*told: str) -> StudyPage:
    truth = ["a", "a", "b", "b"]
    examples = [Example(str(i), "x", (label,)) for i, label in enumerate(truth)]
    answers = {str(i): Answer(str(i), text) for i, text in enumerate(told)}
    about = {"status": "done", "answers_by": "head", "model": "m"}
    arm = ArmPage("arm", "trained", about, {}, {"accuracy": {"mean": 0.5}}, [], answers, {}, [])
    study = {"task": {"labels": ["a", "b", "c"]}}
    return StudyPage(Path(), study, {"deciding": "accuracy"}, {}, examples, [arm])


def test_the_matrix_its_margins_and_the_rates() -> None:
    (row,) = class_rows(page("a", "b", "b", "no idea"))
    assert [[cell["count"] for cell in line["cells"]] for line in row["lines"]] == [[1, 1, 0, 0], [0, 1, 0, 1], [0] * 4]
    assert (row["way"], row["unclear"]) == ("the head of an encoder", 1)
    a, b, c = row["lines"]
    assert (a["n"], a["precision"], a["recall"]) == (2, 1.0, 0.5)
    assert (b["precision"], b["recall"], b["f1"]) == (0.5, 0.5, 0.5)
    assert (c["n"], c["precision"], c["recall"], c["f1"]) == (0, None, None, None)
    assert a["f1"] == pytest.approx(2 / 3)
    assert [cell["right"] for cell in b["cells"]] == [False, True, False, False]


def test_the_long_table_holds_every_cell() -> None:
    rows = confusion_rows(page("a", "b", "b", "no idea"))
    assert len(rows) == 12 and sum(row["count"] for row in rows) == 4
    assert {"arm": "arm", "label": "b", "said": "none", "count": 1} in rows
    texts = page("a", "b", "b", "a")
    texts.study["task"]["labels"] = []
    assert class_rows(texts) == confusion_rows(texts) == []
