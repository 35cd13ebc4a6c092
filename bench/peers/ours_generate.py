"""luthier's generator, called as an arm of a study calls it: load, plan, generate, fold.

With `method`, an arm's answers: its adapter is saved, and read again onto a fresh base as `luthier ask` reads it. An
adapter that was not trained costs what one that was costs, and the answers stay the base's.
"""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
from pathlib import Path

from luthier import machine

machine.keep_freed_memory()  # as `luthier study` does

import common  # noqa: E402

from luthier.adapt.methods import METHODS  # noqa: E402
from luthier.decoding.generate import fold, generate  # noqa: E402
from luthier.decoding.requests import Request, plan  # noqa: E402
from luthier.decoding.speculative import NgramTable  # noqa: E402
from luthier.model.model import load  # noqa: E402


def loaded(order):
    """The base, or the arm of `order["method"]` on it."""
    base = load(order["model"], precision=order.get("precision", "auto"))
    if "method" not in order:
        return base
    method = METHODS[order["method"]]
    with tempfile.TemporaryDirectory(dir=order["scratch"]) as scratch:
        folder = Path(scratch) / "arm"
        method.save(method.apply(base, method.settings(), 0), folder)
        return method.load(load(order["model"], precision=order.get("precision", "auto")), folder)


def main():
    order = common.order()
    batches = common.generation_batches(order)
    # Without end tokens every answer runs to its limit, as in all other tools.
    model = dataclasses.replace(loaded(order), end_ids=frozenset())
    if not order.get("share", True):
        importlib.import_module("luthier.decoding.padded")._shared_length = lambda *_: 0
        importlib.import_module("luthier.decoding.ragged").shared_length = lambda *_: 0

    def answer(batch, limit, ngrams=None):
        requests = [Request(row["id"], tuple(row["ids"]), limit) for row in batch]
        parts = plan(requests, batch_size=order["batch"], batch_tokens=1 << 30)
        answers = [answer for part in parts for answer in fold(generate(model, part, ngrams), model.tokenizer)]
        tokens = {a.id: list(a.tokens) for a in answers}
        return [tokens[row["id"]] for row in batch]

    answer(batches[0][:1], 8)
    began, ngrams = common.now(), NgramTable()  # nothing is known before the clock starts
    answers = [tokens for batch in batches for tokens in answer(batch, order["new_tokens"], ngrams)]
    took = common.now() - began
    precision = "fp32" if "float32" in str(model.dtype) else "bf16"
    bits = 32 if precision == "fp32" else 16
    packages = ("luthier", "torch", "transformers")
    common.report_generation(packages, order, batches, answers, took, precision=precision, weight_bits=bits)


if __name__ == "__main__":
    main()
