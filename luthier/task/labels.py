"""What a label and its word are in a task: read from the rows, and refused where nothing could be learned.

    Example + [classes] --classified--> the same Example whose only reference is the word of its label

A label is known by its place among the words of task.toml. What is wrong with the labels of a task is refused here,
before a model is loaded, by file, row and field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from luthier.errors import DataError
from luthier.records import Example
from luthier.task.spec import ClassesSpec, Split, TaskSpec


def classified(
    spec: TaskSpec, parts: Mapping[Split, list[Example]], paths: Mapping[Split, Path]
) -> dict[Split, list[Example]]:
    """The examples of each split with the word of their label as reference; unchanged where a task has no classes.

    paths: the file of each split, of which messages speak. Raises DataError for a row without a label or with one that
    task.toml does not list, for a label that no train row has, and for a train split of one label.
    """
    if spec.classes is None:
        return dict(parts)
    column = spec.classes.field or (spec.data.columns.target if spec.data else "references")
    named = {
        split: [_labelled(example, spec.classes, paths[split], column) for example in examples]
        for split, examples in parts.items()
    }
    _refuse_unlearnable(named, paths, column)
    return named


def _labelled(example: Example, classes: ClassesSpec, path: Path, column: str) -> Example:
    label = _label(example, classes.field)
    if label not in classes.words:
        known = ", ".join(classes.words)
        problem = "the row has no label" if label is None else f"'{label}' is none of the labels ({known})"
        mend = "write one of them, or add it to [classes.words] in task.toml"
        raise DataError(f"{problem}; {mend}", file=path, row=example.row, field=column)
    return replace(example, references=(classes.words[label],))


def _label(example: Example, field: str | None) -> str | None:
    """What a row says its label is; None where it says nothing, or several things."""
    value = example.meta.get(field) if field else example.references[0] if len(example.references) == 1 else None
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return (str(value).strip() or None) if known else None


def _refuse_unlearnable(parts: Mapping[Split, Sequence[Example]], paths: Mapping[Split, Path], column: str) -> None:
    learned = {example.references[0] for example in parts["train"]}
    for split in ("dev", "test"):
        for example in parts[split]:  # type: ignore[index]
            if (word := example.references[0]) not in learned:
                problem = (
                    f"no train row has the label '{word}', so nothing can learn it; add some, or leave the row out"
                )
                raise DataError(problem, file=paths[split], row=example.row, field=column)  # type: ignore[index]
    if len(learned) == 1:
        problem = f"every train row has the label '{min(learned)}'; there is nothing to tell apart"
        raise DataError(problem, file=paths["train"], row=parts["train"][0].row, field=column)


def words_of_labels(parts: Mapping[Split, Sequence[Example]], path: Path, column: str) -> dict[str, str]:
    """label -> its word, for a new task whose references are labels: each stands for itself.

    Raises DataError when there are as many labels as rows: such a column names rows, not classes.
    """
    rows = [example for examples in parts.values() for example in examples if example.references]
    found = sorted({example.references[0].strip() for example in rows})
    if len(found) == len(rows):
        raise DataError(
            f"all {len(rows)} rows have different labels; name a column of classes, or --target for texts",
            file=path, field=column,
        )  # fmt: skip
    return {label: label for label in found}
