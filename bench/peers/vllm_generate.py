"""vLLM's offline LLM on a GPU: greedy, the end token ignored, prompts as ids, all at once."""

from __future__ import annotations

import common
from vllm import LLM, SamplingParams


def main():
    order = common.order()
    batches = common.generation_batches(order)
    model = LLM(order["model"], dtype="bfloat16", max_model_len=2048, enable_prefix_caching=order.get("share", False))

    def answer(batch, limit):
        settings = SamplingParams(temperature=0.0, max_tokens=limit, ignore_eos=True)
        prompts = [{"prompt_token_ids": row["ids"]} for row in batch]
        return [list(result.outputs[0].token_ids) for result in model.generate(prompts, settings, use_tqdm=False)]

    answer(batches[0][:1], 8)
    began = common.now()
    answers = [tokens for batch in batches for tokens in answer(batch, order["new_tokens"])]
    took = common.now() - began
    common.report_generation(("vllm", "torch"), order, batches, answers, took, precision="bf16", weight_bits=16)


if __name__ == "__main__":
    main()
