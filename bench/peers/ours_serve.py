"""luthier's server, asked by as many clients at once as a batch has rows: streams over HTTP, prompts as ids.

The answers themselves are the generator's (tests/serving); here only how fast they come. Also measured: the time to
the first token of a request alone, the median of that under load, and the longest that one step stopped the others.
"""

from __future__ import annotations

import json
import os
import statistics
from concurrent.futures import ThreadPoolExecutor

import common
import httpx

from luthier import machine

machine.keep_freed_memory()  # as `luthier serve` does

from luthier.serving.served import load_served  # noqa: E402
from luthier.serving.server import serving  # noqa: E402


def main():
    order = common.order()
    batches = common.generation_batches(order)
    os.environ["LUTHIER_PRECISION"] = order["precision"]
    served = load_served([order["model"]])
    (name,) = served
    with serving(served, streams=order["batch"]) as (url, engine):

        def ask(row, limit=order["new_tokens"]):
            """Seconds to the first token, and how many tokens came."""
            body = {
                "model": name, "prompt": row["ids"], "max_tokens": limit, "ignore_eos": True, "stream": True,
                "stream_options": {"include_usage": True},
            }  # fmt: skip
            began, first, tokens = common.now(), None, 0
            with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=3600) as reply:
                for line in reply.iter_lines():
                    if line.startswith("data: {"):
                        first = first or (common.now() - began)["seconds"]
                        tokens = (json.loads(line[6:]).get("usage") or {}).get("completion_tokens", tokens)
            return first, tokens

        ask(batches[0][0], 8)
        alone = ask(batches[0][0], 8)[0]
        engine.counts.longest_step_seconds = 0.0
        began = common.now()
        with ThreadPoolExecutor(order["batch"]) as clients:
            said = [one for batch in batches for one in clients.map(ask, batch)]
        took = common.now() - began
    common.report_counts(  # what an answer says is compared elsewhere
        ("luthier", "torch", "transformers", "uvicorn"), order, batches, [tokens for _, tokens in said], took,
        precision=order["precision"], weight_bits=32 if order["precision"] == "fp32" else 16,
        first_token_alone=alone, first_token=statistics.median(first for first, _ in said),
        longest_step=engine.counts.longest_step_seconds,
    )  # fmt: skip


if __name__ == "__main__":
    main()
