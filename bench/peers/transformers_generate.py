"""transformers' generate(): left-padded batches, greedy; `paged` is its continuous batching, generate_batch().

`lookup` is its prompt lookup decoding for single rows, with as many guesses as its documentation takes.
"""

from __future__ import annotations

import common
import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
END = 2  # the end token, which also pads


def left_padded(batch):
    width = max(len(row["ids"]) for row in batch)
    ids = torch.tensor([[END] * (width - len(row["ids"])) + row["ids"] for row in batch])
    mask = torch.tensor([[0] * (width - len(row["ids"])) + [1] * len(row["ids"]) for row in batch])
    return ids, mask


def main():
    order = common.order()
    batches = common.generation_batches(order)
    model = AutoModelForCausalLM.from_pretrained(
        order["model"], dtype=PRECISIONS[order["precision"]], attn_implementation="sdpa"
    ).eval().to(order.get("device", "cpu"))  # fmt: skip
    # As many pages as the batch needs; left open, most of the memory is taken and cleared at every call.
    paging = ContinuousBatchingConfig(page_size=64, num_blocks=1536, max_batch_tokens=4096)

    def answer(batch, limit):
        guesses = {"prompt_lookup_num_tokens": 3} if order.get("lookup") else {}
        settings = GenerationConfig(max_new_tokens=limit, do_sample=False, eos_token_id=-1, pad_token_id=END, **guesses)
        if order["paged"]:
            found = model.generate_batch(
                [row["ids"] for row in batch], generation_config=settings, continuous_batching_config=paging
            )
            prompts = {tuple(result.prompt_ids): result.generated_tokens for result in found.values()}
            return [prompts[tuple(row["ids"])][:limit] for row in batch]
        ids, mask = (one.to(model.device) for one in left_padded(batch))
        written = model.generate(ids, attention_mask=mask, generation_config=settings)
        return written[:, ids.shape[1] :].tolist()

    answer(batches[0][:1], 8)
    began = common.now()
    answers = [tokens for batch in batches for tokens in answer(batch, order["new_tokens"])]
    took = common.now() - began
    bits = {"fp32": 32, "bf16": 16}[order["precision"]]
    packages = ("torch", "transformers")
    common.report_generation(packages, order, batches, answers, took, precision=order["precision"], weight_bits=bits)


if __name__ == "__main__":
    main()
