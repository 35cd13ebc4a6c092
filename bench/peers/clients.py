"""Clients of an OpenAI-compatible server: streams over HTTP, as many at once as asked for, and what all servers report.

Three measurements in one order: the first token of a request that is alone (the median of several), that of FEW streams
at once, and the rate of all rows at once.
"""

from __future__ import annotations

import json
import statistics
from concurrent.futures import ThreadPoolExecutor

import common
import httpx

ALONE, FEW = 3, 16  # requests one after the other; streams at once for the time to the first token


def ask(url, body):
    """(seconds to the first text, tokens written) of one stream.

    The tokens are those of the server's own count, else the limit where it says that the limit was reached.
    """
    began, first, tokens = common.now(), None, 0
    with httpx.stream("POST", f"{url}/v1/completions", json=body | {"stream": True}, timeout=3600) as reply:
        if reply.status_code != 200:
            raise SystemExit(f"Error: {reply.status_code} {reply.read().decode()[:200]}")
        for line in reply.iter_lines():
            if not line.startswith("data: {"):
                continue
            first = first or (common.now() - began)["seconds"]
            piece = json.loads(line[6:])
            if piece.get("error"):
                raise SystemExit(f"Error: {str(piece['error'])[:200]}")
            ended = any(choice.get("finish_reason") == "length" for choice in piece.get("choices", []))
            counted = (piece.get("usage") or {}).get("completion_tokens")
            tokens = counted or (body["max_tokens"] if ended else tokens)
    return first, tokens


def measured(url, order, batches, body_of, worked, after_warm_up=lambda: None):
    """Everything that is measured of one server, as words of `common.report_counts`; `body_of(row, limit)` is a
    request, `worked()` the CPU-seconds of the server and its clients so far.
    """
    rows = [row for batch in batches for row in batch]
    limit = order["new_tokens"]
    ask(url, body_of(rows[0], 8))

    def at_once(some, streams):
        with ThreadPoolExecutor(streams) as clients:
            return list(clients.map(lambda row: ask(url, body_of(row, limit)), some))

    middle = rows[len(rows) // 2]
    alone = statistics.median(ask(url, body_of(middle, 8))[0] for _ in range(ALONE))
    few = statistics.median(first for first, _ in at_once(rows[:: max(1, len(rows) // FEW)][:FEW], FEW))
    after_warm_up()
    began, work = common.now(), worked()
    said = at_once(rows, order["batch"])
    took = (common.now() - began) | {"work_seconds": worked() - work}
    return (
        [tokens for _, tokens in said],
        took,
        {
            "first_token_alone": alone,
            "first_token_few": few,
            "first_token": statistics.median(first for first, _ in said),
        },
    )
