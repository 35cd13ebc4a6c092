"""What was measured is what answers: over the server the test answers are those of answers.jsonl."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from luthier.arms.ask import ask
from luthier.decoding.requests import seed_of
from luthier.results.folder import StudyFolder
from luthier.serving.served import load_served
from luthier.serving.server import serving
from luthier.studies.study import study
from tests.serving.conftest import ARMS, GREEDY, SAMPLED, TEST_ROWS, Running
from tests.serving.labelled import labelled_study
from tests.studies.test_study import make_task

AT_ONCE = 48


def expected(running: Running, arm: str) -> dict[str, str]:
    return {answer.id: answer.text for answer in running.study.answers(arm)}


def asked(running: Running, arm: str, ids: list[str] | None = None, at_once: int = 1) -> dict[str, str]:
    """The answers of the server; each sampled one with the seed that the study gave its example."""
    examples = {one.id: one for one in running.study.examples()}

    def answer(id: str) -> str:
        reply = running.chat(examples[id].input, arm, seed=seed_of(0, id))
        assert reply["luthier"]["measured"] is (arm != SAMPLED)
        return reply["choices"][0]["message"]["content"]

    wanted = list(examples) if ids is None else ids
    with ThreadPoolExecutor(at_once) as threads:
        return dict(zip(wanted, threads.map(answer, wanted), strict=True))


@pytest.mark.parametrize("arm", ARMS)
def test_one_at_a_time(running: Running, arm: str) -> None:
    answers = expected(running, arm)
    assert len(answers) == TEST_ROWS and len(set(answers.values())) > 5
    ids = list(answers)[: TEST_ROWS if arm == GREEDY else 12]
    assert asked(running, arm, ids) == {id: answers[id] for id in ids}


@pytest.mark.parametrize("arm", ARMS)
def test_many_at_once(running: Running, arm: str) -> None:
    assert asked(running, arm, at_once=AT_ONCE) == expected(running, arm)


def test_while_strangers_come_and_go(running: Running) -> None:
    """Others ask the same arm, other arms and raw weights, long and short, and many hang up."""
    over = threading.Event()

    def stranger(number: int) -> None:
        models = [*ARMS, f"{GREEDY}/raw"]
        while not over.is_set():
            body = {
                "model": models[number % len(models)], "stream": True, "max_tokens": 40, "ignore_eos": True,
                "messages": [{"role": "user", "content": f"Tom: {number} " + "Where is it? " * (number % 11)}],
            }  # fmt: skip
            with httpx.stream("POST", f"{running.url}/v1/chat/completions", json=body, timeout=60) as reply:
                for lines, _ in enumerate(reply.iter_lines()):
                    if lines > 2 + number % 9:
                        break

    with ThreadPoolExecutor(6) as threads:
        strangers = [threads.submit(stranger, number) for number in range(6)]
        try:
            answers = expected(running, GREEDY)
            ids = list(answers)[:24]
            assert asked(running, GREEDY, ids, at_once=8) == {id: answers[id] for id in ids}
        finally:
            over.set()
        assert [one.result() for one in strangers] == [None] * 6
    assert running.engine.counts.cancelled > 0


def test_a_stream_joined_is_the_answer(running: Running) -> None:
    example, answers = running.study.examples()[3], expected(running, GREEDY)
    body = {"model": GREEDY, "messages": [{"role": "user", "content": example.input}], "stream": True}
    assert streamed(running.post("/v1/chat/completions", body)) == answers[example.id]


def streamed(reply: httpx.Response) -> str:
    events = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_the_answer_is_that_of_ask(running: Running) -> None:
    text = "Anna: Shall we say nine?\nTom: Ten is better."
    said = "".join(ask(running.study.path, text, arm=SAMPLED))
    assert running.chat(text, SAMPLED)["choices"][0]["message"]["content"] == said


def test_arms_share_the_weights_that_they_have_in_common(running: Running) -> None:
    modules = [running.served[arm].model.module for arm in ("zero-shot", "few-shot-2")]
    first, second = ({p.data_ptr() for p in module.parameters()} for module in modules)
    assert first == second
    tuned = {p.data_ptr() for p in running.served[GREEDY].model.module.parameters()}
    assert first & tuned and tuned - first


@pytest.mark.parametrize("kind", ["t5-tied"])
def test_a_model_whose_rows_cannot_join_answers_in_batches(
    kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "task").mkdir()
    folder = study(
        make_task(tmp_path / "task", test=5), model=str(tiny_folder(kind)), arms=["zero-shot"],
        out=tmp_path / "out", precision="fp32",
    )  # fmt: skip
    served = load_served([str(folder)], ["zero-shot"])
    with serving(served) as (url, engine):
        running = Running(url, engine, StudyFolder(folder), served)
        assert running.get("/health").json()["models"]["zero-shot"] == "batches"
        assert asked(running, "zero-shot", at_once=5) == expected(running, "zero-shot")


def test_an_arm_that_searches_answers_in_batches(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    arm = "zero-shot+beams=2"
    folder = study(
        make_task(tmp_path / "task", test=5), model=str(tiny_folder("decoder-chat")), arms=[arm],
        out=tmp_path / "out", precision="fp32",
    )  # fmt: skip
    served = load_served([str(folder)], [arm])
    with serving(served) as (url, engine):
        running = Running(url, engine, StudyFolder(folder), served)
        assert running.get("/health").json()["models"] == {arm: "batches", f"{arm}/raw": "continuous"}
        assert asked(running, arm, at_once=5) == expected(running, arm)


def test_label_arms_answer_their_labels(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """By likelihood and by a head: the text is the label, its log-probabilities are the labels'."""
    for kind, arm in (("decoder-chat", "zero-shot"), ("bert", "head")):
        folder = labelled_study(tiny_folder(kind), arm, tmp_path / kind)
        served = load_served([str(folder)], [arm])
        with serving(served) as (url, engine):
            running = Running(url, engine, StudyFolder(folder), served)
            answers = {one.id: one for one in running.study.answers(arm)}
            for example in running.study.examples():
                reply = running.chat(example.input, arm, logprobs=True, top_logprobs=3, temperature=1.0)
                (choice,) = reply["choices"]
                assert choice["message"]["content"] == answers[example.id].text
                assert reply["luthier"]["measured"] and reply["luthier"]["ignored"] == ["temperature"]
                (shown,) = choice["logprobs"]["content"]
                assert shown["logprob"] == pytest.approx(answers[example.id].logprob, abs=1e-3)
                assert len(shown["top_logprobs"]) == 3
            assert (f"{arm}/raw" in served) is (kind != "bert")
