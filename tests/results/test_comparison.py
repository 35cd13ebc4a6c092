"""compare.json as a type: pairs seen from either arm, and the questions that readers ask of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.files import write_json
from luthier.results.comparison import Comparison, Pair, turned
from tests.results.made import compared, compared_labels


@pytest.fixture
def comparison() -> Comparison:
    return Comparison.model_validate_json(json.dumps(compared()))


@pytest.mark.parametrize("made", [compared, compared_labels])
def test_a_real_file_is_written_again_byte_for_byte(made, tmp_path: Path) -> None:
    write_json(tmp_path / "compare.json", made())
    before = (tmp_path / "compare.json").read_bytes()
    Comparison.read(tmp_path).write(tmp_path)
    assert (tmp_path / "compare.json").read_bytes() == before


def test_a_pair_seen_from_the_other_arm(comparison: Comparison) -> None:
    pair = comparison.pair("copy-3", "lora")
    assert pair is not None and pair.recipe is not None and pair.verdict == "worse"
    other = pair.seen_from("lora")
    assert (other.a, other.b, other.verdict) == ("lora", "copy-3", "better")
    assert other.difference == -pair.difference and (other.low, other.high) == (-pair.high, -pair.low)
    assert (other.simultaneous_low, other.one_sided_high) == (-pair.simultaneous_high, -pair.one_sided_low)
    assert other.recipe.difference == -pair.recipe.difference and other.recipe.low == -pair.recipe.high
    assert (other.recipe.seed_sd, other.sd, other.n) == (pair.recipe.seed_sd, pair.sd, pair.n)
    assert other.seen_from("copy-3") == pair and pair.seen_from("copy-3") is pair
    assert comparison.pair("lora", "copy-3") == other


def test_a_pair_that_lacks_values_stays_without_them() -> None:
    unknown = Pair(a="a", b="b", metric="copied", difference=None, low=None, high=None, n=0, verdict=None)
    assert unknown.seen_from("b").as_json() == {**unknown.as_json(), "a": "b", "b": "a"}
    half = Pair(a="a", b="b", metric="copied", difference=0.25, low=None, high=0.5, n=1, verdict="cannot tell")
    assert half.seen_from("b").as_json() == {
        "a": "b", "b": "a", "metric": "copied", "difference": -0.25, "low": -0.5, "high": None, "n": 1,
        "verdict": "cannot tell",
    }  # fmt: skip


def test_an_arm_that_is_not_of_the_pair_is_our_own_mistake(comparison: Comparison) -> None:
    with pytest.raises(ValueError, match="'full' is none of copy-3, lora"):
        comparison.pair("copy-3", "lora").seen_from("full")


def test_only_better_and_worse_turn() -> None:
    verdicts = ("better", "worse", "equivalent", "cannot tell")
    assert [turned(verdict) for verdict in verdicts] == ["worse", "better", "equivalent", "cannot tell"]


def test_pairs_by_metric(comparison: Comparison) -> None:
    arms = [("copy-3", "zero-shot"), ("copy-3", "lora"), ("zero-shot", "lora")]
    assert [(pair.a, pair.b) for pair in comparison.deciding_pairs] == arms
    assert [pair.verdict for pair in comparison.pairs_on("bleu")] == [None] * 3
    assert comparison.pair("lora", "zero-shot", "bleu").metric == "bleu"
    assert comparison.pair("lora", "full") is None


def test_arms_by_mean_and_in_the_order_of_asking(comparison: Comparison) -> None:
    assert comparison.by_mean() == ["lora", "zero-shot", "copy-3"]
    assert comparison.arms_to_ask()[0] == comparison.ship.choice
    assert sorted(comparison.arms_to_ask()) == sorted(comparison.arms)
    assert comparison.deciding_row("lora").mean == comparison.arms["lora"]["rouge1"].mean
    assert comparison.deciding_row("full") is None
    nothing = comparison.arms["lora"]["rouge1"].model_copy(update={"mean": None})
    arms = {"lora": {"rouge1": nothing}, "strange": {}, "zero-shot": comparison.arms["zero-shot"]}
    assert comparison.model_copy(update={"arms": arms}).by_mean() == ["zero-shot", "lora", "strange"]


def test_baselines_and_groups(comparison: Comparison) -> None:
    assert comparison.baseline_names() == ["zero-shot", "copy-3"]
    apart = comparison.model_copy(update={"groups": (("a",), ("b", "c"))})
    assert apart.groups_not_separated() == [("b", "c")]


def test_a_comparison_cannot_be_changed(comparison: Comparison) -> None:
    with pytest.raises(ValueError, match="frozen"):
        comparison.margin = 0.5
