"""README.md and docs/speed.md hold the results of each kind of machine, never mixed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.pages import (
    README,
    RESULTS,
    all_results,
    arm_line,
    between_markers,
    others_line,
    pages,
    readme_part,
    speed_part,
    tables,
    title,
)
from bench.rounds import NO_GPU
from tests.bench.made import generation_run, results, training_run


def kind_of(processor: str, day: str, **more: Any) -> dict[str, Any]:
    """Results of LoRA and full training on one kind of machine, made on a day."""
    runs = {
        f"train-{method}/ours": [training_run(1, 1000, 1.0, date=day, commit="abcdefgh", changed=True)]
        for method in ("lora", "full")
    }
    made = results(runs=runs, labels=dict.fromkeys(runs, "luthier"), missing={})
    return made | {"machine": made["machine"] | {"processor": processor, "kind": processor.lower()} | more}


def test_the_pages_hold_the_numbers_of_the_results() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python -m bench.table"


def test_each_file_is_of_the_kind_in_its_name_and_every_run_has_its_day() -> None:
    found = sorted(path for path in RESULTS.glob("*.json") if not path.name.endswith(".old.json"))
    assert found
    for path in found:
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert kept["machine"]["kind"] == path.stem
        assert all(run["date"] and run["commit"] for runs in kept["runs"].values() for run in runs)


def test_the_readme_has_one_table_a_kind_and_the_newest_comes_first(tmp_path: Path) -> None:
    for name, day in (("A", "2026-01-02"), ("B", "2026-03-04"), ("C", "2026-02-03")):
        (tmp_path / f"{name}.json").write_text(json.dumps(kind_of(name, day)))
    (tmp_path / "D.old.json").write_text(json.dumps(kind_of("D", "2027-01-01")))
    found = all_results(tmp_path)
    assert [one["machine"]["processor"] for one in found] == ["B", "C", "A"]
    said = readme_part(found)
    assert said.count("| Training, LoRA") == 3 and "every parameter" not in said
    assert said.index("**B, AVX2, 2 cores.** Measured 2026-03-04 at abcdefg+") < said.index("**A,")
    rest = speed_part(found)
    assert rest.count("every parameter, batch 16 |") == 4 and "\n| Training, LoRA" not in rest  # and the GPU's
    assert rest.index("## B") < rest.index("## C") < rest.index("## A") < rest.index("## A GPU")


def test_rows_of_a_gpu_wait_until_one_is_measured() -> None:
    without = speed_part([kind_of("A", "2026-01-02")])
    assert without.count(f"*{NO_GPU}*") == 11
    assert all(name in without for name in ("vLLM", "Unsloth", "Liger"))
    assert NO_GPU not in speed_part([kind_of("A", "2026-01-02", gpu="nvidia-h200")])


@pytest.mark.parametrize("machine, words", [
    ({"processor": "Intel(R) Xeon(R)", "features": ["avx512-bf16", "avx512"], "cores": 2},
     "Intel(R) Xeon(R), AVX-512 BF16, no AMX, 2 cores"),
    ({"processor": "AMD EPYC", "features": ["avx512-bf16"], "cores": 1}, "AMD EPYC, AVX-512 BF16, 1 core"),
    ({"processor": "P", "features": [], "cores": 2}, "P, 2 cores"),
    ({"processor": "P", "features": [], "cores": 2, "gpu": "nvidia-h200"}, "nvidia-h200"),
])  # fmt: skip
def test_a_kind_in_words(machine: dict[str, Any], words: str) -> None:
    assert title({"machine": machine}) == words


def test_how_busy_others_were_is_said() -> None:
    runs = {"train-lora/ours": [training_run(n, 1, 1.0, others_cores=busy) for n, busy in ((1, 0.02), (2, 0.08))]}
    known = results(runs=runs, refused=[{}])
    said = others_line(known)
    assert "0.05 of a core during a run, at most 0.08; 1 runs that they disturbed more were refused" in said
    runs["train-lora/ours"].append(training_run(3, 1, 1.0))
    assert "unknown of 1 runs" in others_line(known)
    assert "not measured" in others_line(results())


def test_what_a_token_of_an_arm_takes_beside_the_base_s() -> None:
    runs = {"generate-48/ours": [generation_run([1])], "generate-48/ours-lora": [generation_run([1], seconds=2.5)]}
    assert arm_line(results(runs=runs)) == "A token of a LoRA arm's answer takes 1.25 times the base's 48 in a batch."
    assert arm_line(results()) == ""


def test_nothing_measured_makes_no_table(tmp_path: Path) -> None:
    empty = results(runs={}, missing={})
    assert tables(empty) == ""
    (tmp_path / "x.json").write_text(json.dumps(empty))
    assert all_results(tmp_path) == []


def test_markers() -> None:
    text = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    assert between_markers(text, "new \\1") == "before\n<!-- bench -->\nnew \\1\n<!-- /bench -->\nafter\n"
    with pytest.raises(ValueError, match="no markers"):
        between_markers("nothing here", "new")


def test_the_readme_links_the_page_of_speed() -> None:
    assert "`docs/speed.md`" in README.read_text(encoding="utf-8")
