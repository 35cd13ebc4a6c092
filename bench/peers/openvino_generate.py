"""OpenVINO GenAI's continuous-batching pipeline, on the packaged GGUF file (4 bits) or on an exported folder."""

from __future__ import annotations

import common
import numpy as np
import openvino
import openvino_genai


def main():
    order = common.order()
    batches = common.generation_batches(order)
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 4  # GB
    scheduler.max_num_seqs = 256
    scheduler.enable_prefix_caching = order.get("share", False)
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        order["weights"], scheduler, "CPU", order.get("properties", {})
    )

    def answer(batch, limit):
        settings = openvino_genai.GenerationConfig()
        settings.max_new_tokens, settings.ignore_eos, settings.do_sample = limit, True, False
        prompts = [openvino.Tensor(np.array([row["ids"]], dtype=np.int64)) for row in batch]
        return [list(result.m_generation_ids[0]) for result in pipeline.generate(prompts, [settings] * len(batch))]

    answer(batches[0][:1], 8)
    began = common.now()
    answers = [tokens for batch in batches for tokens in answer(batch, order["new_tokens"])]
    took = common.now() - began
    stored = {"precision": order["precision"], "weight_bits": order["weight_bits"]}
    common.report_generation(("openvino", "openvino-genai"), order, batches, answers, took, **stored)


if __name__ == "__main__":
    main()
