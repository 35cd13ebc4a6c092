"""luthier's server, asked by as many clients at once as a batch has rows: streams over HTTP, prompts as ids.

The answers themselves are the generator's (tests/serving); here only how fast they come, and the longest that one step
stopped the others.
"""

from __future__ import annotations

import os
import time

import clients
import common

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

    def body(row, limit):
        return {
            "model": name, "prompt": row["ids"], "max_tokens": limit, "ignore_eos": True,
            "stream_options": {"include_usage": True},
        }  # fmt: skip

    with serving(served, streams=order["batch"]) as (url, engine):

        def forget():
            engine.counts.longest_step_seconds = 0.0

        counts, took, more = clients.measured(url, order, batches, body, time.process_time, forget)
        longest = engine.counts.longest_step_seconds
    common.report_counts(  # what an answer says is compared elsewhere
        ("luthier", "torch", "transformers", "uvicorn"), order, batches, counts, took, longest_step=longest,
        precision=order["precision"], weight_bits=32 if order["precision"] == "fp32" else 16, **more,
    )  # fmt: skip


if __name__ == "__main__":
    main()
