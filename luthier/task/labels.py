"""The labels of a task's rows and their words; refuses labels that cannot be learned.

    Example + [classes] --classified--> the same Example whose only reference is the word of its label, and sentences
                                        about labels that rows spell another way

A row's label is one of task.toml's where it is the same text, or becomes the same by classes.fold (scoring/labels.py).
The index of a label is its position among the words of task.toml. Problems with labels raise an error with file, row
and field, before a model is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from luthier.errors import DataError
from luthier.records import Example
from luthier.scoring.labels import FOLDS, Fold, LabelSet, folded, label_set, spelled
from luthier.task.examples import name_of
from luthier.task.spec import ClassesSpec, Split, TaskSpec


def classified(
    spec: TaskSpec, parts: Mapping[Split, list[Example]], paths: Mapping[Split, Path]
) -> tuple[dict[Split, list[Example]], list[str]]:
    """The examples of each split with the word of their label as reference; unchanged where a task has no classes.
    And a sentence for each split whose rows spell labels another way than task.toml.

    paths: the file of each split, for messages. Raises DataError for a row without a label or with one that
    task.toml does not list, for a label that no train row has, and for a train split of one label.
    """
    if spec.classes is None:
        return dict(parts), []
    classes, column = spec.classes, spec.classes.field or (spec.data.columns.answers if spec.data else "references")
    by_key = {folded(label, classes.fold): label for label in classes.words}
    named: dict[Split, list[Example]] = {}
    notes = []
    for split, examples in parts.items():
        labels = [_label_of(example, classes, by_key, paths[split], column) for example in examples]
        named[split] = [
            replace(example, references=(classes.words[label],))
            for example, (_, label) in zip(examples, labels, strict=True)
        ]
        others = {text: label for text, label in labels if text != label}
        if sentence := spelled(others, Counter(text for text, _ in labels)):
            notes.append(f"{split}: {sentence} (classes.fold)")
    _refuse_unlearnable(named, paths, column)
    return named, notes


def _label_of(
    example: Example, classes: ClassesSpec, by_key: Mapping[str, str], path: Path, column: str
) -> tuple[str, str]:
    """What the row says, and which label of task.toml that is."""
    text = _label(example, classes.field)
    label = text if text is None or text in classes.words else by_key.get(folded(text, classes.fold))
    if text is None or label is None:
        labels = ", ".join(classes.words)
        problem = "the row has no label" if text is None else f"'{text}' is none of the labels ({labels})"
        mend = "write one of them, or add it to [classes.words] in task.toml"
        raise DataError(f"{problem}; {mend}", file=path, row=example.row, field=column)
    return text, label


def _label(example: Example, field: str | None) -> str | None:
    """The label of a row; None where it has none, or several."""
    value = example.meta.get(field) if field else example.references[0] if len(example.references) == 1 else None
    name = name_of(value)
    return name if name is not None and name.strip() else None


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


def labels_of(
    examples: Sequence[Example], path: Path, column: str, fold: Sequence[Fold] = FOLDS
) -> tuple[LabelSet, dict[str, str]]:
    """The labels that the references of rows are, and each other spelling -> its label (label_set).

    Raises DataError for a row of several labels, and for one of whose label nothing can be seen.
    """
    for example in examples:
        if len(example.references) > 1:
            problem = f"the row has {len(example.references)} labels; write one"
            raise DataError(problem, file=path, row=example.row, field=column)
        if not folded(example.references[0], fold).strip():
            problem = "of the label nothing is left that can be seen; write one, or leave out the row"
            raise DataError(problem, file=path, row=example.row, field=column)
    return label_set((example.references[0] for example in examples), fold)


def words_of_labels(parts: Mapping[Split, Sequence[Example]], path: Path, column: str) -> dict[str, str]:
    """label -> its word, for a new task whose references are labels: each label is its own word, in the spelling that
    most rows have (label_set).

    Raises DataError when there are as many labels as rows: such a column names rows, not classes; and for a row of
    whose label nothing can be seen.
    """
    rows = [example for examples in parts.values() for example in examples if example.references]
    labels = labels_of(rows, path, column)[0].words
    if len(labels) == len(rows):
        raise DataError(
            f"all {len(rows)} rows have different labels; name a column of classes, or --target for texts",
            file=path, field=column,
        )  # fmt: skip
    return {label: label for label in labels}
