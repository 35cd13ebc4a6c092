"""llama.cpp through llama-cpp-python, on the packaged GGUF file, one prompt at a time."""

from __future__ import annotations

import itertools
import os

import common
import llama_cpp


def main():
    order = common.order()
    batches = common.generation_batches(order)
    model = llama_cpp.Llama(order["weights"], n_ctx=4096, n_threads=os.cpu_count(), n_batch=512, verbose=False)

    def answer(ids, limit):
        model.reset()
        return list(itertools.islice(model.generate(ids, temp=0.0), limit))  # goes on past the end token

    answer(batches[0][0]["ids"], 8)
    began = common.now()
    answers = [answer(row["ids"], order["new_tokens"]) for batch in batches for row in batch]
    seconds = common.now() - began
    packages = ("llama_cpp_python",)
    common.report_generation(packages, batches, answers, seconds, precision="Q4_1 weights", weight_bits=5)


if __name__ == "__main__":
    main()
