"""The labels of a task's rows and their words; refuses labels that cannot be learned.

    Example + [classes] --classified--> the same Example whose only reference is the word of its label

The index of a label is its position among the words of task.toml. Problems with labels raise an error with file, row
and field, before a model is loaded.
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

    paths: the file of each split, for messages. Raises DataError for a row without a label or with one that
    task.toml does not list, for a label that no train row has, and for a train split of one label.
    """
    if spec.classes is None:
        return dict(parts)
    column = spec.classes.field or (spec.data.columns.answers if spec.data else "references")
    named = {
        split: [_labelled(example, spec.classes, paths[split], column) for example in examples]
        for split, examples in parts.items()
    }
    _refuse_unlearnable(named, paths, column)
    return named


def _labelled(example: Example, classes: ClassesSpec, path: Path, column: str) -> Example:
    label = _label(example, classes.field)
    if label not in classes.words:
        labels = ", ".join(classes.words)
        problem = "the row has no label" if label is None else f"'{label}' is none of the labels ({labels})"
        mend = "write one of them, or add it to [classes.words] in task.toml"
        raise DataError(f"{problem}; {mend}", file=path, row=example.row, field=column)
    return replace(example, references=(classes.words[label],))


def _label(example: Example, field: str | None) -> str | None:
    """The label of a row; None where it has none, or several."""
    value = example.meta.get(field) if field else example.references[0] if len(example.references) == 1 else None
    is_label = isinstance(value, str | int) and not isinstance(value, bool)
    return (str(value).strip() or None) if is_label else None


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
    """label -> its word, for a new task whose references are labels: each label is its own word.

    Raises DataError when there are as many labels as rows: such a column names rows, not classes.
    """
    rows = [example for examples in parts.values() for example in examples if example.references]
    labels = sorted({example.references[0].strip() for example in rows})
    if len(labels) == len(rows):
        raise DataError(
            f"all {len(rows)} rows have different labels; name a column of classes, or --target for texts",
            file=path, field=column,
        )  # fmt: skip
    return {label: label for label in labels}
