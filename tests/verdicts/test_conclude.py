"""A finished study is compared from what lies in its folder: which arms are baselines, what shipping each costs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from luthier.records import Answer, Example
from luthier.results.comparison import Comparison
from luthier.results.folder import StudyFolder
from luthier.results.lines import ANSWERS_FILE, EXAMPLES_FILE, SCORES_FILE
from luthier.results.profile_record import ProfileRecord
from luthier.results.record import write_lines_of
from luthier.scoring.score import score
from luthier.task.task import Task, load_task
from luthier.verdicts.conclude import conclude, costs, further_seeds
from tests.records import WEIGHT, arm_record, study_record

KEPT = {"copy-3": 1, "zero-shot": 3, "lora": 4}  # arm -> words of five that its answers keep


def task_in(folder: Path) -> Task:
    folder.mkdir()
    for split in ("train", "dev", "test"):
        row = (
            f'{{"id": "{split}", "input": "Ann: {split}?", "references": ["one two three four five"], "meta": {{}}}}\n'
        )
        (folder / f"{split}.jsonl").write_text(row)
    (folder / "task.toml").write_text('name = "made"\n')
    return load_task(folder)


def answers_of(arm: str, examples: list[Example], seed: int = 0) -> list[Answer]:
    words = ["one", "two", "three", "four", "five"]
    kept = [KEPT[arm] - (number + seed) % 2 for number in range(len(examples))]
    return [Answer(example.id, " ".join(words[:count])) for example, count in zip(examples, kept, strict=True)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    """A study of a baseline, a way of prompting and an arm under three seeds, as it is before it is compared."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    made = StudyFolder(tmp_path / "study")
    examples = [Example(f"e{n}", f"Ann: Number {n}?", ("one two three four five",)) for n in range(30)]
    write_lines_of(made.path / EXAMPLES_FILE, examples)
    for arm in KEPT:
        for seed in range(3 if arm == "lora" else 1):
            place = made.arm(f"{arm}/seed-{seed}" if seed else arm)
            answers = answers_of(arm, examples, seed)
            write_lines_of(place / ANSWERS_FILE, answers)
            write_lines_of(place / SCORES_FILE, score(answers, examples))
            arm_record(arm, asks=arm != "copy-3", trained=arm == "lora").write(place)
    study_record(KEPT.keys(), specification={"seeds": 3}, status="running").write(made.path)
    return made


def test_arms_are_compared_with_their_seeds_and_their_baselines(folder: StudyFolder, tmp_path: Path) -> None:
    found = conclude(folder, task_in(tmp_path / "task"))
    assert Comparison.read(folder.path) == found
    assert (list(found.arms), found.look, found.ship.arm) == (list(KEPT), 1, "lora")
    assert set(found.baseline_names()) == {"copy-3", "zero-shot"}
    recipe = found.deciding_row("lora").recipe
    assert recipe is not None and recipe.seeds == 3
    assert found.deciding_row("zero-shot").recipe is None
    assert set(ProfileRecord.read(folder.path).arms) == set(KEPT)


def test_labels_have_no_profile(folder: StudyFolder, tmp_path: Path) -> None:
    task = task_in(tmp_path / "task")
    shutil.copytree(folder.path, tmp_path / "labels")
    conclude(StudyFolder(tmp_path / "labels"), Labelled(**vars(task)))
    assert not ProfileRecord.is_in(tmp_path / "labels")


class Labelled(Task):
    labels = ("yes", "no")  # type: ignore[assignment]


def test_only_arms_that_the_study_trained_have_further_seeds(folder: StudyFolder) -> None:
    arms = {name: folder.arm_record(name) for name in KEPT}
    found = further_seeds(folder, arms, 3)
    assert list(found) == ["lora"] and [len(scores) for scores in found["lora"]] == [30, 30]
    assert further_seeds(folder, arms, 1) == {}
    elsewhere = {"lora": arm_record("lora", trained=True, trained_on="a mixture")}
    assert further_seeds(folder, elsewhere, 3) == {}


def test_what_shipping_costs_is_bytes_then_prompt_tokens_then_asking() -> None:
    arms = {
        "copy-3": arm_record("copy-3", asks=False),
        "zero-shot": arm_record("zero-shot", counts={"prompt_tokens_mean": 80.5}),
        "lora": arm_record("lora", trained=True, counts={"saved_bytes": 2_000_000}),
    }
    assert costs(arms) == {
        "copy-3": (0.0, 0.0, 1.0, 0.0),
        "zero-shot": (0.0, 80.5, 1.0, 1.0),
        "lora": (2.0, 76.3, 1.0, 1.0),
    }
    other = arms | {"small": arm_record("small", model="other", counts={"weight": WEIGHT | {"file_bytes": 500_000}})}
    assert [cost[0] for cost in costs(other).values()] == [0.0, 0.172112, 0.172112, 0.5]
