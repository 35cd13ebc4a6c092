"""Under load: nothing is lost or mixed up, nobody waits for a slow reader, and an ending or dead engine says so."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from luthier.decoding.requests import Request
from luthier.decoding.settings import Generation
from luthier.model.prepacked import LaidOut
from luthier.results.folder import StudyFolder
from luthier.serving.engine import Work, _Lane
from luthier.serving.server import _Server, serving
from tests.serving.conftest import GREEDY, Running

RAW = f"{GREEDY}/raw"


@contextlib.contextmanager
def server(finished: Path, loaded: Any, **how: Any) -> Iterator[Running]:
    with serving(loaded, **how) as (url, engine):
        yield Running(url, engine, StudyFolder(finished), loaded)


def body(number: int, tokens: int = 8, **more: Any) -> dict[str, Any]:
    text = f"Tom: number {number}. " + "Where is it? " * (number % 4)
    plain = {"model": RAW, "prompt": text, "max_tokens": tokens, "temperature": 0.9, "seed": number, "ignore_eos": True}
    return {**plain, **more}


def test_many_streams_end_and_nobody_gets_another_s_answer(finished: Path, loaded: Any) -> None:
    """More streams than places; a third hangs up at random tokens; the others get what they get alone."""
    count, dice = 120, random.Random(0)
    gone = set(dice.sample(range(count), count // 3))
    with server(finished, loaded, queue=1000, streams=16) as running:
        expected = {
            n: running.post("/v1/completions", body(n)).json()["choices"][0]["text"] for n in range(0, count, 6)
        }
        limits = httpx.Limits(max_connections=200)
        with httpx.Client(timeout=120, limits=limits) as client, ThreadPoolExecutor(60) as threads:

            def ask(number: int) -> str | None:
                leave_after = dice.randrange(6)
                pieces = []
                with client.stream("POST", f"{running.url}/v1/completions", json=body(number, stream=True)) as reply:
                    assert reply.status_code == 200
                    for line in reply.iter_lines():
                        if number in gone and len(pieces) >= leave_after:
                            return None
                        if line.startswith("data: {"):
                            pieces += [choice["text"] for choice in json.loads(line[6:])["choices"]]
                return "".join(pieces)

            said = list(threads.map(ask, range(count)))
        assert all(said[number] is not None for number in range(count) if number not in gone)
        for number, text in expected.items():
            if number not in gone:
                assert said[number] == text
        wait_until(lambda: running.engine.load == (0, 0))
        assert running.engine.counts.failed == 0


def wait_until(true: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_who_hangs_up_frees_his_place(finished: Path, loaded: Any) -> None:
    """Of a stream, of a whole answer, and of one that still waits for its place."""
    with server(finished, loaded, streams=1) as running:
        for stream in (True, False):
            how: Any = {"json": body(1, 400, stream=stream), "timeout": 0.7}
            address = f"{running.url}/v1/completions"
            with contextlib.suppress(httpx.ReadTimeout), httpx.stream("POST", address, **how) as reply:
                next(reply.iter_lines())
            wait_until(lambda: running.engine.load == (0, 0))
        assert running.engine.counts.cancelled >= 2


def test_a_slow_reader_stalls_nobody(finished: Path, loaded: Any) -> None:
    with server(finished, loaded) as running:
        host, port = running.url.removeprefix("http://").split(":")
        readers = []
        for number in range(5):  # they ask, and read nothing
            data = json.dumps(body(number, 300, n=4, stream=True, logprobs=20)).encode()
            reader = socket.create_connection((host, int(port)))
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(data)}\r\n\r\n"
            reader.sendall(head.encode() + data)
            readers.append(reader)
        assert running.post("/v1/completions", body(9)).status_code == 200
        wait_until(lambda: running.engine.load == (0, 0), 120)  # their answers are written, read or not
        assert running.post("/v1/completions", body(10)).status_code == 200
        for reader in readers:
            reader.close()


def test_a_full_queue_says_come_again(finished: Path, loaded: Any) -> None:
    with server(finished, loaded, streams=1, queue=2) as running, ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(running.post, "/v1/completions", body(n, 200)) for n in range(3)]
        wait_until(lambda: running.engine.load == (1, 2))
        refused = running.post("/v1/completions", body(7))
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "queue_full"
        many = running.post("/v1/completions", body(8, n=8))
        assert many.status_code == 429
        assert [one.result().status_code for one in waiting] == [200] * 3
        assert running.post("/v1/completions", body(7)).status_code == 200


def test_one_client_cannot_take_all_places(finished: Path, loaded: Any) -> None:
    """Clients are told apart by their address; a proxy on this machine says whose request it passes on."""
    with server(finished, loaded, streams=1, queue=8, per_client=2) as running, ThreadPoolExecutor(8) as threads:

        def ask(number: int, tokens: int = 4, **more: Any) -> httpx.Response:
            headers = {"x-forwarded-for": "192.0.2.7"}
            return running.post("/v1/completions", body(number, tokens, **more), headers=headers)

        first = [threads.submit(ask, number, 200) for number in range(2)]
        wait_until(lambda: running.engine.load == (1, 1))
        refused = ask(3)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "too_many_streams"
        other = threads.submit(running.post, "/v1/completions", body(4))
        wait_until(lambda: running.engine.load == (1, 2))
        assert [one.result().status_code for one in (*first, other)] == [200] * 3
        assert ask(5, n=3).json()["error"]["message"].startswith("one client may have 2 answers at once")
        wait_until(lambda: running.engine.load == (0, 0))
        assert ask(6, n=2).status_code == 200


def test_a_server_that_is_told_to_end_finishes_what_is_open(finished: Path, loaded: Any) -> None:
    with server(finished, loaded) as running, ThreadPoolExecutor(8) as threads:
        with httpx.Client() as kept:
            assert kept.get(f"{running.url}/health").json()["status"] == "ok"
            asked = [threads.submit(running.post, "/v1/completions", body(n, 120)) for n in range(4)]
            wait_until(lambda: running.engine.load[0] == 4)
            threading.Thread(target=running.engine.close, args=(60,)).start()
            wait_until(lambda: running.engine.is_closing)
            health, new = kept.get(f"{running.url}/health"), running.post("/v1/completions", body(5))
            assert (health.status_code, health.json()["status"]) == (503, "ending")
            assert new.status_code == 503 and "retry-after" in new.headers
        replies = [one.result() for one in asked]
        assert [reply.status_code for reply in replies] == [200] * 4
        assert all(reply.json()["usage"]["completion_tokens"] == 120 for reply in replies)


class Killed(BaseException):
    pass


def test_a_dead_engine_is_503_and_those_who_wait_are_told(finished: Path, loaded: Any) -> None:
    with server(finished, loaded) as running, ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(running.post, "/v1/completions", body(n, 300, stream=n == 0)) for n in range(3)]
        wait_until(lambda: running.engine.load[0] == 3)

        def die(lane: Any) -> None:
            raise Killed

        running.engine._step = die  # type: ignore[method-assign]
        streamed, *whole = [one.result() for one in asked]
        assert '"error"' in streamed.text and streamed.text.endswith("data: [DONE]\n\n")
        assert [reply.status_code for reply in whole] == [503, 503]
        health = running.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "dead")
        assert running.post("/v1/completions", body(5)).status_code == 503
        assert "luthier_up 0" in running.get("/metrics").text


def test_an_error_about_one_request_is_that_request_s_alone(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.errors import ModelError
    from luthier.serving import engine as module

    original = module._Lane.admit

    def admit(self: Any, work: Any) -> None:
        if work.request.seed == 13:
            raise ModelError("this one cannot be answered")
        original(self, work)

    monkeypatch.setattr(module._Lane, "admit", admit)
    refused = running.post("/v1/completions", body(13))
    assert refused.status_code == 400 and refused.json()["error"]["message"] == "this one cannot be answered"
    assert running.post("/v1/completions", body(14)).status_code == 200


def test_a_batch_has_so_many_sequences_as_there_are_places(loaded: Any) -> None:
    """Of answers that are chosen among several; those that wait are answered next."""
    served, ended = loaded[RAW], list[Any]()
    drawn = Generation(temperature=1.0, samples=4)
    lane = _Lane(served, (), drawn.way, LaidOut([]), most_rows=9)
    for number in range(5):
        request = Request(str(number), (5, 6 + number), 3, drawn, seed=number)
        lane.admit(Work(served, lambda event: None, request))
    sizes = []
    while lane.is_open:
        ended += [event.id for _, event in lane.step() if event.stop]
        sizes.append(len(lane.works))
    assert sorted(ended) == ["0", "1", "2", "3", "4"] and max(sizes) == 2


def test_a_second_signal_ends_at_once(finished: Path, loaded: Any) -> None:
    class Engine:
        closed = 0

        def close(self, seconds: float) -> bool:
            self.closed += 1
            return True

    import uvicorn

    ending = _Server(uvicorn.Config(lambda: None), Engine())  # type: ignore[arg-type]
    ending.handle_exit(signal.SIGTERM, None)
    wait_until(lambda: ending.should_exit)
    assert not ending.force_exit and ending.engine.closed == 1
    ending.handle_exit(signal.SIGTERM, None)
    assert ending.force_exit
