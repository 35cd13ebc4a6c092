"""The confusion matrix of each arm of a classification, with precision and recall."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.reports.read import ArmPage, StudyPage
from luthier.scoring.labels import by_class, counts, told


@dataclass(frozen=True)
class Cell:
    """How often rows of one label were answered with another."""

    count: int
    share: float  # of the rows of the label; 0 where it has none
    right: bool


@dataclass(frozen=True)
class LabelRow:
    """A row of the matrix: the answers to the rows of one label."""

    label: str
    n: int
    precision: float | None  # None: nobody said it
    recall: float | None  # None: no row has it
    f1: float | None
    cells: list[Cell]  # one for each label, and one for answers that name none


@dataclass(frozen=True)
class Matrix:
    """The answers of one arm."""

    arm: ArmPage
    lines: list[LabelRow]

    @property
    def unclear(self) -> int:
        """Answers that name no label."""
        return sum(line.cells[-1].count for line in self.lines)


def matrices(page: StudyPage) -> list[Matrix]:
    """A matrix for each compared arm; none where answers are texts."""
    return [_of_arm(page, arm) for arm in page.compared] if page.labels else []


def confusion_rows(page: StudyPage) -> list[dict[str, str | int]]:
    """The matrices as one long table for download: arm, label of the row, label of the answer, count."""
    return [
        {"arm": matrix.arm.name, "label": line.label, "said": label, "count": cell.count}
        for matrix in matrices(page)
        for line in matrix.lines
        for label, cell in zip([*page.labels, "(no label)"], line.cells, strict=True)
    ]


def _of_arm(page: StudyPage, arm: ArmPage) -> Matrix:
    labels = page.labels
    matrix = [[0] * (len(labels) + 1) for _ in labels]
    sums = [0] * len(counts(0, None, len(labels)))
    for example in page.examples:
        # The counts say which label was read, so that the answer is not read again, perhaps by another rule.
        if (score := arm.scores.get(example.id)) and len(row := score.statistics.get("macro_f1", [])) == len(sums):
            truth, answered = told(row)
            matrix[truth][len(labels) if answered is None else answered] += 1
            sums = [a + b for a, b in zip(sums, row, strict=True)]
    return Matrix(arm, [_line(labels[i], i, cells, by_class(sums)[i]) for i, cells in enumerate(matrix)])


def _line(label: str, position: int, cells: list[int], sums: tuple[float, float, float]) -> LabelRow:
    has, answered, both = sums
    return LabelRow(
        label,
        n=int(has),
        precision=both / answered if answered else None,
        recall=both / has if has else None,
        f1=2 * both / (has + answered) if has + answered else None,
        cells=[
            Cell(count, count / has if has else 0.0, right=column == position) for column, count in enumerate(cells)
        ],
    )
