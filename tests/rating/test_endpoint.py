"""A judge's address, with real servers on this machine: tries, refusals, the key, and servers that do harm."""

from __future__ import annotations

import threading

import pytest

from luthier.errors import ModelError, SettingsError
from luthier.rating.endpoint import KEY_VARIABLE, LONGEST_WAIT_SECONDS, TRIES, Endpoint, key_from_environment
from tests.endpoint import Server, said


def endpoint(server: Server, waited: list[float] | None = None, **given) -> Endpoint:
    return Endpoint(server.url, "m", wait=(waited if waited is not None else []).append, **given)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_it_tries_again_with_longer_pauses_where_that_may_help(serve, status):
    replies = iter([(status, {}, ""), (status, {}, ""), said("VERDICT: 1")])
    waited: list[float] = []
    assert endpoint(serve(lambda body: next(replies)), waited).ask("?") == "VERDICT: 1"
    assert waited == [1.0, 2.0]


def test_it_waits_as_long_as_it_is_told_to_but_not_for_ever(serve):
    replies = iter([(429, {"Retry-After": "7"}, ""), (429, {"Retry-After": "86400"}, ""), said("x")])
    waited: list[float] = []
    endpoint(serve(lambda body: next(replies)), waited).ask("?")
    assert waited == [7.0, LONGEST_WAIT_SECONDS]


def test_it_gives_up_with_a_sentence(serve):
    server = serve(lambda body: (503, {}, ""))
    with pytest.raises(ModelError, match=f"answers 503 .*, {TRIES} times; verdicts so far are saved"):
        endpoint(server).ask("?")
    assert len(server.asked) == TRIES


def test_a_server_that_is_not_there_or_does_not_answer_is_a_sentence(serve):
    with pytest.raises(ModelError, match="cannot be reached"):
        Endpoint("http://127.0.0.1:9", "m", wait=lambda seconds: None).ask("?")
    hanging = threading.Event()
    server = serve(lambda body: (hanging.wait(5), said("late"))[1])
    with pytest.raises(ModelError, match=r"cannot be reached .*timed out"):
        endpoint(server, timeout_seconds=0.05).ask("?")
    hanging.set()


@pytest.mark.parametrize("status, hint", [(401, f"set {KEY_VARIABLE}"), (404, "check --judge and --judge-model")])
def test_a_refusal_is_said_at_once(serve, status, hint):
    server = serve(lambda body: (status, {}, '{"error": "no such model"}'))
    with pytest.raises(ModelError, match=f"{status} .*{hint}.*no such model"):
        endpoint(server).ask("?")
    assert len(server.asked) == 1


def test_the_key_is_not_sent_to_another_address(serve):
    elsewhere = serve(lambda body: said("VERDICT: 1"))
    server = serve(lambda body: (302, {"Location": elsewhere.url}, ""))
    with pytest.raises(ModelError, match="302"):
        endpoint(server, key="k").ask("?")
    assert elsewhere.asked == []


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"choices": []}', '{"choices": [{"message": 3}]}'])
def test_what_is_no_chat_completion_is_a_sentence(serve, body):
    with pytest.raises(ModelError, match="OpenAI-compatible"):
        endpoint(serve(lambda asked: (200, {}, body))).ask("?")


def test_a_reply_without_words_is_empty(serve):
    assert endpoint(serve(lambda body: said(None))).ask("?") == ""


# --- the key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["sk-1\n", "  sk-1\r\n", "sk-1"])
def test_white_space_around_the_key_is_no_part_of_it(serve, monkeypatch, given):
    monkeypatch.setenv(KEY_VARIABLE, given)
    server = serve(lambda body: said("VERDICT: 1"))
    assert endpoint(server, key=key_from_environment()).ask("?") == "VERDICT: 1"
    assert server.keys == ["Bearer sk-1"]


@pytest.mark.parametrize("given", ["", " \n"])
def test_without_a_key_none_is_sent(serve, monkeypatch, given):
    monkeypatch.setenv(KEY_VARIABLE, given)
    server = serve(lambda body: said("VERDICT: 1"))
    endpoint(server, key=key_from_environment()).ask("?")
    assert server.keys == [None]


@pytest.mark.parametrize("given", ["sk-se\ncret", "sk-se\x1bcret", "sk-s\u00e9cret", "sk-se\udcffcret"])
def test_a_key_that_no_header_can_carry_is_a_sentence_that_does_not_show_it(monkeypatch, given):
    monkeypatch.setenv(KEY_VARIABLE, given)
    with pytest.raises(SettingsError, match=f"{KEY_VARIABLE} holds a control character") as problem:
        key_from_environment()
    assert "cret" not in str(problem.value) and "sk-" not in str(problem.value)


def test_the_key_stands_in_no_message_no_reply_and_no_text_of_the_endpoint(serve):
    """Servers repeat the key that they refuse; a model may repeat it too."""
    refusing = serve(lambda body: (401, {}, '{"error": "Incorrect key: Bearer sk-secret"}'))
    with pytest.raises(ModelError, match=r"Incorrect key: Bearer \[the key\]") as problem:
        endpoint(refusing, key="sk-secret").ask("?")
    repeating = endpoint(serve(lambda body: said("sk-secret\nVERDICT: 1")), key="sk-secret")
    texts = [str(problem.value), repeating.ask("?"), repr(repeating)]
    assert not any("sk-secret" in text for text in texts)
