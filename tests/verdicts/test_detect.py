"""What a test set can show is said in numbers before a run, and agrees with the arithmetic behind it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luthier.errors import TaskError
from luthier.records import Example
from luthier.stats.power import detectable_difference
from luthier.stats.simultaneous import alpha_at_look
from luthier.task.task import Task, load_task
from luthier.verdicts.detect import TYPICAL_SD, can_show, refuse_unscorable, unseen_labels


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("dialogues")


def test_the_sentence_holds_the_difference_of_the_middle_spread(task: Task) -> None:
    units = len({example.unit for example in task.test})
    first, second = can_show(task, task.test, arms=4, look=1)
    middle = detectable_difference(units, TYPICAL_SD[1], 6, level=1 - alpha_at_look(1))
    assert f"{units} test dialogues, 4 arms, 6 pairs on rouge1: a true difference of {middle:.3f} is found" in first
    assert second.startswith("Two equal arms ")


def test_a_later_look_finds_less(task: Task) -> None:
    def middle(look: int) -> float:
        return float(can_show(task, task.test, 4, look)[0].partition("difference of ")[2].split(" ")[0])

    assert middle(1) < middle(2) < middle(5)


def test_rows_of_one_unit_count_once(task: Task) -> None:
    twice = [replace(example, id=f"{example.id}-{k}") for example in task.test for k in range(2)]
    assert can_show(task, twice, 3, 1) == can_show(task, task.test, 3, 1)


def test_labels_that_a_sample_lacks_are_named() -> None:
    moods = load_task("dialogues:mood")
    assert unseen_labels(moods, moods.train) == []
    word = moods.labels[0]
    (sentence,) = unseen_labels(moods, [e for e in moods.train if e.references != (word,)])
    assert word in sentence
    assert unseen_labels(load_task("dialogues"), [Example("a", "b", ("c",))]) == []


@pytest.mark.parametrize("references, says", [
    (("Аня просит перенести встречу.",), "reference 1 has no word in a-z or 0-9, all that rouge-score reads; use chrf"),
    (("Ann asks.", "  "), "reference 2 of 2 is empty"),
])  # fmt: skip
def test_a_metric_that_cannot_be_computed_is_refused_before_the_training(
    task: Task, references: tuple[str, ...], says: str
) -> None:
    known = list(task.dev[:3])
    unscorable = [replace(example, references=references) for example in task.dev[3:7]]
    refuse_unscorable(task, "dev", [*known, *unscorable[:3]])  # half of them have a value, so dev can choose
    with pytest.raises(TaskError) as refused:
        refuse_unscorable(task, "dev", [*known, *unscorable])
    row = task.dev[3].row
    assert str(refused.value) == (
        f"dev.jsonl: rouge1 decides and cannot be computed for 4 of 7 dev examples (row {row}: {says}); "
        "set decide.metric in task.toml"
    )


def test_a_metric_of_labels_or_letters_can_always_be_computed(task: Task) -> None:
    chrf = replace(
        task, spec=task.spec.model_copy(update={"decide": task.spec.decide.model_copy(update={"metric": "chrf"})})
    )
    cyrillic = [replace(example, references=("Аня просит.",)) for example in task.dev[:5]]
    refuse_unscorable(chrf, "dev", cyrillic)
    moods = load_task("dialogues:mood")
    refuse_unscorable(moods, "dev", moods.dev)
