"""CTranslate2's Generator on a converted folder, int8 or float32; `share` is its cached static prompt."""

from __future__ import annotations

import os

import common
import ctranslate2
from transformers import AutoTokenizer

BITS = {"int8": 8, "float32": 32}


def main():
    order = common.order()
    batches = common.generation_batches(order)
    tokenizer = AutoTokenizer.from_pretrained(order["model"])
    generator = ctranslate2.Generator(
        order["weights"], device="cpu", compute_type=order["precision"], intra_threads=os.cpu_count()
    )
    shared = common.shared_length(batches) if order.get("share") else 0

    def answer(batch, limit):
        prompts = [tokenizer.convert_ids_to_tokens(row["ids"]) for row in batch]
        results = generator.generate_batch(
            [prompt[shared:] for prompt in prompts],
            static_prompt=prompts[0][:shared] or None,
            cache_static_prompt=True,
            max_length=limit,
            min_length=limit,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return [result.sequences_ids[0] for result in results]

    answer(batches[0][:1], 8)
    began = common.now()
    answers = [tokens for batch in batches for tokens in answer(batch, order["new_tokens"])]
    took = common.now() - began
    packages = ("ctranslate2",)
    bits = BITS[order["precision"]]
    common.report_generation(packages, order, batches, answers, took, precision=order["precision"], weight_bits=bits)


if __name__ == "__main__":
    main()
