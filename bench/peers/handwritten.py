"""A plain training loop as a good engineer would write it: length buckets, and logits only where a token is supervised.

The backbone is called without its head, so it suits full fine-tuning and LoRA on a decoder, and nothing else.
"""

from __future__ import annotations

import contextlib

import common
import torch
import torch.nn.functional as F
import trainers
from transformers import AutoModelForCausalLM

MICRO_TOKENS = 4096  # padded tokens in one pass


def micro_batches(batch):
    """The batch cut into runs of rows of like length that hold at most MICRO_TOKENS padded tokens."""
    runs = []
    for row in sorted(batch, key=lambda row: len(row["ids"])):
        if runs and (len(runs[-1]) + 1) * len(row["ids"]) <= MICRO_TOKENS:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def right_padded(lists, fill, device):
    width = max(map(len, lists))
    return torch.tensor([values + [fill] * (width - len(values)) for values in lists], device=device)


def summed_loss(model, rows):
    """Cross-entropy summed over the supervised tokens of the rows. Right padding of a causal model needs no mask."""
    ids = right_padded([row["ids"] for row in rows], 0, model.device)
    labels = right_padded([[*row["labels"][1:], -100] for row in rows], -100, model.device)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = base.model(input_ids=ids, use_cache=False).last_hidden_state
    wanted = labels != -100
    return F.cross_entropy(base.lm_head(hidden[wanted]).float(), labels[wanted], reduction="sum")


def main():
    order = common.order()
    batches, device = common.training_batches(order), order.get("device", "cpu")
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32).to(device)
    if order["method"] == "lora":
        from peft import get_peft_model

        model = get_peft_model(model, trainers.lora_config())
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=trainers.RATE[order["method"]], weight_decay=0.0, fused=True)
    cast = torch.autocast(device, torch.bfloat16) if order["bf16"] else contextlib.nullcontext()
    losses, began = [], common.now()
    for number, batch in enumerate(batches):
        if number == 1:
            began = common.now()
        count, total = sum(row["supervised"] for row in batch), 0.0
        for rows in micro_batches(batch):
            with cast:
                loss = summed_loss(model, rows) / count
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
    if device == "cuda":
        torch.cuda.synchronize()
    took = common.now() - began
    precision = "bf16 autocast" if order["bf16"] else "fp32"
    common.report_training(("torch", "transformers", "peft"), batches[1:], took, losses=losses, precision=precision)


if __name__ == "__main__":
    main()
