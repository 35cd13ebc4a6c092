"""Clients of an OpenAI-compatible server: streams over HTTP, as many at once as asked for, and what all servers report.

Four measurements in one order: the first token of a request that is alone (the median of several), of the same request
that comes while FEW - 1 others are written (each is followed by the next), of FEW that come at the same moment, and the
rate of all rows at once. They use little of the processor that the server answers on: http.client takes an eighth of
what httpx takes for the same streams.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import common

ALONE, FEW = 3, 16  # requests one after the other; streams at once for the time to the first token


def ask(url, body, writes=lambda: None):
    """(seconds to the first text, tokens written) of one stream. `writes` is called when its first text is there.

    The tokens are those of the server's own count, else the limit where it says that the limit was reached.
    """
    began, first, tokens = common.now(), None, 0
    with contextlib.closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=3600)) as connection:
        content = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(body | {"stream": True}), content)
        reply = connection.getresponse()
        if reply.status != 200:
            raise SystemExit(f"Error: {reply.status} {reply.read().decode()[:200]}")
        for line in reply:
            if not line.startswith(b"data: {"):
                continue
            if first is None:
                first = (common.now() - began)["seconds"]
                writes()
            piece = json.loads(line[6:])
            if piece.get("error"):
                raise SystemExit(f"Error: {str(piece['error'])[:200]}")
            ended = any(choice.get("finish_reason") == "length" for choice in piece.get("choices", []))
            counted = (piece.get("usage") or {}).get("completion_tokens")
            tokens = counted or (body["max_tokens"] if ended else tokens)
    return first, tokens


def measured(url, order, batches, body_of, worked):
    """Everything that is measured of one server, as words of `common.report_counts`; `body_of(row, limit)` is a
    request, `worked()` the CPU-seconds of the server and its clients so far.
    """
    rows = [row for batch in batches for row in batch]
    limit = order["new_tokens"]
    ask(url, body_of(rows[0], 8))

    def at_once(some, streams):
        with ThreadPoolExecutor(streams) as clients:
            return list(clients.map(lambda row: ask(url, body_of(row, limit)), some))

    def first_of(body):
        return statistics.median(ask(url, body)[0] for _ in range(ALONE))

    def beside_others(body):
        """`first_of` while FEW - 1 others are written, each followed by the next; it begins when all have begun."""
        done, writing = threading.Event(), set()

        def keep_asking(place):
            while not done.is_set():
                ask(url, body_of(rows[place], limit), lambda: writing.add(place))

        with ThreadPoolExecutor(FEW - 1) as others:
            asking = [others.submit(keep_asking, place) for place in range(FEW - 1)]
            while len(writing) < FEW - 1 and not any(other.done() for other in asking):
                time.sleep(0.01)
            try:
                first = first_of(body)
            finally:
                done.set()
            for other in asking:
                other.result()
        return first

    middle = body_of(rows[len(rows) // 2], 8)
    alone, beside = first_of(middle), beside_others(middle)
    few = statistics.median(first for first, _ in at_once(rows[:: max(1, len(rows) // FEW)][:FEW], FEW))
    began, work = common.now(), worked()
    said = at_once(rows, order["batch"])
    took = (common.now() - began) | {"work_seconds": worked() - work}
    return (
        [tokens for _, tokens in said],
        took,
        {
            "first_token_alone": alone,
            "first_token_beside": beside,
            "first_token_few": few,
            "first_token": statistics.median(first for first, _ in said),
        },
    )
