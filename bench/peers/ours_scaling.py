"""luthier's training time as the work grows by a factor of 16: by examples of one length, then by their length."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ours_loop import Ours  # isort: skip - before anything else that brings torch

import common

from luthier.records import Prompt

TIMES = (1, 4, 16)
LENGTHS = (64, 256, 1024)  # tokens of an example
SHORT = LENGTHS[0]
TARGET = 16  # supervised tokens of an example


def prompts(count, length, ids):
    """Examples of exactly `length` tokens, cut from one long run of real text; they have no beginning in common."""
    starts = [(i * 97) % (len(ids) - length) for i in range(count)]
    rows = [tuple(ids[start : start + length]) for start in starts]
    return [Prompt(id=str(i), text="", prompt_ids=r[:-TARGET], target_ids=r[-TARGET:]) for i, r in enumerate(rows)]


def main():
    order = common.order()
    ids = [token for row in common.rows(order["rows"]) for token in row["ids"]]
    ours, batch = Ours(order), order["micro"]

    def seconds(count, length):
        with tempfile.TemporaryDirectory(dir=order["scratch"]) as folder:
            return ours.train(prompts(count, length, ids), batch, Path(folder)).seconds

    seconds(batch, SHORT)
    common.report(
        ("luthier", "torch", "transformers", "peft"),
        examples=[
            {"examples": n * batch, "tokens": n * batch * SHORT, "seconds": seconds(n * batch, SHORT)} for n in TIMES
        ],
        lengths=[{"length": n, "tokens": n * batch, "seconds": seconds(batch, n)} for n in LENGTHS],
    )


if __name__ == "__main__":
    main()
