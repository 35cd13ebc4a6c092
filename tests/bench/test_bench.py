"""The benchmark's arithmetic and its table. Nothing here looks at a clock: timings are not a test."""

from __future__ import annotations

import ast
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import flops
from bench.__main__ import fits
from bench.jobs import BF16, Job, all_jobs
from bench.peers import common
from bench.plot import growth, scaling_svg
from bench.rounds import estimate, load_results, new_results, plan, run_alone, run_rounds
from bench.rows import SMOKE, WHOLE, training_rows
from bench.table import BEGIN, RESULTS, between_markers, group_table, limit, origin_line, ratios, tables
from luthier.files import read_json, write_lines
from luthier.planning.config import Config
from luthier.planning.flops import head_parameters, linear_parameters
from luthier.planning.read import shape_from
from luthier.records import Prompt

ROOT = Path(__file__).parents[2]
BATCH, STEPS = WHOLE.batch, WHOLE.timed_steps
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
        "machine": {"processor": "P", "cores": 2, "memory_bytes": 2**30},
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


def test_the_limit_is_the_best_size_of_the_best_round() -> None:
    known = results()
    (quiet,) = known["runs"]["limit/machine"]
    slow = {name: {size: rate / 2 for size, rate in quiet[name].items()} for name in ("fp32_flops", "bf16_flops")}
    known["runs"]["limit/machine"].append(quiet | slow)  # while something else ran
    best = limit(known)
    assert best is not None and best["fp32"] == 1e12 and best["bf16"] == 0.25e12


def test_the_table_says_everything_and_names_what_was_not_run() -> None:
    lines = group_table(results(), "train-full").splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["**luthier** (fp32)", "A (fp32)", "B"]
    assert "750 (500 to 1,000)" in lines[2] and "3.00 x (3.00 to 3.00)" in lines[3]
    assert "1.0 GiB | 2 |" in lines[2] and "b is not installed" in lines[4]
    assert len({line.count("|") for line in lines}) == 1
    operations = flops.training(SHAPE, results()["runs"]["train-full/ours"][0], None)
    assert f"{operations * 0.75 / 1e12:.0%}" in lines[2]  # the median of 1 s and 2 s, in rate


def test_nothing_measured_makes_no_table() -> None:
    assert tables({"labels": {}, "missing": {}, "runs": {}}) == ""


def generation_run(answer: list[int]) -> dict[str, Any]:
    return {
        "round": 1, "prompt_tokens": 10, "new_tokens": 4, "examples": 1, "squares": 100, "passes": 4, "seconds": 2.0,
        "peak_bytes": 2**30, "answer": answer, "weight_bits": 32, "commit": "abcdefgh", "changed": True,
    }  # fmt: skip


def test_the_table_says_how_long_an_answer_stays_ours() -> None:
    runs = {"generate-1/ours": [generation_run([1, 2, 3, 4])], "generate-1/a": [generation_run([1, 2, 9, 4])]}
    made = results() | {"labels": dict.fromkeys(runs, "x"), "runs": runs, "missing": {}}
    assert "2 of 4" in group_table(made, "generate-1") and "abcdefg+" in origin_line(made)


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
    made = training_rows(prompts(BATCH * (1 + STEPS)))
    write_lines(tmp_path / "train.jsonl", made)
    order = {"rows": str(tmp_path / "train.jsonl")}
    warm_up, *timed = common.training_batches(order)
    assert [row["id"] for row in warm_up] == [str(n) for n in range(BATCH * STEPS + 1, BATCH * (1 + STEPS) + 1)]
    lengths = sorted([len(row["ids"]) for row in batch] for batch in timed)
    assert all(batch == sorted(batch) and len(batch) == BATCH for batch in lengths)
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(lengths))
    assert all(row["labels"][-2:] == [6, 7] and set(row["labels"][:-2]) == {-100} for row in made)


def test_mixed_batches_hold_the_same_rows_and_all_lengths(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", training_rows(prompts(BATCH * (1 + STEPS))))
    order = {"rows": str(tmp_path / "train.jsonl")}
    plain, mixed = (common.training_batches(order | {"mixed": m}) for m in (False, True))
    assert {r["id"] for b in plain for r in b} == {r["id"] for b in mixed for r in b}
    means = [sum(len(r["ids"]) for r in batch) / BATCH for batch in mixed[1:]]
    assert max(means) - min(means) <= 2
    assert len(common.training_batches(order | {"steps": 1})) == 2


def test_rows_too_long_for_a_tool_are_left_out_and_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        training_rows([p for p in prompts(520) if len(p.prompt_ids) > 505])


def test_the_warm_up_takes_the_shortest_of_the_rows_that_are_left() -> None:
    made = training_rows(prompts(40)[::-1], SMOKE)
    assert [row["id"] for row in made if row["warm_up"]] == ["1", "2", "3", "4"]
    assert [row["id"] for row in made if not row["warm_up"]] == ["37", "38", "39", "40"]


BATCHES = [[{"ids": [1, 2, 3]}, {"ids": [1, 2]}], [{"ids": [1, 9]}]]


def test_what_a_generation_run_reports(capsys: pytest.CaptureFixture[str]) -> None:
    common.report_generation((), {"new_tokens": 2}, BATCHES, [[4, 4]] * 3, {"seconds": 1.0})
    said = json.loads(capsys.readouterr().out)
    assert (said["prompt_tokens"], said["new_tokens"], said["passes"]) == (7, 6, 2 * 2)
    assert said["squares"] == 5 * 6 // 2 + 4 * 5 // 2 + 4 * 5 // 2
    assert said["peak_bytes"] > 2**20 and common.shared_length(BATCHES) == 1


@pytest.mark.parametrize("answers", [[[4, 4], [4, 4], [4]], [[4, 4], [4, 4], [4, 4, 0]], [[4, 4]]])
def test_answers_that_are_not_the_work_ordered_are_refused(answers: list[list[int]]) -> None:
    """A tool that stops early, hands padding over or leaves a prompt out would look faster than it is."""
    with pytest.raises(SystemExit, match="answers"):
        common.report_generation((), {"new_tokens": 2}, BATCHES, answers, {"seconds": 1.0})


def test_which_prompts_a_group_answers(tmp_path: Path) -> None:
    write_lines(tmp_path / "g.jsonl", [{"ids": [n]} for n in range(48)])
    order = {"rows": str(tmp_path / "g.jsonl"), "batch": 16}
    asked = lambda **more: [[row["ids"][0] for row in b] for b in common.generation_batches(order | more)]  # noqa: E731
    assert [len(batch) for batch in asked()] == [16, 16, 16]
    assert asked(middle=True) == [list(range(16, 32))]
    assert asked(batch=1, first=4) == [[0], [12], [24], [36]]


def test_no_process_outlives_its_run() -> None:
    """A peer may start its own: they end with it."""
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    ended, out, _ = run_alone([sys.executable, "-c", code.replace(".Popen(", ".Popen(stdout=-3, stderr=-3, args=")], {})
    assert ended == 0
    for _ in range(100):
        if not Path(f"/proc/{int(out)}").exists() or _zombie(int(out)):
            return
        time.sleep(0.05)
    os.kill(int(out), 9)
    pytest.fail("it still runs")


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_the_clock_knows_both_kinds_of_seconds() -> None:
    assert common.Moment(3.0, 5.0) - common.Moment(1.0, 1.0) == {"seconds": 2.0, "work_seconds": 4.0}


def test_every_job_has_its_file_and_its_own_key() -> None:
    jobs = all_jobs()
    assert len({job.key for job in jobs}) == len(jobs)
    for job in jobs:
        ast.parse((ROOT / "bench" / "peers" / job.file).read_text(encoding="utf-8"))


def test_peers_hold_none_of_our_code() -> None:
    for path in (ROOT / "bench" / "peers").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        named += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        ours = [name for name in named if name.split(".")[0] == "luthier"]
        assert bool(ours) == path.name.startswith("ours_"), path.name


def test_every_row_is_told_of_in_the_benchmarks_readme() -> None:
    told = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
    for job in all_jobs():
        assert f"`{job.name.removesuffix('-fp32').removesuffix('-bf16')}" in told, job.key


def test_what_the_work_asks_for_has_its_row() -> None:
    keys = {job.key for job in all_jobs() if not job.extra}
    trained = ("ours", "handwritten", "notebook", "tuned", "trl", "trl-packed", "litgpt", "unsloth")
    assert keys >= {f"train-{method}/{name}" for method in ("lora", "full") for name in trained}
    asked = ("ours", "generate-bf16", "generate-fp32", "openvino-4bit", "openvino-16bit", "ctranslate2-int8",
             "llamacpp-4bit")  # fmt: skip
    assert keys >= {f"generate-{batch}/{name}" for batch in (1, 16, 48) for name in asked}
    assert keys >= {"generate-16/paged", "generate-48/paged", "limit/machine", "scaling/ours"}
    assert keys >= {
        f"generate-shots/{name}" for name in ("ours", "ours-unshared", f"generate-{'bf16' if BF16 else 'fp32'}")
    }


def named(*keys: str) -> list[Job]:
    return [job for job in all_jobs() if job.key in keys]


def test_jobs_are_chosen_by_patterns() -> None:
    chosen = [job.key for job in all_jobs() if fits(job.key, "train-*/ours,limit")]
    assert chosen == ["limit/machine", "train-lora/ours", "train-full/ours"]
    assert not fits("limit/machine", "")


def test_finished_runs_are_kept(tmp_path: Path) -> None:
    """A killed benchmark goes on: a run in the file is not done again, a peer that is not installed is a reason."""
    path = tmp_path / "results.json"
    before = load_results(path, {}) | {"runs": {"limit/machine": [machine_run(1e12)]}}
    run_rounds(path, before, named("limit/machine"), 1, {}, lambda _: pytest.fail("nothing was to be run"))
    said: list[str] = []
    run_rounds(path, before, named("generate-1/openvino-4bit"), 1, {}, said.append)
    assert list(read_json(path)["missing"]) == ["generate-1/openvino-4bit"] and len(said) == 1


def test_results_of_other_rows_or_machines_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    kept = new_results({"training_tokens": 1, "model": "here"}) | {"runs": {"limit/machine": [machine_run(1e12)]}}
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert load_results(path, {"training_tokens": 1, "model": "there"})["runs"] == kept["runs"]
    assert load_results(path, {"training_tokens": 2})["runs"] == {}
    path.write_text(json.dumps(kept | {"machine": kept["machine"] | {"cores": 1000}}), encoding="utf-8")
    assert load_results(path, {"training_tokens": 1})["runs"] == {}


def test_the_plan_knows_what_is_left_and_how_long_it_takes(tmp_path: Path) -> None:
    [job] = named("limit/machine")
    empty = load_results(tmp_path / "no.json", {})
    assert estimate(empty, job) == job.seconds
    measured = empty | {"runs": {job.key: [machine_run(1e12) | {"whole_seconds": 40.0}]}}
    assert estimate(measured, job) == 40.0 and "2 x  40 s" in plan(measured, [job], 3, {})


def test_three_rounds_of_everything_take_under_two_hours() -> None:
    assert 3 * sum(job.seconds for job in all_jobs() if not job.extra) <= 2 * 60 * 60


def test_the_readme_holds_the_numbers_of_the_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if BEGIN not in readme:
        pytest.skip("the README has no benchmark table")
    assert between_markers(readme, tables(read_json(RESULTS))) == readme
