"""/ping and /invocations, as an endpoint of SageMaker is asked."""

from __future__ import annotations

import time

import httpx
import pytest

from luthier.serving import app
from luthier.serving.guard import Rules
from luthier.serving.server import serving
from tests.serving.conftest import ARMS, GREEDY, SAMPLED, Running

TEXT = "Tom: I forgot the tickets. Lea: Again?"


def test_an_input_alone_is_enough(running: Running) -> None:
    first = next(iter(running.served))
    assert first == ARMS[0]
    as_completion = running.post("/v1/completions", {"model": first, "prompt": TEXT}).json()
    for body in ({"input": TEXT}, {"prompt": TEXT}, {"input": TEXT, "model": first}):
        reply = running.post("/invocations", body).raise_for_status().json()
        assert reply["choices"] == as_completion["choices"] and reply["luthier"] == as_completion["luthier"]
        assert reply["model"] == first and reply["luthier"]["measured"]
    several = running.post("/invocations", {"input": [TEXT, TEXT]}).json()
    assert [choice["text"] for choice in several["choices"]] == [as_completion["choices"][0]["text"]] * 2


def test_messages_get_a_chat_s_reply_and_a_model_may_be_named(running: Running) -> None:
    messages = [{"role": "user", "content": TEXT}]
    asked = running.post("/invocations", {"messages": messages, "model": GREEDY}).json()
    assert asked["choices"] == running.chat(TEXT)["choices"]


REFUSED = [
    ({}, None, 'the body asks nothing; send {"input": "..."}'),
    ({"input": 3}, "input", "the field 'input': input should be a valid string"),
    ({"messages": []}, "messages", "the field 'messages'"),
    ({"input": "x", "what": 1}, "what", "'what' is no field that is served here; leave it out"),
    ({"input": "x", "model": "none"}, "model", "'none' is not served here"),
    ({"input": " "}, "prompt", "is empty"),
    ([], None, "the body is no table of fields"),
]


@pytest.mark.parametrize(("body", "param", "says"), REFUSED, ids=[says[:30] for *_, says in REFUSED])
def test_what_asks_nothing_is_refused_by_its_field(body, param, says: str, running: Running) -> None:
    reply = running.post("/invocations", body)
    assert reply.status_code in (400, 404)
    assert says in reply.json()["error"]["message"] and reply.json()["error"]["param"] == param


def test_ping_answers_while_an_answer_is_written(running: Running) -> None:
    body = {"input": TEXT, "model": f"{SAMPLED}/raw", "stream": True, "max_tokens": 400, "ignore_eos": True}
    with httpx.stream("POST", f"{running.url}/invocations", json=body, timeout=60) as reply:
        lines = reply.iter_lines()
        next(lines)
        ping = running.get("/ping")
        assert ping.status_code == 200 and ping.json()["streams"] >= 1
    assert running.get("/ping").status_code == 200


def test_an_answer_that_takes_too_long_is_given_up_and_says_so(running: Running, monkeypatch) -> None:
    monkeypatch.setattr(app, "INVOCATION_SECONDS", 0.01)
    before = running.engine.counts.cancelled
    body = {"input": TEXT, "model": f"{SAMPLED}/raw", "max_tokens": 400, "ignore_eos": True}
    reply = running.post("/invocations", body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "too_slow")
    assert "longer than 0.01 s; ask for fewer tokens" in reply.json()["error"]["message"]
    while running.engine.load != (0, 0):  # its place is free again
        time.sleep(0.01)
    assert running.engine.counts.cancelled > before


def test_an_endpoint_is_asked_under_any_name(loaded) -> None:
    with serving(loaded, rules=Rules(any_host=True)) as (url, _):
        for host in ("model.aws.local:8080", "169.254.180.2:8080", "localhost"):
            assert httpx.get(f"{url}/ping", headers={"host": host}, timeout=60).status_code == 200
    with serving(loaded, rules=Rules(key="a-key-of-many-letters")) as (url, _):
        assert httpx.get(f"{url}/ping", timeout=60).status_code == 200
        assert httpx.post(f"{url}/invocations", json={"input": "x"}, timeout=60).status_code == 401
