"""Classification: which label a row has, which label an answer says, and what many answers are worth together.

    Example + [classes] --labelled--> the same Example whose only reference is the word of its label
    answer's text       --said------> the place of a label, or None
    truth, said         --counts----> additive counts --macro_f1--> 0 to 1

A label is known by its place among the words of task.toml. What is wrong with the labels of a task is refused here,
before a model is loaded, by file, row and field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from luthier.errors import DataError
from luthier.records import Example
from luthier.taskspec import ClassesSpec, Split, TaskSpec

COUNTS = 3  # kept of each class: rows that have it, answers that say it, and both at once


# --------------------------------------------------------------------------------------------- the labels of a task


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


def prefixes(words: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of words of which the first begins the second."""
    folded = [(_folded(word), word) for word in words]
    return [(a, b) for x, a in folded for y, b in folded if x != y and y.startswith(x)]


# ----------------------------------------------------------------------------------------------- what an answer says


def said(text: str, words: Sequence[str]) -> int | None:
    """Which label a text names: the one that it begins with, else the only one it holds; None where it is not clear.

    Whole words count, upper and lower case and punctuation do not. Of two labels of which one begins the other
    ('light', 'light rain') the longer one that fits is meant.
    """
    answer = f" {_folded(text)} "
    found = [place for place, word in enumerate(words) if f" {_folded(word)} " in answer]
    begun = [place for place in found if answer.startswith(f" {_folded(words[place])} ")]
    longest = max(begun or found, key=lambda place: len(words[place]), default=None)
    if begun or longest is None:
        return longest
    inside = all(f" {_folded(words[place])} " in f" {_folded(words[longest])} " for place in found)
    return longest if inside else None


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


# ------------------------------------------------------------------------------------------- many answers together


def counts(truth: int, said: int | None, classes: int) -> list[int]:
    """One answer's additive counts, COUNTS for each class: it has the class, it was said to, both."""
    row = [0] * (COUNTS * classes)
    row[COUNTS * truth] = 1
    if said is not None:
        row[COUNTS * said + 1] = 1
        row[COUNTS * said + 2] = int(said == truth)
    return row


def macro_f1(sums: Sequence[float]) -> float:
    """The mean over classes of F1 = 2 both / (has + said), from summed counts; each class counts alike.

    This is the mean of the F1s and not the F1 of mean precision and recall, which differ (Opitz and Burst 2019, "Macro
    F1 and Macro F1"). A class that no row has and no answer says has no F1 and is left out, as scikit-learn does.
    """
    each = [2 * both / (has + said) for has, said, both in by_class(sums) if has + said]
    return sum(each) / len(each) if each else 0.0


def by_class(sums: Sequence[float]) -> list[tuple[float, float, float]]:
    """(rows that have the class, answers that say it, both) for each class."""
    return [(sums[i], sums[i + 1], sums[i + 2]) for i in range(0, len(sums), COUNTS)]
