"""Programs that people already have, against a real server.

They are not installed here: LUTHIER_CLIENTS names the bin folder of an environment that has some of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.decoding.generate import answered
from luthier.decoding.likelihood import reference_nats
from luthier.decoding.requests import Request
from luthier.records import Prompt, Vote
from luthier.results.folder import StudyFolder
from luthier.results.record import read_lines_of
from luthier.serving.guard import Rules
from luthier.serving.served import load_served
from luthier.serving.server import serving
from tests.serving.conftest import GREEDY, Running

KEY = "a-key-of-many-letters-0123456789"
TEXT = "Tom: Is Monday free?"


@pytest.fixture(scope="module")
def keyed(finished: Path, loaded: Any) -> Iterator[Running]:
    with serving(loaded, rules=Rules(key=KEY)) as (url, engine):
        yield Running(url, engine, StudyFolder(finished), loaded)


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a client's command in its own environment; skips where it is not installed."""
    folder = Path(os.environ.get("LUTHIER_CLIENTS", "/nowhere"))

    def run(name: str, *arguments: Any, **variables: str) -> subprocess.CompletedProcess[str]:
        if not (folder / name).exists():
            pytest.skip(f"LUTHIER_CLIENTS names no folder with {name}")
        environment = {**os.environ, "HOME": str(tmp_path), "NO_PROXY": "127.0.0.1", **variables}
        command = [str(folder / name), *map(str, arguments)]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=540,
            env=environment,
            cwd=tmp_path,
        )

    return run


def answer(running: Running) -> str:
    """What the arm says to TEXT, asked in the plainest way."""
    body = {"model": GREEDY, "messages": [{"role": "user", "content": TEXT}]}
    reply = running.post("/v1/chat/completions", body, headers={"authorization": f"Bearer {KEY}"})
    return str(reply.raise_for_status().json()["choices"][0]["message"]["content"])


@pytest.mark.slow
def test_a_judge_of_ours_asks_a_server_of_ours(
    finished: Path,
    tmp_path: Path,
    tiny_folder: Callable[[str], Path],
    luthier_says: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`luthier rate --judge` with a served model as the judge: every vote holds two replies of the server."""
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    study = Path(shutil.copytree(finished, tmp_path / "study"))
    model = Path(shutil.copytree(tiny_folder("decoder-chat"), tmp_path / "judge"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    served = load_served([str(model)])
    with serving(served) as (url, engine):
        said = luthier_says(
            "rate", str(study), "--judge", f"{url}/v1", "--judge-model", "judge", "--arms", "zero-shot,few-shot-2",
            "--dialogues", "3",
        )  # fmt: skip
        votes = read_lines_of(Vote, study / "ratings.jsonl")
        assert votes and all(vote.machine and len(vote.replies) == 2 for vote in votes), said
        assert engine.counts.finished == 2 * len(votes)


@pytest.mark.slow
def test_langchain(keyed: Running, client: Any) -> None:
    code = (
        "import sys\nfrom langchain_openai import ChatOpenAI\n"
        "model = ChatOpenAI(model=sys.argv[2], base_url=sys.argv[1], api_key=sys.argv[3], max_tokens=8)\n"
        "whole = model.invoke(sys.argv[4])\n"
        "import json\nprint(json.dumps([whole.content, ''.join(part.content for part in model.stream(sys.argv[4]))]))"
    )
    probe = client("python", "-c", "import langchain_openai")
    if probe.returncode:
        pytest.skip("langchain-openai is not in the environment of LUTHIER_CLIENTS")
    done = client("python", "-c", code, f"{keyed.url}/v1", GREEDY, KEY, TEXT)
    assert done.returncode == 0, done.stderr
    whole, streamed = json.loads(done.stdout.splitlines()[-1])
    assert whole == streamed and whole


@pytest.mark.slow
def test_llm(keyed: Running, client: Any, tmp_path: Path) -> None:
    models = [{"model_id": "arm", "model_name": GREEDY, "api_base": f"{keyed.url}/v1", "api_key_name": "k"}]
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML
    done = client("llm", "-m", "arm", TEXT, "--key", KEY, LLM_USER_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == answer(keyed)


@pytest.mark.slow
def test_inspect_ai(keyed: Running, client: Any, tmp_path: Path) -> None:
    lines = [
        "from inspect_ai import Task, task",
        "from inspect_ai.dataset import Sample",
        "from inspect_ai.scorer import exact",
        "@task",
        "def t():",
        f"    sample = Sample(input={TEXT!r}, target={answer(keyed)!r})",
        "    return Task(dataset=[sample], scorer=exact())",
    ]
    (tmp_path / "t.py").write_text("\n".join(lines) + "\n")
    variables = {"LUTHIER_BASE_URL": f"{keyed.url}/v1", "LUTHIER_API_KEY": KEY}
    model = f"openai-api/luthier/{GREEDY}"
    how = ["--model", model, "--display", "plain", "--log-format", "json"]
    done = client("inspect", "eval", "t.py", *how, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    (log,) = (tmp_path / "logs").glob("*.json")
    (metrics,) = [score["metrics"] for score in json.loads(log.read_text())["results"]["scores"]]
    (right,) = [metric["value"] for name, metric in metrics.items() if name in ("accuracy", "mean")]
    assert right == 1.0


TASKS = {
    "mc": "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n"
    "doc_to_target: gold\ntarget_delimiter: ''\nmetric_list:\n  - metric: acc\n",
    "gen": "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{answer}}'\n"
    "generation_kwargs:\n  until: ['zzz']\n  max_gen_toks: 8\n  temperature: 0\n"
    "metric_list:\n  - metric: exact_match\n",
}


@pytest.mark.slow
def test_lm_eval(running: Running, client: Any, tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    """Multiple choice by summed log-likelihoods, and written answers: accuracies and values are luthier's own."""
    raw, choices = f"{GREEDY}/raw", [" Yes.", " No, it is full."]
    model = running.served[raw].model

    def ids(text: str) -> tuple[int, ...]:
        return tuple(model.tokenizer(text)["input_ids"])

    def nats(question: str, choice: str) -> float:
        prompt = ids(question)
        return reference_nats(model, [Prompt("p", "", prompt, ids(question + choice)[len(prompt) :])])[0]

    def written(question: str) -> str:
        (said,) = answered(model, [Request("a", ids(question), 8)])
        return str(model.tokenizer.decode(said.tokens, skip_special_tokens=True))

    texts = [f"Tom: Is number {n} free?" for n in range(4)]
    rows = [
        {"question": text, "choices": choices, "gold": n % 2, "answer": written(text)} for n, text in enumerate(texts)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = "dataset_path: json\ndataset_kwargs:\n  data_files:\n    test: rows.jsonl\ntest_split: test\n"
    for name, task in TASKS.items():
        (tmp_path / f"{name}.yaml").write_text(f"task: {name}\n{source}{task}")
    address = f"base_url={running.url}/v1/completions,tokenizer={tiny_folder('decoder-chat')},num_concurrent=2"
    done = client(
        "lm_eval", "--model", "local-completions", "--model_args", f"model={raw},{address}", "--tasks", "mc,gen",
        "--include_path", tmp_path, "--batch_size", "2", "--output_path", tmp_path / "out", "--log_samples",
        HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (samples,) = (tmp_path / "out").rglob("samples_mc*.jsonl")
    right = 0
    for row in map(json.loads, samples.read_text().splitlines()):
        own = [-nats(row["doc"]["question"], choice) for choice in row["doc"]["choices"]]
        said = [float(value) for value, _ in row["filtered_resps"]]
        assert said == pytest.approx(own, abs=1e-4)
        right += own.index(max(own)) == row["doc"]["gold"]
    (results,) = [json.loads(path.read_text())["results"] for path in (tmp_path / "out").rglob("results*.json")]
    assert results["mc"]["acc,none"] == right / len(rows)
    assert results["gen"]["exact_match,none"] == 1.0, (results, [row["answer"] for row in rows])


@pytest.mark.slow
def test_guidellm(running: Running, client: Any, tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    """A few streams: every request is answered, with as many tokens as were asked for."""
    done = client(
        "guidellm", "run", "--backend", f"kind=openai_http,target={running.url},model={GREEDY}", "--profile",
        "kind=concurrent,streams=4", "--constraint", "kind=max_requests,count=16", "--tokenizer",
        f"kind=hf_auto,model={tiny_folder('decoder-chat')}", "--data",
        "kind=synthetic_text,prompt_tokens=32,output_tokens=8", "--output", f"kind=json,path={tmp_path / 'x.json'}",
        "--disable-progress", HF_HUB_OFFLINE="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (one,) = json.loads((tmp_path / "x.json").read_text())["benchmarks"]
    totals = one["metrics"]["request_totals"]
    # guidellm stops when the last of 16 begins, so those that are open then may not count.
    assert 12 <= totals["successful"] == totals["total"] and totals["errored"] == totals["incomplete"] == 0
    assert one["metrics"]["output_token_count"]["successful"]["mean"] == 8


@pytest.mark.slow
def test_schemathesis(keyed: Running, client: Any) -> None:
    """Bodies drawn from the server's own description: no 5xx, and every reply has the described shape."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    examples = os.environ.get("LUTHIER_EXAMPLES", "200")
    done = client(
        "schemathesis", "run", f"{keyed.url}/openapi.json", "-H", f"Authorization: Bearer {KEY}", "--checks", checks,
        "--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--seed", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
