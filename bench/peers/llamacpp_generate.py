"""llama.cpp through llama-cpp-python on a GGUF file: its own batched decoding, all sequences in one cache.

With `share`, what all prompts begin with is read once and copied to every sequence (llama_memory_seq_cp).
"""

from __future__ import annotations

import os

import common
import llama_cpp
import numpy as np

PASS = 2048  # most tokens of one call


class Session:
    """One model with one context; a token travels as (id, position, sequence, whether its logits are wanted)."""

    def __init__(self, file, tokens, sequences):
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(file.encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = tokens, PASS, 512
        settings.n_seq_max, settings.kv_unified = sequences, True
        settings.n_threads = settings.n_threads_batch = os.cpu_count()
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(PASS, 0, 1)

    def decode(self, tokens):
        """Reads the tokens and returns {sequence: most likely next token} where logits are wanted."""
        found = {}
        for start in range(0, len(tokens), PASS):
            part = tokens[start : start + PASS]
            self.batch.n_tokens = len(part)
            for i, (token, position, sequence, wanted) in enumerate(part):
                self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, position, wanted
                self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
            if llama_cpp.llama_decode(self.context, self.batch) != 0:
                raise RuntimeError("llama_decode failed")
            for i, (_, _, sequence, wanted) in enumerate(part):
                if wanted:
                    logits = llama_cpp.llama_get_logits_ith(self.context, i)
                    found[sequence] = int(np.ctypeslib.as_array(logits, (self.words,)).argmax())
        return found

    def answer(self, prompts, limit, shared):
        llama_cpp.llama_memory_clear(self.memory, True)
        self.decode([(token, place, 0, False) for place, token in enumerate(prompts[0][:shared])])
        for sequence in range(1, len(prompts) if shared else 1):
            llama_cpp.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
        reading = [
            (ids[place], place, sequence, place == len(ids) - 1)
            for sequence, ids in enumerate(prompts)
            for place in range(shared, len(ids))
        ]
        answers = [[] for _ in prompts]
        new = self.decode(reading)
        for step in range(limit):
            for sequence, token in new.items():
                answers[sequence].append(token)
            if step < limit - 1:
                new = self.decode([(t, len(prompts[s]) + step, s, True) for s, t in new.items()])
        return answers


def main():
    order = common.order()
    batches = common.generation_batches(order)
    room = max(sum(len(row["ids"]) + order["new_tokens"] for row in batch) for batch in batches)
    session = Session(order["weights"], room + 256, max(map(len, batches)))
    shared = common.shared_length(batches) if order.get("share") else 0

    session.answer([batches[0][0]["ids"]], 8, 0)
    began = common.now()
    answers = [
        tokens
        for batch in batches
        for tokens in session.answer([row["ids"] for row in batch], order["new_tokens"], shared)
    ]
    took = common.now() - began
    stored = {"precision": order["precision"], "weight_bits": order["weight_bits"]}
    common.report_generation(("llama_cpp_python",), order, batches, answers, took, **stored)


if __name__ == "__main__":
    main()
