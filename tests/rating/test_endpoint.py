"""A judge's address, with real servers on this machine: tries, refusals, the key, and servers that do harm."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from luthier.errors import ModelError, SettingsError
from luthier.rating.endpoint import (
    KEY_VARIABLE,
    LONGEST_WAIT_SECONDS,
    MOST_BYTES,
    TRIES,
    Endpoint,
    check_address,
    key_from_environment,
)
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
    with pytest.raises(ModelError, match=r"gave no whole answer within 0.05 s, 5 times"):
        endpoint(server, try_seconds=0.05).ask("?")
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


@pytest.mark.parametrize(
    "body",
    ["", "<html>", "[]", '{"choices": []}', '{"choices": [{"message": 3}]}', "[" * 200_000, '{"choices": ' * 50_000],
    ids=["empty", "html", "list", "no choice", "no message", "deep list", "deep object"],
)
def test_what_is_no_chat_completion_is_a_sentence(serve, body):
    with pytest.raises(ModelError, match="OpenAI-compatible"):
        endpoint(serve(lambda asked: (200, {}, body))).ask("?")


def test_a_reply_without_words_is_empty(serve):
    assert endpoint(serve(lambda body: said(None))).ask("?") == ""


# --- servers that do harm -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def dripping(first: bytes) -> Iterator[str]:
    """The address of a server that sends `first` and then, for ever, a byte now and then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def drip(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.sendall(first)
                while not ended.wait(0.02):
                    connection.sendall(b"x")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        ended.set()


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 404 No\r\n\r\n",
        b"HTTP/1.1 503 No\r\n\r\n",
    ],
    ids=["status", "header", "body", "refusal", "busy"],
)
def test_a_server_that_sends_a_byte_now_and_then_holds_nobody_for_ever(first):
    began = time.monotonic()
    with dripping(first) as url, pytest.raises(ModelError) as problem:
        Endpoint(url, "m", try_seconds=0.1, wait=lambda seconds: None).ask("?")
    assert time.monotonic() - began < 10
    assert any(words in str(problem.value) for words in ("no whole answer within 0.1 s, 5 times", "404", "503"))


def test_a_question_has_a_total_time_that_waits_count_into(serve):
    server = serve(lambda body: (429, {"Retry-After": "50"}, ""))
    waited: list[float] = []
    with pytest.raises(ModelError, match=r"429 .*, 1 time; verdicts so far are saved"):
        endpoint(server, waited, question_seconds=40).ask("?")
    assert (waited, len(server.asked)) == ([], 1)


def test_the_time_to_wait_may_be_a_date(serve):
    dates = iter([formatdate(time.time() + 30, usegmt=True), "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"])
    waited: list[float] = []
    server = serve(lambda body: (429, {"Retry-After": date}, "") if (date := next(dates, None)) else said("x"))
    endpoint(server, waited).ask("?")
    assert 25 < waited[0] <= 30 and waited[1:] == [2.0, 4.0]


def test_half_a_letter_in_a_reply_can_be_kept(serve):
    """JSON can hold one half of a surrogate pair; a UTF-8 file cannot."""
    body = '{"choices": [{"message": {"content": "\\ud83d\\ude00 \\ud83d\\nVERDICT: 1"}}]}'
    reply = endpoint(serve(lambda asked: (200, {}, body))).ask("?")
    assert reply == "\U0001f600 \ufffd\nVERDICT: 1" and reply.encode()


def test_a_reply_without_end_is_a_sentence(serve):
    with pytest.raises(ModelError, match="longer than 1 MiB"):
        endpoint(serve(lambda body: said("x" * MOST_BYTES))).ask("?")


def test_half_letters_in_a_question_are_sent(serve):
    server = serve(lambda body: said("VERDICT: 1"))
    assert endpoint(server).ask("\ud83d?") == "VERDICT: 1"
    assert json.dumps(server.asked[0]["messages"][0]["content"]) == '"\\ud83d?"'


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8080", "file:///etc/passwd", "http://", "http:///v1", "http://:80/v1", "", "http://h:0/v1"),
        *("http://[::1", "http://h:99999/v1", "http://h:port/v1", "http://a b/v1", "http://h/v\n1", "\x1bhttp://h"),
        *(f"http://{'a' * 64}.example/v1", "http://a..example/v1", "http://h/v\u00e9", "http://h/\udcff"),
    ],
)
def test_what_is_no_address_is_a_sentence(url):
    with pytest.raises(SettingsError, match=r"(?s)--judge .*is no address; give one such as"):
        check_address(url)


@pytest.mark.parametrize("url", ["http://ann:pass@h/v1", "http://h/v1?key=pass", "http://h/v1#pass", "https://pass@h"])
def test_an_address_with_a_secret_is_refused_and_not_shown(url):
    with pytest.raises(SettingsError, match=f"a key in {KEY_VARIABLE}") as problem:
        check_address(url)
    assert "pass@" not in str(problem.value) and "=pass" not in str(problem.value) and url not in str(problem.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/v1", "https://api.example.com/v1/", "http://[::1]:80/v1"])
def test_addresses_are_addresses(url):
    check_address(url)


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
