"""What speed must not cost: a whole run in bf16, training and answers, scores what one in fp32 scores.

A tiny model learns to say what a dialogue is about, three times in each precision. The means may differ by what three
seeds each cannot tell apart (95 %), or by .05, three answers in sixty: precision moves a run as little as another seed
does. With real weights, which take a quarter of an hour, this is measured in docs/log.md.
"""

from __future__ import annotations

import random
from pathlib import Path
from statistics import fmean, stdev

import pytest
import scipy.stats

from luthier.files import read_lines, write_lines
from luthier.studies.study import study
from luthier.task.create import init_task

pytestmark = pytest.mark.slow

TOPICS = ("tickets", "the station", "a dentist", "lunch", "the reminder", "money")
NAMES = ("Anna", "Tom", "Lea", "Ben")
ARM, SEEDS = "full+learning_rate=1e-2", 3


def write_task(folder: Path) -> Path:
    dice = random.Random(0)
    rows = [
        {"dialogue": f"{a}: I want to talk about {topic}.\n{b}: At {dice.randrange(9)}.",
         "summary": f"They talk about {topic}."}
        for a in NAMES for b in NAMES for topic in TOPICS for _ in range(3) if a != b
    ]  # fmt: skip
    write_lines(folder / "rows.jsonl", random.Random(1).sample(rows, len(rows)))
    init_task(folder / "task", folder / "rows.jsonl", input="dialogue", target="summary")
    return folder / "task"


def rouge_of_seeds(folder: Path) -> list[float]:
    own = folder / "arms" / ARM
    places = [own, *(own / f"seed-{number}" for number in range(1, SEEDS))]
    return [fmean(row["values"]["rouge1"] for row in read_lines(place / "scores.jsonl")) for place in places]


def test_a_whole_run_in_bf16_scores_as_one_in_fp32(
    tmp_path: Path, tiny_folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    task, found = write_task(tmp_path), {}
    for precision in ("fp32", "bf16"):
        study(
            task, model=str(tiny_folder("decoder-chat")), arms=ARM, seeds=SEEDS, precision=precision,
            defaults="epochs=6,evaluations=1", dev=4, test=30, out=tmp_path / precision,
        )  # fmt: skip
        found[precision] = rouge_of_seeds(tmp_path / precision)
    print(found)
    assert fmean(found["fp32"]) > 0.7  # untrained, it says nothing of the kind
    errors = [stdev(values) / SEEDS**0.5 for values in found.values()]
    reach = float(scipy.stats.t.ppf(0.975, 2 * SEEDS - 2)) * sum(error**2 for error in errors) ** 0.5
    assert fmean(found["bf16"]) == pytest.approx(fmean(found["fp32"]), abs=max(reach, 0.05))
