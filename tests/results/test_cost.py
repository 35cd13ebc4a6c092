"""cost.json: what is spent adds up, peaks are the highest, and the order of a row is kept."""

from __future__ import annotations

import json

import pytest

from luthier.results.cost import ArmCost, Cost


def spent() -> Cost:
    cost = Cost(seconds=0.0, arms={})
    cost = cost.spent("lora", train_seconds=60.0, evaluate_seconds=30.0)
    cost = cost.spent("lora", peak_bytes=500)
    cost = cost.spent("lora", dev_seconds=1.25, new_tokens=10)
    cost = cost.spent("lora", answer_seconds=2.5, new_tokens=20)
    return cost.spent("lora", score_seconds=0.25, peak_bytes=400).spent("copy-3", score_seconds=1.0)


def test_what_is_spent_adds_up_and_of_peaks_the_highest_is_kept() -> None:
    assert spent().as_json() == {
        "seconds": 95.0,
        "arms": {
            "lora": {
                "train_seconds": 60.0, "evaluate_seconds": 30.0, "peak_bytes": 500, "dev_seconds": 1.25,
                "new_tokens": 30, "answer_seconds": 2.5, "score_seconds": 0.25,
            },
            "copy-3": {"score_seconds": 1.0},
        },
    }  # fmt: skip


def test_a_row_is_written_in_the_order_in_which_it_was_spent(tmp_path) -> None:
    spent().write(tmp_path)
    text = (tmp_path / "cost.json").read_text()
    assert list(json.loads(text)["arms"]["lora"])[2:5] == ["peak_bytes", "dev_seconds", "new_tokens"]
    Cost.read(tmp_path).write(tmp_path)
    assert (tmp_path / "cost.json").read_text() == text


def test_sums_of_seconds() -> None:
    row = spent().of("lora")
    assert row.seconds == 94.0 and row.minutes == 94 / 60
    assert (row.train_minutes, row.fit_minutes, row.tune_minutes) == (1.0, 1.5, None)
    assert (row.evaluate_minutes, row.dev_minutes, row.answer_minutes) == (0.5, 31.25 / 60, 2.5 / 60)
    assert row.answering_seconds == 3.75 and row.known_new_tokens == 30 and row.tokens_per_second == 8.0
    tuned = row.with_more({"tune_seconds": 120.0, "tune_evaluate_seconds": 60.0})
    assert tuned.tune_minutes == 3.0 and tuned.seconds_untuned == row.seconds


def test_an_arm_of_which_nothing_is_known() -> None:
    row = Cost().of("none")
    assert row == ArmCost() and row.as_json() == {}
    assert (row.minutes, row.train_minutes, row.dev_minutes, row.tokens_per_second) == (None, None, None, None)
    assert row.known_new_tokens is None


def test_what_no_clock_of_ours_wrote_is_refused() -> None:
    with pytest.raises(ValueError):
        ArmCost(walk_seconds=1.0)  # type: ignore[call-arg]
