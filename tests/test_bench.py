"""The benchmark's arithmetic and its table. Nothing here looks at a clock: timings are not a test."""

from __future__ import annotations

import ast
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from bench import flops
from bench.jobs import PARTS, jobs
from bench.peers import common
from bench.plot import growth, scaling_svg
from bench.rounds import load_results, run_rounds
from bench.rows import BATCH, TIMED_STEPS, training_rows
from bench.table import BEGIN, RESULTS, between_markers, group_table, limit, ratios, tables
from luthier.files import read_json, write_lines
from luthier.records import Prompt

ROOT = Path(__file__).parent.parent
SHAPE = flops.SMOLLM2_135M
ONE_LAYER = flops.Shape(layers=1, width=4, heads=2, key_heads=1, head_width=2, inner=8, vocabulary=10)


def test_parameters_by_hand() -> None:
    # query 4x4, key and value 4x2 each, output 4x4, gate, up and down 4x8 each
    assert ONE_LAYER.parameters == 16 + 8 + 8 + 16 + 3 * 32
    assert ONE_LAYER.adapter_parameters(2) == 2 * (8 + 6 + 6 + 8 + 12 + 12 + 12)
    assert ONE_LAYER.head_parameters == 40


def test_the_shape_is_the_real_models() -> None:
    # 134,515,008 parameters: the blocks, the tied embedding, two norms a block and a last one
    norms = (2 * SHAPE.layers + 1) * SHAPE.width
    assert SHAPE.parameters + SHAPE.head_parameters + norms == 134_515_008
    assert SHAPE.adapter_parameters(16) == 4_884_480  # what peft counts for r = 16 on all linear layers


def test_training_operations_by_hand() -> None:
    run = {"tokens": 3, "supervised": 2, "squares": 6}  # one row of three tokens
    attention = 3 * 4 * 2 * 2 * 6
    assert flops.training(ONE_LAYER, run, None) == 6 * 144 * 3 + 6 * 40 * 2 + attention
    assert flops.training(ONE_LAYER, run, 2) == (4 * 144 + 6 * 128) * 3 + 4 * 40 * 2 + attention


def test_generation_operations_by_hand() -> None:
    # one prompt of 3 tokens, 2 new ones: 4 tokens are read, 2 need logits
    run = {"prompt_tokens": 3, "new_tokens": 2, "examples": 1, "squares": 10}
    assert flops.generation(ONE_LAYER, run) == 2 * 144 * 4 + 2 * 40 * 2 + 4 * 2 * 2 * 10
    assert flops.weight_bytes_moved(ONE_LAYER, {"weight_bits": 16, "passes": 2}) == (144 + 40) * 2 * 2


def training_run(number: int, tokens: int, seconds: float) -> dict[str, Any]:
    return {
        "round": number, "tokens": tokens, "supervised": 10, "squares": 100, "seconds": seconds,
        "peak_bytes": 2**30, "precision": "fp32",
    }  # fmt: skip


def machine_run(fp32: float) -> dict[str, Any]:
    return {
        "round": 1, "fp32_flops": {"1024": fp32 / 2, "2048": fp32}, "bf16_flops": {"1024": fp32 / 4},
        "triad_bytes_per_second": 1e10, "read_bytes_per_second": 2e10,
    }  # fmt: skip


def results() -> dict[str, Any]:
    return {
        "labels": {"train-full/ours": "luthier", "train-full/a": "A", "train-full/b": "B"},
        "missing": {"train-full/b": "b is not installed"},
        "runs": {
            "limit/machine": [machine_run(1e12)],
            # The machine was half as fast in round 2: rates differ, the ratio does not.
            "train-full/ours": [training_run(1, 1000, 1.0), training_run(2, 1000, 2.0)],
            "train-full/a": [training_run(1, 1000, 3.0), training_run(2, 500, 3.0)],
        },
    }


def test_ratios_are_taken_within_a_round() -> None:
    runs = results()["runs"]
    assert ratios("train-full", runs["train-full/ours"], runs["train-full/a"]) == [3.0, 3.0]
    assert ratios("train-full", runs["train-full/ours"], [training_run(3, 1, 1.0)]) == []


def test_a_tool_that_did_other_rows_is_compared_by_rate() -> None:
    assert ratios("train-full", [training_run(1, 1000, 1.0)], [training_run(1, 250, 1.0)]) == [4.0]


def test_the_limit_is_the_best_size() -> None:
    best = limit(results())
    assert best is not None and best["fp32"] == 1e12 and best["bf16"] == 0.25e12


def test_the_table_says_everything_and_names_what_was_not_run() -> None:
    lines = group_table(results(), "train-full").splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["**luthier** (fp32)", "A (fp32)", "B"]
    assert "750" in lines[2] and "3.00 x (3.00 to 3.00)" in lines[3] and "b is not installed" in lines[4]
    operations = flops.training(SHAPE, results()["runs"]["train-full/ours"][0], None)
    assert f"{operations * 0.75 / 1e12:.0%}" in lines[2]  # the median of 1 s and 2 s, in rate


def test_nothing_measured_makes_no_table() -> None:
    assert tables({"labels": {}, "missing": {}, "runs": {}}) == ""


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


def test_markers() -> None:
    text = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    assert between_markers(text, "new \\1") == "before\n<!-- bench -->\nnew \\1\n<!-- /bench -->\nafter\n"
    with pytest.raises(ValueError, match="no markers"):
        between_markers("nothing here", "new")


def prompts(count: int) -> list[Prompt]:
    """Prompts of 1, 2, 3, ... tokens, each with a target of two."""
    return [Prompt(id=str(n), text="", prompt_ids=(5,) * n, target_ids=(6, 7)) for n in range(1, count + 1)]


def test_training_rows_are_one_warm_up_and_batches_of_like_length(tmp_path: Path) -> None:
    made = training_rows(prompts(BATCH * (1 + TIMED_STEPS)))
    write_lines(tmp_path / "train.jsonl", made)
    order = {"rows": str(tmp_path / "train.jsonl")}
    warm_up, *timed = common.training_batches(order)
    assert [row["id"] for row in warm_up] == [str(n) for n in range(1, BATCH + 1)]
    lengths = sorted([len(row["ids"]) for row in batch] for batch in timed)
    assert all(batch == sorted(batch) and len(batch) == BATCH for batch in lengths)
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(lengths))
    assert all(row["labels"][-2:] == [6, 7] and set(row["labels"][:-2]) == {-100} for row in made)


def test_mixed_batches_hold_the_same_rows_and_all_lengths(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", training_rows(prompts(BATCH * (1 + TIMED_STEPS))))
    order = {"rows": str(tmp_path / "train.jsonl")}
    plain, mixed = (common.training_batches(order | {"mixed": m}) for m in (False, True))
    assert {r["id"] for b in plain for r in b} == {r["id"] for b in mixed for r in b}
    means = [sum(len(r["ids"]) for r in batch) / BATCH for batch in mixed[1:]]
    assert max(means) - min(means) <= 2
    assert len(common.training_batches(order | {"steps": 1})) == 2


def test_rows_too_long_for_a_tool_are_left_out_and_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        training_rows([p for p in prompts(520) if len(p.prompt_ids) > 505])


def test_what_a_generation_run_reports(capsys: pytest.CaptureFixture[str]) -> None:
    batches = [[{"ids": [1, 2, 3]}, {"ids": [1, 2]}], [{"ids": [1, 9]}]]
    common.report_generation((), batches, [[4, 4], [4, 4], [4]], {"seconds": 1.0})
    said = json.loads(capsys.readouterr().out)
    assert (said["prompt_tokens"], said["new_tokens"], said["passes"]) == (7, 5, 2 + 1)
    assert said["squares"] == 5 * 6 // 2 + 4 * 5 // 2 + 3 * 4 // 2
    assert common.shared_length(batches) == 1


def test_the_clock_knows_both_kinds_of_seconds() -> None:
    assert common.Moment(3.0, 5.0) - common.Moment(1.0, 1.0) == {"seconds": 2.0, "work_seconds": 4.0}


def test_every_job_has_its_file_and_its_own_key() -> None:
    all_jobs = jobs(list(PARTS))
    assert len({job.key for job in all_jobs}) == len(all_jobs)
    for job in all_jobs:
        ast.parse((ROOT / "bench" / "peers" / job.file).read_text(encoding="utf-8"))


def test_peers_hold_none_of_our_code() -> None:
    for path in (ROOT / "bench" / "peers").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        named += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        ours = [name for name in named if name.split(".")[0] == "luthier"]
        assert bool(ours) == path.name.startswith("ours_"), path.name


def test_finished_runs_are_kept(tmp_path: Path) -> None:
    """A killed benchmark goes on: a run in the file is not done again, a peer that is not installed is a reason."""
    path, wanted = tmp_path / "results.json", jobs(["limit"])
    before = load_results(path, {}, "test") | {"runs": {"limit/machine": [machine_run(1e12)]}}
    run_rounds(path, before, wanted, 1, {}, lambda _: pytest.fail("nothing was to be run"))
    absent = [job for job in jobs(["generate"]) if job.name == "openvino-4bit"][:1]
    run_rounds(path, before, absent, 1, {}, lambda _: None)
    assert list(read_json(path)["missing"]) == ["generate-1/openvino-4bit"]


def test_the_readme_holds_the_numbers_of_the_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if BEGIN not in readme:
        pytest.skip("the README has no benchmark table")
    assert between_markers(readme, tables(read_json(RESULTS))) == readme
