"""The benchmark's arithmetic and its tables."""

from __future__ import annotations

from typing import Any

import pytest

from bench import flops
from bench.plot import growth, scaling_svg
from bench.table import group_table, limit, operations, ratios
from luthier.planning.config import Config
from luthier.planning.flops import head_parameters, linear_parameters
from luthier.planning.read import shape_from
from tests.bench.made import generation_run, machine_run, results, training_run

SHAPE = flops.SMOLLM2_135M
ONE_LAYER = shape_from(
    Config("one layer", {
        "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 4, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 2, "intermediate_size": 8, "vocab_size": 10,
        "tie_word_embeddings": True,
    })
)  # fmt: skip


def test_parameters_by_hand() -> None:
    # query 4x4, key and value 4x2 each, output 4x4, gate, up and down 4x8 each
    assert linear_parameters(ONE_LAYER) == 16 + 8 + 8 + 16 + 3 * 32
    assert flops.adapter_parameters(ONE_LAYER, 2) == 2 * (8 + 6 + 6 + 8 + 12 + 12 + 12)
    assert head_parameters(ONE_LAYER) == 40


def test_the_shape_is_the_real_models() -> None:
    # 134,515,008 parameters: the blocks, the tied embedding, two norms a block and a last one
    norms = (2 * len(SHAPE.blocks) + 1) * SHAPE.width
    assert linear_parameters(SHAPE) + head_parameters(SHAPE) + norms == 134_515_008
    assert flops.adapter_parameters(SHAPE, 16) == 4_884_480  # what peft counts for r = 16 on all linear layers


def test_training_operations_by_hand() -> None:
    run = {"tokens": 3, "supervised": 2, "squares": 6}  # one row of three tokens
    attention = 3 * 4 * 2 * 2 * 6
    assert flops.training(ONE_LAYER, run, None) == 6 * 144 * 3 + 6 * 40 * 2 + attention
    # The input of query, key and value needs no gradient: nothing below them moves.
    unneeded = 2 * (16 + 8 + 8 + 3 * 2 * 4) * 3
    assert flops.training(ONE_LAYER, run, 2) == (4 * 144 + 6 * 128) * 3 + 4 * 40 * 2 + attention - unneeded


def test_generation_operations_by_hand() -> None:
    # one prompt of 3 tokens, 2 new ones: 4 tokens are read, 2 need logits
    run = {"prompt_tokens": 3, "new_tokens": 2, "examples": 1, "squares": 10}
    assert flops.generation(ONE_LAYER, run) == 2 * 144 * 4 + 2 * 40 * 2 + 4 * 2 * 2 * 10
    assert flops.weight_bytes_moved(ONE_LAYER, {"weight_bits": 16, "passes": 2}) == (144 + 40) * 2 * 2


def test_pretraining_operations_by_hand() -> None:
    # 2 layers of 12 x 8^2 weights, 10 ids of width 8; 3 rows of 4 tokens, so 3 x (1 + 2 + 3 + 4) pairs
    run = {"tokens": 12, "shape": {"width": 8, "layers": 2, "heads": 2, "row": 4, "vocabulary": 10}}
    assert flops.pretraining(run) == 6 * (2 * 12 * 64 + 80) * 12 + 3 * 4 * 8 * 2 * 30
    assert operations("pretrain-256", run) == flops.pretraining(run)


def test_ratios_are_taken_within_a_round() -> None:
    runs = results()["runs"]
    assert ratios("train-full", runs["train-full/ours"], runs["train-full/a"]) == [3.0, 3.0]
    assert ratios("train-full", runs["train-full/ours"], [training_run(3, 1, 1.0)]) == []


def test_a_tool_that_did_other_rows_is_compared_by_rate() -> None:
    assert ratios("train-full", [training_run(1, 1000, 1.0)], [training_run(1, 250, 1.0)]) == [4.0]


def test_the_limit_is_the_best_size_of_the_best_round() -> None:
    known = results()
    (quiet,) = known["runs"]["limit/machine"]
    slow = {name: {size: rate / 2 for size, rate in quiet[name].items()} for name in ("fp32_flops", "bf16_flops")}
    known["runs"]["limit/machine"].append(quiet | slow)  # while something else ran
    best = limit(known)
    assert best is not None and best["fp32"] == 1e12 and best["bf16"] == 0.25e12
    known["runs"] = {"gpu-limit/machine": [machine_run(4e12)]}
    assert (limit(known) or {})["fp32"] == 4e12


def test_the_table_says_everything_and_names_what_was_not_run() -> None:
    lines = group_table(results(), "train-full").splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["**luthier** (fp32)", "A (fp32)", "B"]
    assert "750 (500 to 1,000)" in lines[2] and "3.00 x (3.00 to 3.00)" in lines[3]
    assert "1.0 GiB | 2 |" in lines[2] and "not run: b is not installed" in lines[4]
    assert len({line.count("|") for line in lines}) == 1
    work = flops.training(flops.SMOLLM2_135M, results()["runs"]["train-full/ours"][0], None)
    assert f"{work * 0.75 / 1e12:.0%}" in lines[2]  # the median of 1 s and 2 s, in rate


def test_seconds_of_the_wall_and_of_the_processor_stand_beside_each_other() -> None:
    """For 1,000 tokens each, so that a tool that did fewer is not thought faster."""
    lines = group_table(results(), "train-full").splitlines()
    assert "seconds a 1,000 | CPU-seconds a 1,000" in lines[0]
    assert "| 1.50 | 3.00 |" in lines[2] and "| 4.50 | 9.00 |" in lines[3]
    silent = results()
    for run in silent["runs"]["train-full/a"]:
        del run["work_seconds"]
    assert "| 4.50 |  |" in group_table(silent, "train-full").splitlines()[3]


@pytest.mark.parametrize("fp32, bf16", [(1e12, 0.25e12), (0.25e12, 1e12)])
def test_the_share_is_of_the_better_peak(fp32: float, bf16: float) -> None:
    known = results()
    known["runs"]["limit/machine"] = [machine_run(1.0) | {"fp32_flops": {"1": fp32}, "bf16_flops": {"1": bf16}}]
    assert group_table(known, "train-full") == group_table(results(), "train-full")


def test_the_table_says_how_long_an_answer_stays_ours() -> None:
    runs = {"generate-1/ours": [generation_run([1, 2, 3, 4])], "generate-1/a": [generation_run([1, 2, 9, 4])]}
    assert "2 of 4" in group_table(results(labels=dict.fromkeys(runs, "x"), runs=runs, missing={}), "generate-1")


def test_a_server_s_row_has_the_time_to_the_first_token() -> None:
    first = {"first_token_alone": 0.2, "first_token_beside": 0.5, "first_token_few": 1.5}
    runs = {"serve/ours": [generation_run([], **first)], "serve/offline": [generation_run([])]}
    lines = group_table(results(labels=dict.fromkeys(runs, "x"), runs=runs, missing={}), "serve").splitlines()
    assert "first token alone | beside 15 streams | of 16 at once" in lines[0]
    assert "| 0.20 s | 0.50 s | 1.50 s |" in lines[2]
    assert "|  |  |  | 1 |" in lines[3]


def test_a_busy_machine_s_row_is_the_ratio() -> None:
    runs = {
        "busy/ask": [
            {"round": n, "seconds": 2.0, "busy_seconds": 2.0 * n, "work_seconds": 3.0, "busy_work_seconds": 3.5}
            for n in (1, 2, 3)
        ]
    }
    lines = group_table(results(labels={"busy/ask": "luthier ask"}, runs=runs, missing={}), "busy").splitlines()
    assert lines[2] == "| **luthier ask** | 2.0 s | 4.0 s | 2.00 x (1.00 to 3.00) | 3.0 | 3.5 | 3 |"


def test_what_was_not_measured_is_no_failure() -> None:
    made = results(
        runs={}, labels={"gpu-train-lora/ours": "l"}, missing={"gpu-train-lora/ours": "not measured: no GPU"}
    )
    assert "| l | *not measured: no GPU* |" in group_table(made, "gpu-train-lora")


def test_growth_is_the_median_over_rounds() -> None:
    def run(seconds: float) -> dict[str, Any]:
        points = [{"tokens": 64 * n, "seconds": seconds * n} for n in (1, 16)]
        return {
            "examples": [p | {"examples": n} for n, p in zip((1, 16), points, strict=True)],
            "lengths": [p | {"length": n} for n, p in zip((64, 1024), points, strict=True)],
        }

    runs = [run(1.0), run(2.0), run(9.0)]
    assert [p["seconds"] for p in growth(runs, "examples")] == [2.0, 32.0]
    assert [p["at"] for p in growth(runs, "lengths")] == [64, 1024]
    assert scaling_svg(runs) == scaling_svg(runs) and "<svg" in scaling_svg(runs)
