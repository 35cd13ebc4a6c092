"""What a classification's report shows beside its metrics: each arm's confusion matrix, and precision and recall."""

from __future__ import annotations

from typing import Any

from luthier.reports.read import ArmPage, StudyPage
from luthier.scoring.labels import by_class, counts, said

Row = dict[str, Any]

WAYS = {
    "head": "the head of an encoder",
    "likelihood": "the likelihood of each label, its end token included",
    "generation": "the label found in the text that it writes",
    "baseline": "no model",
}


def labels_of(page: StudyPage) -> list[str]:
    """The words of the labels; empty where answers are texts."""
    return list(page.study["task"].get("labels") or [])


def class_rows(page: StudyPage) -> list[Row]:
    """For each compared arm: how it answers, its confusion matrix, and what each class comes to."""
    labels = labels_of(page)
    return [_of_arm(page, arm, labels) for arm in page.compared] if labels else []


def confusion_rows(page: StudyPage) -> list[Row]:
    """The matrices as one long table: arm, label of the row, label of the answer, count."""
    return [
        {"arm": row["arm"].name, "label": line["label"], "said": said, "count": cell["count"]}
        for row in class_rows(page)
        for line in row["lines"]
        for said, cell in zip([*labels_of(page), "none"], line["cells"], strict=True)
    ]


def _of_arm(page: StudyPage, arm: ArmPage, labels: list[str]) -> Row:
    """`lines`: one for each label that rows have, its cells the labels that were said, none of them last."""
    matrix = [[0] * (len(labels) + 1) for _ in labels]
    sums = [0] * len(counts(0, None, len(labels)))
    for example in page.examples:
        if example.id in arm.answers and example.references[0] in labels:
            truth, found = labels.index(example.references[0]), said(arm.answers[example.id].text, labels)
            matrix[truth][len(labels) if found is None else found] += 1
            sums = [a + b for a, b in zip(sums, counts(truth, found, len(labels)), strict=True)]
    way = arm.about.get("answers_by") or "generation"
    return {
        "arm": arm,
        "model": arm.about.get("model"),
        "way": WAYS.get(way, way),
        "lines": [_line(labels[i], i, cells, by_class(sums)[i]) for i, cells in enumerate(matrix)],
        "unclear": sum(cells[-1] for cells in matrix),
    }


def _line(label: str, place: int, cells: list[int], sums: tuple[float, float, float]) -> Row:
    has, told, both = sums
    return {
        "label": label,
        "n": int(has),
        "precision": both / told if told else None,
        "recall": both / has if has else None,
        "f1": 2 * both / (has + told) if has + told else None,
        "cells": [
            {"count": count, "share": count / has if has else 0.0, "right": at == place}
            for at, count in enumerate(cells)
        ],
    }
