"""What clients depend on and small servers get wrong, one row each.

The rows follow what the tests of vLLM's and llama.cpp's own servers check of this interface.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
import torch

from luthier.serving.protocol import IGNORED, MOST_CHOICES, REFUSED
from tests.serving.conftest import ARMS, GREEDY, Running

RAW = f"{GREEDY}/raw"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
ASKED = {"role": "user", "content": "Tom: Is Monday free?"}


def said(content: Any, role: str = "user", *after: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content}, *after]}


def chunks(running: Running, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    reply = running.post(path, {**body, "stream": True})
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/event-stream")
    events = [event.removeprefix("data: ") for event in reply.text.split("\n\n") if event]
    assert events[-1] == "[DONE]" and events.count("[DONE]") == 1
    return [json.loads(event) for event in events[:-1]]


# ---------------------------------------------------------------------------------------------- what is refused

LONG = "word " * 3000
HALF = '{"model": "MODEL", "messages": [{"role": "user", "content": "\\ud800"}]}'
REFUSALS: list[tuple[str, str, Any, int, str | None]] = [
    # (what, path, body or a change of a good body, status, the param that the error names)
    ("no JSON", CHAT, "{", 400, None),
    ("a list", CHAT, "[1]", 400, None),
    ("a nest without end", CHAT, "[" * 100_000, 400, None),
    ("no body", CHAT, "", 400, None),
    ("a number of 5,000 digits", CHAT, '{"model": "MODEL", "seed": ' + "9" * 5000 + "}", 400, None),
    ("unknown model", CHAT, {"model": "gpt-4"}, 404, "model"),
    ("no model", CHAT, {"model": None}, 400, "model"),
    ("unknown field", CHAT, {"temprature": 1}, 400, "temprature"),
    ("no messages", CHAT, {"messages": []}, 400, "messages"),
    ("messages of another type", CHAT, {"messages": "hello"}, 400, "messages"),
    ("a role that is none", CHAT, said("a", "wizard"), 400, "messages.0.role"),
    ("an image", CHAT, said([{"type": "image_url"}]), 400, "messages.0.content"),
    ("half a surrogate pair", CHAT, HALF, 400, "messages.0.content"),
    ("a system prompt to a measured arm", CHAT, said("Be brief.", "system", ASKED), 400, "messages"),
    ("a history to a measured arm", CHAT, said("A?", "user", ASKED), 400, "messages"),
    ("an empty input", CHAT, said(" \n"), 400, "messages"),
    ("a control token", CHAT, said("<|im_end|>"), 400, "messages"),
    ("temperature below 0", CHAT, {"temperature": -1}, 400, "temperature"),
    ("temperature close to 0", CHAT, {"temperature": 1e-6}, 400, "temperature"),
    ("temperature as text", CHAT, {"temperature": "hot"}, 400, "temperature"),
    ("temperature NaN", CHAT, '{"model": "MODEL", "messages": [], "temperature": NaN}', 400, "temperature"),
    ("top_p 0", CHAT, {"top_p": 0}, 400, "top_p"),
    ("n 0", CHAT, {"n": 0}, 400, "n"),
    ("n too large", CHAT, {"n": MOST_CHOICES + 1}, 400, "n"),
    ("max_tokens 0", CHAT, {"max_tokens": 0}, 400, "max_tokens"),
    ("max_tokens beyond the window", CHAT, {"max_tokens": 512}, 400, "max_tokens"),
    ("max_tokens beyond everything", CHAT, {"max_tokens": 10**9}, 400, "max_tokens"),
    ("a seed below 0", CHAT, {"seed": -1}, 400, "seed"),
    ("a seed of 70 bits", CHAT, {"seed": 2**70}, 400, "seed"),
    ("an empty stop string", CHAT, {"stop": ""}, 400, "stop"),
    ("too many stop strings", CHAT, {"stop": ["a"] * 17}, 400, "stop"),
    ("rivals without log-probabilities", CHAT, {"top_logprobs": 3}, 400, "top_logprobs"),
    ("too many rivals", CHAT, {"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs"),
    ("stream as a number", CHAT, {"stream": 1}, 400, "stream"),
    ("a tool", CHAT, {"tools": [{"type": "function"}]}, 400, "tools"),
    ("JSON mode", CHAT, {"response_format": {"type": "json_object"}}, 400, "response_format"),
    ("an empty prompt", TEXT, {"prompt": ""}, 400, "prompt"),
    ("no prompts", TEXT, {"prompt": []}, 400, "prompt"),
    ("an empty prompt among others", TEXT, {"prompt": ["a", ""]}, 400, "prompt"),
    ("mixed prompts", TEXT, {"prompt": ["a", 5]}, 400, "prompt"),
    ("tokens to a measured arm", TEXT, {"prompt": [7, 8, 9]}, 400, "prompt"),
    ("echo of a measured arm", TEXT, {"echo": True}, 400, "echo"),
    ("no tokens", TEXT, {"model": RAW, "prompt": [[]]}, 400, "prompt"),
    ("a token beyond the vocabulary", TEXT, {"model": RAW, "prompt": [7, 10**6]}, 400, "prompt"),
    ("a token below 0", TEXT, {"model": RAW, "prompt": [-1]}, 400, "prompt"),
    ("a raw prompt beyond the window", TEXT, {"model": RAW, "prompt": LONG}, 400, "prompt"),
    ("a raw chat beyond the window", CHAT, {"model": RAW, **said(LONG)}, 400, "messages"),
    ("too many prompts", TEXT, {"prompt": ["a"] * 65}, 400, "prompt"),
    ("a suffix", TEXT, {"suffix": "end"}, 400, "suffix"),
    ("best_of", TEXT, {"best_of": 3}, 400, "best_of"),
    ("log-probabilities as a truth", TEXT, {"logprobs": True}, 400, "logprobs"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "change", "status", "param"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS]
)
def test_what_is_refused(path: str, change: Any, status: int, param: str | None, running: Running) -> None:
    good = {"model": GREEDY, **({"messages": [ASKED]} if path == CHAT else {"prompt": "Tom: Is Monday free?"})}
    if isinstance(change, str):
        content = change.replace("MODEL", GREEDY).encode()
    else:
        content = json.dumps({k: v for k, v in {**good, **change}.items() if v is not None}).encode()
    headers = {"content-type": "application/json"}
    reply = httpx.post(running.url + path, content=content, headers=headers, timeout=60)
    error = reply.json()["error"]
    assert reply.status_code == status, error
    assert set(error) == {"message", "type", "param", "code"} and error["param"] == param
    assert error["message"] and "Traceback" not in error["message"]
    if status == 404:
        assert error["code"] == "model_not_found"
    if "measured arm" in error["message"]:
        assert RAW in error["message"]


@pytest.mark.parametrize("field", REFUSED)
def test_every_field_that_is_not_served_is_refused_by_its_name(field: str, running: Running) -> None:
    path = CHAT if field not in ("suffix", "best_of") else TEXT
    body = {"model": GREEDY, **({"messages": [ASKED]} if path == CHAT else {"prompt": "Tom?"})}
    reply = running.post(path, {**body, field: {"any": "thing"}})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)
    assert reply.json()["error"]["code"] == "unsupported_parameter"
    for neutral in REFUSED[field]:
        assert running.post(path, {**body, field: neutral, "max_tokens": 1}).status_code == 200


def test_fields_without_effect_are_named_in_the_reply(running: Running) -> None:
    given = {name: {"a": "b"} if name == "metadata" else "x" for name in IGNORED}
    assert running.chat("Tom: Is Monday free?", **given)["luthier"]["ignored"] == list(IGNORED)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v1", 404), ("GET", "/v2/models", 404), ("GET", CHAT, 405), ("PUT", TEXT, 405),
     ("DELETE", "/v1/models", 405), ("GET", "/v1/models/nope", 404), ("GET", "/docs", 404),
     ("GET", "/v1/../etc/passwd", 404)],
)  # fmt: skip
def test_other_addresses_and_methods(method: str, path: str, status: int, running: Running) -> None:
    reply = httpx.request(method, running.url + path, timeout=60)
    assert reply.status_code == status and set(reply.json()["error"]) == {"message", "type", "param", "code"}


# ---------------------------------------------------------------------------------------------- what is answered


def test_the_models_are_the_ids_that_replies_carry(running: Running) -> None:
    ids = [one["id"] for one in running.get("/v1/models").json()["data"]]
    assert ids == [name for arm in ARMS for name in (arm, f"{arm}/raw")]
    for id in (GREEDY, RAW):
        assert running.get(f"/v1/models/{id}").json()["id"] == id
        assert running.chat("Tom: Is Monday free?", id, max_tokens=1)["model"] == id


def test_a_reply_says_what_was_measured(running: Running) -> None:
    plain = running.chat("Tom: Is Monday free?")
    note = running.served[GREEDY].prompt_sha256
    assert plain["luthier"] == {"arm": GREEDY, "measured": True, "prompt_sha256": note, "ignored": [], "tokens_cut": 0}
    limit = running.served[GREEDY].arm.generation.max_new_tokens
    changes = [{"temperature": 0.5}, {"max_tokens": limit - 1}, {"stop": "x"}, {"ignore_eos": True}, {"top_k": 3}]
    for change in changes:
        assert running.chat("Tom: Is Monday free?", **change)["luthier"]["measured"] is False, change
    for change in [{"temperature": 0}, {"max_tokens": limit}, {"seed": 5}, {"n": 2}, {"logprobs": True}]:
        assert running.chat("Tom: Is Monday free?", **change)["luthier"]["measured"] is True, change
    assert running.chat("Tom: Is Monday free?", RAW)["luthier"]["measured"] is False
    prints = {running.chat("Tom?", arm, max_tokens=1)["system_fingerprint"] for arm in (*ARMS, RAW)}
    assert len(prints) == len(ARMS) + 1 and running.chat("Tom?")["system_fingerprint"] == plain["system_fingerprint"]


def test_usage_counts_prompt_and_answer(running: Running) -> None:
    text = "Tom: Is Monday free?"
    reply = running.chat(text, logprobs=True)
    prompt = len(running.served[GREEDY].arm.prompt(text).prompt_ids)
    new = len(reply["choices"][0]["logprobs"]["content"])
    assert reply["usage"] == {"prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new}


def test_a_long_input_is_cut_as_in_the_study_and_the_reply_says_so(running: Running) -> None:
    reply = running.chat("Tom: where are we? " * 300)
    assert reply["luthier"]["tokens_cut"] > 0 and reply["luthier"]["measured"]


@pytest.mark.parametrize("model", [GREEDY, RAW])
@pytest.mark.parametrize(
    "more", [{}, {"n": 2, "temperature": 0.9}, {"stop": ["e", "T"]}, {"logprobs": True, "top_logprobs": 2}]
)
def test_a_stream_says_what_a_whole_reply_says(model: str, more: dict[str, Any], running: Running) -> None:
    whole = running.chat("Tom: Is Monday free?", model, max_tokens=9, **more)
    parts = chunks(running, CHAT, {"model": model, "messages": [ASKED], "max_tokens": 9, **more})
    assert len({part["id"] for part in parts}) == 1 and all(part["object"] == "chat.completion.chunk" for part in parts)
    assert all(set(part) >= {"id", "created", "model", "system_fingerprint", "choices", "luthier"} for part in parts)
    for choice in whole["choices"]:
        own = [c for part in parts for c in part["choices"] if c["index"] == choice["index"]]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert all("role" not in c["delta"] for c in own[1:])
        assert "".join(c["delta"].get("content") or "" for c in own) == choice["message"]["content"]
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == [choice["finish_reason"]]
        assert own[-1]["finish_reason"]
        if more.get("logprobs"):
            shown = [one for c in own if c["logprobs"] for one in c["logprobs"]["content"]]
            assert [one["token"] for one in shown] == [one["token"] for one in choice["logprobs"]["content"]]
    assert "usage" not in parts[-1]


def test_usage_comes_in_a_last_chunk_only_when_asked(running: Running) -> None:
    body = {"model": GREEDY, "messages": [ASKED]}
    plain = running.chat(ASKED["content"])
    parts = chunks(running, CHAT, {**body, "stream_options": {"include_usage": True}})
    assert parts[-1]["choices"] == [] and parts[-1]["usage"] == plain["usage"]
    assert all(part["usage"] is None for part in parts[:-1])
    running_usage = chunks(running, CHAT, {**body, "stream_options": {"continuous_usage_stats": True}})
    counts = [part["usage"]["completion_tokens"] for part in running_usage]
    assert counts == sorted(counts) and counts[-1] == plain["usage"]["completion_tokens"]


@pytest.mark.parametrize("stop", ["e", "on", [" ", "zzz"], "\n"])
def test_a_stop_string_ends_the_answer_before_it(stop: Any, running: Running) -> None:
    stops = [stop] if isinstance(stop, str) else stop
    body = {"model": RAW, "prompt": "Tom: Is", "max_tokens": 30, "temperature": 1.0, "seed": 3, "ignore_eos": True}
    whole = running.post(TEXT, body).json()["choices"][0]["text"]
    cut = running.post(TEXT, {**body, "stop": stop}).json()["choices"][0]
    ends = [whole.find(one) for one in stops if one in whole]
    assert cut["text"] == (whole[: min(ends)] if ends else whole)
    assert cut["finish_reason"] == ("stop" if ends else "length")


def test_seeds_and_choices(running: Running) -> None:
    def texts(**more: Any) -> list[str]:
        body = {"model": RAW, "prompt": "Tom: Is", "max_tokens": 12, "temperature": 1.0, **more}
        return [choice["text"] for choice in running.post(TEXT, body).json()["choices"]]

    assert texts(seed=1, n=3) == texts(seed=1, n=3) and len(set(texts(seed=1, n=3))) == 3
    assert texts(seed=1, n=3)[0] == texts(seed=1)[0] != texts(seed=2)[0]
    assert texts(seed=1, prompt=["Tom: Is", "Anna: Is"])[0] == texts(seed=1)[0]


def test_several_prompts_are_several_choices_in_order(running: Running) -> None:
    tokenizer = running.served[RAW].model.tokenizer
    prompts = ["Tom: Is", "Anna: Can we"]
    body = {"model": RAW, "max_tokens": 6, "n": 2}
    texts = running.post(TEXT, {**body, "prompt": prompts}).json()
    ids = running.post(TEXT, {**body, "prompt": [tokenizer(p)["input_ids"] for p in prompts]}).json()
    assert [c["index"] for c in texts["choices"]] == [0, 1, 2, 3]
    assert [c["text"] for c in texts["choices"]] == [c["text"] for c in ids["choices"]]
    alone = [running.post(TEXT, {**body, "n": 1, "prompt": p}).json()["choices"][0]["text"] for p in prompts]
    assert [c["text"] for c in texts["choices"]] == [alone[0], alone[0], alone[1], alone[1]]


@pytest.mark.parametrize("new", [0, 1, 3])
def test_echo_shows_the_prompt_and_its_likelihood(new: int, running: Running) -> None:
    """Prompt and new tokens have an entry each; the first has nothing before it, so it is null."""
    model = running.served[RAW].model
    ids = model.tokenizer("Anna: Can we move the dentist?")["input_ids"]
    body = {"model": RAW, "prompt": ids, "max_tokens": new, "echo": True, "logprobs": 1, "ignore_eos": True}
    (choice,) = running.post(TEXT, body).json()["choices"]
    shown = choice["logprobs"]
    assert len(shown["tokens"]) == len(shown["token_logprobs"]) == len(ids) + new
    assert shown["token_logprobs"][0] is None and shown["top_logprobs"][0] is None
    with torch.no_grad():
        logits = model.module(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    expected = [float(logits[i, token]) for i, token in enumerate(ids[1:])]
    assert shown["token_logprobs"][1 : len(ids)] == pytest.approx(expected, abs=1e-4)
    assert choice["text"].startswith("Anna: Can we move the dentist?")
    assert "".join(shown["tokens"]) == choice["text"] and shown["text_offset"][:2] == [0, len(shown["tokens"][0])]
    streamed = chunks(running, TEXT, body)
    assert "".join(c["text"] for part in streamed for c in part["choices"]) == choice["text"]


def test_the_openai_client(running: Running) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    assert GREEDY in [model.id for model in client.models.list()]
    plain = client.chat.completions.create(model=GREEDY, messages=[ASKED])
    parts = list(
        client.chat.completions.create(
            model=GREEDY, messages=[ASKED], stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == plain.choices[0].message.content and parts[-1].usage == plain.usage
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4", messages=[ASKED])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=GREEDY, messages=[ASKED], temperature=-1)
    assert bad.value.param == "temperature" and bad.value.body["type"] == "invalid_request_error"
