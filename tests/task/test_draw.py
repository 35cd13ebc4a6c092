"""Whatever the labels and their numbers, train keeps what it had; the same rows are held out whatever their order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.errors import DataError, TaskError
from luthier.records import Example
from luthier.task.create import init_task
from luthier.task.draw import drawn
from luthier.task.splits import Parts, moved

BUSY = [HealthCheck.too_slow]  # a machine that others use draws slowly

SHARES = {"test": 0.2, "dev": 0.1}


def parts_of(labels: list[str], units: list[int] | None = None) -> Parts:
    train = [
        Example(f"e{i}", f"in {i}", (label,), unit=f"u{units[i] if units else i}", row=i + 1)
        for i, label in enumerate(labels)
    ]
    return {"train": train, "dev": [], "test": []}


@settings(max_examples=150, deadline=None, suppress_health_check=BUSY)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 25)), min_size=8, max_size=60), st.integers(0, 9))
def test_every_label_stays_in_train_and_no_unit_is_split(rows: list[tuple[str, int]], seed: int) -> None:
    parts = parts_of([label for label, _ in rows], [unit for _, unit in rows])
    try:
        held = drawn(parts, SHARES, seed, Path("x.csv"), labelled=True)  # type: ignore[arg-type]
    except TaskError as error:
        assert str(error).startswith("x.csv: ")
        return
    after = moved(parts, held)
    assert {e.references for e in after["train"]} == {e.references for e in parts["train"]}
    units = [{e.unit for e in after[split]} for split in ("train", "dev", "test")]
    assert sum(map(len, units)) == len(set.union(*units)) and all(units)
    turned: Parts = {**parts, "train": parts["train"][::-1]}
    again = drawn(turned, SHARES, seed, Path("x.csv"), labelled=True)  # type: ignore[arg-type]
    assert {split: set(ids) for split, ids in again.items()} == {split: set(ids) for split, ids in held.items()}


@pytest.mark.parametrize("seed", range(8))
def test_rare_labels_cost_the_others_no_share(seed: int) -> None:
    labels = ["common"] * 60 + ["usual"] * 40 + ["rare 1", "rare 2", "rare 3"] + ["seldom"] * 10
    held = drawn(parts_of(labels), SHARES, seed, Path("x.csv"), labelled=True)  # type: ignore[arg-type]
    test = Counter(labels[int(id[1:])] for id in held["test"])
    assert len(held["test"]) == round(0.2 * len(labels))
    assert not [label for label in test if label.startswith("rare")]
    if {"rare 1", "rare 2", "rare 3"} & {labels[int(id[1:])] for id in plain(labels, seed)}:  # drawn by label
        assert abs(test["common"] - 12) <= 1 and abs(test["usual"] - 8) <= 1 and abs(test["seldom"] - 2) <= 1


def plain(labels: list[str], seed: int) -> list[str]:
    return drawn(parts_of(labels), SHARES, seed, Path("x.csv"))["test"]  # type: ignore[arg-type]


def test_labels_of_one_row_each_are_said_with_the_users_file_and_the_draw(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label\n" + "".join(f"t{i},l{i}\n" for i in range(9)) + "t9,l0\n")
    with pytest.raises(TaskError) as error:
        init_task(tmp_path / "task", tmp_path / "mine.csv", input="text", labels="label")
    assert str(error.value).startswith(
        f"{tmp_path / 'mine.csv'}: dev cannot be drawn (seed 0): each row left is the last"
    )


def test_a_label_that_train_cannot_have_is_named_in_the_users_file(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("text,label\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(20)))
    (tmp_path / "theirs.csv").write_text("text,label\nnew,c\nold,a\n")
    with pytest.raises(DataError, match="no train row has the label 'c'") as error:
        init_task(tmp_path / "task", tmp_path / "mine.csv", input="text", labels="label", test=tmp_path / "theirs.csv")
    assert str(tmp_path / "theirs.csv") in str(error.value) and ".part" not in str(error.value)
    assert not (tmp_path / "task").exists()
