"""`bench`: the numbers of lm-eval's own `hf` model, and paired verdicts; its tasks are local json files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from luthier.decoding.settings import Generation
from luthier.errors import SettingsError
from luthier.results.bench_record import Bench, BenchItem
from luthier.results.record import read_lines_of
from luthier.suites import bench as benches
from luthier.suites.bench import MEANS, PAIRS, bench, items_of, mean_rows, pair_rows
from luthier.suites.harness_tasks import write_tasks
from tests import tiny

Folder = Callable[[str], Path]
OWN = ("luthier_pairs", "luthier_text", "luthier_following")


def needs_harness() -> Any:
    return pytest.importorskip("lm_eval", reason="lm-eval is not installed (luthier.suites.bench.INSTALL)")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))


def test_the_panel_s_tasks_hold_all_that_others_need_to_run_them(tmp_path: Path) -> None:
    assert write_tasks(tmp_path) == list(OWN)
    rows = [json.loads(line) for line in (tmp_path / "luthier_following.jsonl").read_text().splitlines()]
    spec = spec_from_file_location("nowhere", tmp_path / "luthier_requirements.py")
    spec.loader.exec_module(own := module_from_spec(spec))  # not among sys.modules, as lm-eval loads it
    assert len(rows) == 120 and own.process_results(rows[60], ["- spoon"]) == {"obeyed": 4 / 5}
    yaml = (tmp_path / "luthier_following.yaml").read_text()
    assert "process_results: !function luthier_requirements.process_results" in yaml


def test_an_item_of_a_rolling_metric_has_the_metric_s_own_unit() -> None:
    row = {"doc_id": 3, "filter": "none", "metrics": ["bits_per_byte", "word_perplexity"],
           "bits_per_byte": (-6.931471805599453, 5), "word_perplexity": (-2.0, 2)}  # fmt: skip
    assert items_of({"task": [row]})["task"]["3"] == pytest.approx(
        {"bits_per_byte": 2.0, "word_perplexity": 2.718281828}
    )


def test_without_lm_eval_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    def gone(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("luthier.suites.bench.metadata.version", gone)
    with pytest.raises(SettingsError, match=r"pip install 'lm-eval>=0\.4\.13'"):
        bench(["anything"], tasks=["luthier_pairs"])
    monkeypatch.setattr("luthier.suites.bench.metadata.version", lambda name: "0.4.9.2")
    with pytest.raises(SettingsError, match=r"0\.4\.13 or newer, and 0\.4\.9\.2"):
        bench(["anything"], tasks=["luthier_pairs"])


@pytest.mark.parametrize("kind", ["decoder-chat", "decoder-plain"])
def test_the_numbers_are_those_of_lm_eval_s_own_model(kind: str, tiny_folder: Folder, tmp_path: Path) -> None:
    needs_harness()
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from luthier.model.model import load
    from luthier.suites.harness import HarnessModel

    write_tasks(tmp_path / "tasks")
    folder = str(tiny_folder(kind))
    how: dict[str, Any] = {"tasks": list(OWN), "limit": 12, "bootstrap_iters": 0}
    chat = kind == "decoder-chat"

    def run(model: Any) -> Any:
        manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
        return simple_evaluate(model=model, task_manager=manager, apply_chat_template=chat, **how)

    theirs = run(HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=3))
    ours = run(HarnessModel(load(folder, precision="fp32")))
    for task in OWN:
        for a, b in zip(theirs["samples"][task], ours["samples"][task], strict=True):
            assert (a["doc_id"], a["prompt_hash"]) == (b["doc_id"], b["prompt_hash"])
            if task == "luthier_following":
                assert a["resps"] == b["resps"]
            else:
                flat = [value for one in (a, b) for value in _numbers(one["resps"])]
                half = len(flat) // 2
                assert flat[:half] == pytest.approx(flat[half:], abs=1e-3)
        same = {k: v for k, v in theirs["results"][task].items() if isinstance(v, float)}
        assert same and same == pytest.approx({key: ours["results"][task][key] for key in same}, abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"do_sample": False, "temperature": 0.0, "top_p": 0.5}, {}),
        ({"do_sample": False, "temperature": 0.0, "repetition_penalty": 1.2}, {"repetition_penalty": 1.2}),
        ({"do_sample": True}, {"temperature": 1.0}),
        ({"do_sample": True, "temperature": 0.7, "top_k": 20}, {"temperature": 0.7, "top_k": 20}),
    ],
)
def test_a_task_s_settings_are_those_that_transformers_would_take(
    asked: dict[str, Any], said: dict[str, Any], tiny_folder: Folder
) -> None:
    needs_harness()
    from luthier.suites.harness import HarnessModel

    model = HarnessModel(tiny.fresh(tiny_folder("decoder-chat")))
    request, _ = model._request(0, "Tom: Is", {"until": ["x"], "max_gen_toks": 4, **asked})
    assert request.generation == Generation(**said)


def test_what_an_encoder_decoder_has_no_positions_for_is_refused(tiny_folder: Folder) -> None:
    needs_harness()
    from luthier.suites.harness import HarnessModel

    model = HarnessModel(tiny.fresh(tiny_folder("bart")))
    with pytest.raises(SettingsError, match="asks for 300 new tokens"):
        model._request(0, "Tom: Is", {"until": [], "max_gen_toks": 300})
    with pytest.raises(SettingsError, match="its continuation has 300 tokens"):
        model._prompt(0, [5, 6], [7] * 300)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, list | tuple):
        return [number for one in value for number in _numbers(one)]
    return [float(value)]


def test_two_models_get_a_verdict_item_by_item(tiny_folder: Folder, tmp_path: Path) -> None:
    needs_harness()
    a, b = (str(tiny_folder(kind)) for kind in ("decoder-chat", "gpt2"))
    out = bench([a, b], tasks=["luthier_text"], out=tmp_path / "out", limit=30)
    record = Bench.read(out)
    (pair,) = record.pairs
    assert (
        pair.n == 30 and pair.metric == "bits_per_byte" and not record.higher_is_better["luthier_text"]["bits_per_byte"]
    )
    means = record.tasks["luthier_text"]
    first, second = (means[name]["bits_per_byte"].mean for name in record.models)
    assert pair.difference == pytest.approx(first - second)
    assert pair.verdict == ("better" if first < second else "worse")
    assert len(read_lines_of(BenchItem, out / "bench.jsonl")) == 60
    assert len(mean_rows(record)[0]) == len(MEANS) and len(pair_rows(record)[0]) == len(PAIRS)


def test_results_of_others_are_not_overwritten(
    tiny_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of a runner that gives no items: what is refused needs none."""
    monkeypatch.setattr(benches, "_refuse_without_harness", lambda: None)
    monkeypatch.setattr(benches, "_evaluate", lambda *_: ({"samples": {"t": []}}, 0))
    monkeypatch.setattr(benches, "_record", lambda *_: {
        "format": 1, "versions": {}, "level": 0.95, "margin": 0.02, "tasks": {}, "higher_is_better": {}, "pairs": (),
        "notes": (),
    })  # fmt: skip
    monkeypatch.chdir(tmp_path)
    model, other = (str(tiny_folder(kind)) for kind in ("decoder-chat", "gpt2"))
    first = bench([model], tasks=["a"])
    before = (first / "bench.json").read_bytes()
    assert bench([model], tasks=["a"]) == first
    assert (
        len({first, bench([model], tasks=["b"]), bench([model], tasks=["a"], limit=3), bench([other], tasks=["a"])})
        == 4
    )
    for sources, tasks in (([model], ["b"]), ([other], ["a"]), ([model, other], ["a"])):
        with pytest.raises(SettingsError, match="holds a benchmark of other models or tasks"):
            bench(sources, tasks=tasks, out=first)
    monkeypatch.setattr(benches, "_weights", lambda shipped: "others")
    with pytest.raises(SettingsError, match="had other weights there"):
        bench([model], tasks=["a"])
    assert (first / "bench.json").read_bytes() == before


def test_what_is_not_there_is_refused_in_one_sentence(tiny_folder: Folder, tmp_path: Path) -> None:
    needs_harness()
    model = str(tiny_folder("decoder-chat"))
    with pytest.raises(SettingsError, match="task 'no_such_task' is not known"):
        bench([model], tasks=["no_such_task"], out=tmp_path / "a")
    with pytest.raises(SettingsError, match="no such folder"):
        bench([model], tasks=["luthier_pairs"], include=tmp_path / "none", out=tmp_path / "b")


@pytest.mark.parametrize(
    ("metric", "value", "own"),
    [
        ("acc", True, 1.0),
        ("mcc", (1, 1), None),
        ("f1", (1, 0), None),
        ("bleu", ["a text", "another"], None),
        ("word_perplexity", (-10.0, 0), None),
        ("bits_per_byte", (-math.log(2) * 6, 3), 2.0),
        ("acc", float("nan"), None),
    ],
)
def test_only_what_is_an_items_own_is_read_as_its_number(metric: str, value: object, own: float | None) -> None:
    items = items_of({"task": [{"doc_id": 0, "metrics": [metric], metric: value}]})["task"]["0"]
    assert items == ({} if own is None else {metric: pytest.approx(own)})


@pytest.mark.parametrize(("own", "said"), [(0.5, 0.5), (float("nan"), None), (float("inf"), None), ("N/A", None)])
def test_a_number_of_lm_eval_that_no_file_can_hold_is_left_out(own: object, said: float | None) -> None:
    mean = benches._mean({"0": {"acc": 1.0}, "1": {"acc": 0.0}}, "acc", {"acc,none": own})
    assert (mean.mean, mean.harness) == (0.5, said)
