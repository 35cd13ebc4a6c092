"""The benchmark's work, jobs and rounds. Nothing here looks at a clock: timings are not a test."""

from __future__ import annotations

import ast
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import rounds as bench_rounds
from bench.__main__ import arguments, fits
from bench.jobs import BF16, Job, all_jobs
from bench.peers import common
from bench.quiet import Quiet
from bench.rounds import NO_GPU, Rounds, estimate, load_results, new_results, order_of, plan, run_alone, run_rounds
from bench.rows import SMOKE, WHOLE, training_rows
from luthier.files import read_json, write_lines
from luthier.records import Prompt
from tests.bench.made import machine_run

ROOT = Path(__file__).parents[2]
BATCH, STEPS = WHOLE.batch, WHOLE.timed_steps


def prompts(count: int) -> list[Prompt]:
    """Prompts of 1, 2, 3, ... tokens, each with a target of two."""
    return [Prompt(id=str(n), text="", prompt_ids=(5,) * n, target_ids=(6, 7)) for n in range(1, count + 1)]


def test_training_rows_are_one_warm_up_and_batches_of_all_lengths(tmp_path: Path) -> None:
    made = training_rows(prompts(BATCH * (1 + STEPS)))
    write_lines(tmp_path / "train.jsonl", made)
    warm_up, *timed = common.training_batches({"rows": str(tmp_path / "train.jsonl")})
    assert [row["id"] for row in warm_up] == [str(n) for n in range(BATCH * STEPS + 1, BATCH * (1 + STEPS) + 1)]
    assert len(timed) == STEPS and all(len(batch) == BATCH for batch in timed)
    assert {row["id"] for batch in timed for row in batch} == {str(n) for n in range(1, BATCH * STEPS + 1)}
    means = [sum(len(row["ids"]) for row in batch) / BATCH for batch in timed]
    assert max(means) - min(means) <= 2
    lengths = [[len(row["ids"]) for row in batch] for batch in timed]
    assert all(batch == sorted(batch) for batch in lengths)
    assert all(row["labels"][-2:] == [6, 7] and set(row["labels"][:-2]) == {-100} for row in made)


def test_every_tool_has_at_least_two_timed_steps_on_all_rows_and_three_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert STEPS >= 2
    for job in all_jobs():
        if job.group.removeprefix("gpu-").startswith("train"):
            assert not {"steps", "mixed", "rows"} & set(job.options), job.key
    monkeypatch.setattr(sys, "argv", ["bench"])
    assert arguments().rounds == 3


def test_rows_too_long_for_a_tool_are_left_out_and_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        training_rows([p for p in prompts(520) if len(p.prompt_ids) > 505])


def test_the_warm_up_takes_the_shortest_of_the_rows_that_are_left() -> None:
    made = training_rows(prompts(40)[::-1], SMOKE)
    assert [row["id"] for row in made if row["warm_up"]] == ["1", "2", "3", "4"]
    assert [row["id"] for row in made if not row["warm_up"]] == [str(n) for n in (33, 35, 37, 39, 34, 36, 38, 40)]


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
    asked = ("ours", "ours-lora", "generate-bf16", "generate-fp32", "openvino-4bit", "openvino-16bit",
             "ctranslate2-int8", "llamacpp-4bit")  # fmt: skip
    assert keys >= {f"generate-{batch}/{name}" for batch in (1, 16, 48) for name in asked}
    assert keys >= {"generate-16/paged", "generate-48/paged", "limit/machine", "scaling/ours"}
    assert keys >= {
        f"generate-shots/{name}" for name in ("ours", "ours-unshared", f"generate-{'bf16' if BF16 else 'fp32'}")
    }
    assert keys >= {
        f"pretrain-{width}/{name}"
        for width in (256, 512)
        for name in ("ours", "ours-adamw", "nanogpt", "nanochat", "handwritten")
    }
    assert keys >= {f"serve/{name}" for name in ("ours", "offline", "llamacpp", "llama-server", "transformers")}
    assert keys >= {f"busy/{name}" for name in ("ask", "study", "batch")}
    assert keys >= {
        f"gpu-train-{method}/{name}" for method in ("lora", "full") for name in ("ours", "unsloth", "liger")
    }
    assert keys >= {"gpu-limit/machine", "gpu-generate-48/ours", "gpu-generate-48/vllm"}


def test_what_a_peer_is_told(tmp_path: Path) -> None:
    places = {"model": "M", "scratch": "S", "work": str(tmp_path), "text": "T", "gguf-16bit": "wide.gguf"}
    orders = {job.key: order_of(job, places, WHOLE) for job in named(
        "train-lora/trl", "serve/llamacpp", "busy/batch", "pretrain-256/nanogpt", "pretrain-256/nanochat",
        "gpu-train-lora/ours", "generate-shots/ours",
    )}  # fmt: skip
    assert orders["train-lora/trl"]["rows"] == orders["gpu-train-lora/ours"]["rows"] == str(tmp_path / "train.jsonl")
    assert orders["serve/llamacpp"]["rows"] == orders["busy/batch"]["rows"] == str(tmp_path / "generate.jsonl")
    assert orders["serve/llamacpp"]["weights"] == "wide.gguf"
    assert orders["generate-shots/ours"]["rows"] == str(tmp_path / "generate-shots.jsonl")
    text = orders["pretrain-256/nanogpt"]
    assert (text["text"], text["width"], text["row"], text["rows_a_step"]) == ("T", 256, 256, 16)
    assert text["steps"] >= 2 and Path(text["clone"]).name == "nanoGPT"
    assert Path(orders["pretrain-256/nanochat"]["clone"]).name == "nanochat"


def named(*keys: str) -> list[Job]:
    return [job for job in all_jobs() if job.key in keys]


def test_jobs_are_chosen_by_patterns() -> None:
    chosen = [job.key for job in all_jobs() if fits(job.key, "train-*/ours,limit")]
    assert chosen == [
        "gpu-limit/machine", "gpu-train-lora/ours", "gpu-train-full/ours", "limit/machine", "train-lora/ours",
        "train-full/ours",
    ]  # fmt: skip
    assert not fits("limit/machine", "")
    assert fits("generate-48/ours", "48/ours") and fits("generate-48/openvino-4bit", "openvino")


def test_finished_runs_are_kept(tmp_path: Path) -> None:
    """A killed benchmark goes on: a run in the file is not done again, a peer that is not installed is a reason."""
    path = tmp_path / "results.json"
    before = load_results(path, {}) | {"runs": {"limit/machine": [machine_run(1e12)]}}
    run_rounds(path, before, named("limit/machine"), 1, Rounds({}, lambda _: pytest.fail("nothing was to be run")))
    said: list[str] = []
    lacking = Job("generate-1", "none", "no tool", "none.py", needs=("no_such_module",))
    run_rounds(path, before, [lacking], 1, Rounds({}, said.append))
    assert read_json(path)["missing"] == {"generate-1/none": "no_such_module is not installed"} and len(said) == 1


@pytest.mark.parametrize("job, reason", [
    (Job("g", "p", "l", "f.py", program="no-such-program"), "no-such-program is not on the path"),
    (Job("g", "p", "l", "f.py", clone="no-such-clone"), "there is no clone of it in bench/.work/no-such-clone"),
    (Job("g", "p", "l", "f.py", venv="no-such"), "its own environment is not there"),
    (Job("g", "p", "l", "f.py", options={"weights": "w"}), "the weights for it could not be made"),
])  # fmt: skip
def test_a_job_that_cannot_be_run_says_why(job: Job, reason: str) -> None:
    assert (bench_rounds.missing(job, {}) or "").startswith(reason)


def test_rows_of_a_gpu_are_not_measured_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_rounds, "has_gpu", lambda: False)
    some = [job for job in all_jobs() if job.device == "cuda"]
    assert some and {bench_rounds.missing(job, {}) for job in some} == {NO_GPU}


def test_results_of_other_rows_or_kinds_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    kept = new_results({"training_tokens": 1, "model": "here"}) | {"runs": {"limit/machine": [machine_run(1e12)]}}
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert load_results(path, {"training_tokens": 1, "model": "there"})["runs"] == kept["runs"]
    assert load_results(path, {"training_tokens": 2})["runs"] == {}
    other = kept | {"machine": kept["machine"] | {"kind": "intel-amx-1000-cores"}}
    path.write_text(json.dumps(other), encoding="utf-8")
    assert load_results(path, {"training_tokens": 1})["runs"] == {}


def disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[float | None], rounds: int = 1,
    results: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The results of one job during whose tries others used so many cores."""
    left = iter(others)
    made = {"seconds": 1.0, "whole_seconds": 2.0}
    monkeypatch.setattr(bench_rounds, "measure", lambda *_: (made | {"others_cores": next(left)}, ""))
    monkeypatch.setattr(bench_rounds, "missing", lambda *_: None)
    how = Rounds({}, lambda _: None, quiet=Quiet(most=0.1, tries=3, pause=0.0))
    run_rounds(tmp_path / "r.json", results or new_results({}), named("limit/machine"), rounds, how)
    return dict(read_json(tmp_path / "r.json"))


def test_a_run_that_others_disturb_is_refused_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = disturbed(tmp_path, monkeypatch, [0.7, 0.11, 0.1])
    [run] = found["runs"]["limit/machine"]
    assert run["others_cores"] == 0.1 and run["round"] == 1 and run["date"] == bench_rounds.today()
    assert [one["others_cores"] for one in found["refused"]] == [0.7, 0.11]


def test_a_machine_that_stays_busy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = disturbed(tmp_path, monkeypatch, [0.7, 0.5, 0.9])
    assert found["runs"] == {}
    assert found["missing"] == {
        "limit/machine": "refused 3 times: others used at least 0.50 of a core, and 0.1 are allowed"
    }


def test_a_round_that_was_refused_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios are taken within a round, so no two runs have one."""
    found = disturbed(tmp_path, monkeypatch, [0.7, 0.7, 0.7, 0.0], rounds=2)
    assert [run["round"] for run in found["runs"]["limit/machine"]] == [2]
    assert "1 x" in plan(found, named("limit/machine"), 2, {})
    again = disturbed(tmp_path, monkeypatch, [0.0], rounds=2, results=found)
    assert sorted(run["round"] for run in again["runs"]["limit/machine"]) == [1, 2]
    assert again["missing"] == {}


def test_where_the_system_does_not_say_a_run_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disturbed(tmp_path, monkeypatch, [None])["runs"]["limit/machine"][0]["others_cores"] is None


def test_the_plan_knows_what_is_left_and_how_long_it_takes(tmp_path: Path) -> None:
    [job] = named("limit/machine")
    empty = load_results(tmp_path / "no.json", {})
    assert estimate(empty, job) == job.seconds
    measured = empty | {"runs": {job.key: [machine_run(1e12) | {"whole_seconds": 40.0}]}}
    assert estimate(measured, job) == 40.0 and "2 x  40 s" in plan(measured, [job], 3, {})


def test_three_rounds_of_everything_on_a_cpu_take_under_three_and_a_half_hours() -> None:
    assert 3 * sum(job.seconds for job in all_jobs() if not job.extra and job.device == "cpu") <= 3.5 * 60 * 60
