"""transformers' Trainer with peft: as a course notebook writes it, and tuned by its documented options.

`notebook`: fp32, every row padded to 512 tokens, rows shuffled, options left as they are.
`tuned`: rows of a pass padded to their longest, fused AdamW, and bf16 where `bf16` is set.
`liger`: as tuned, on a GPU, with Liger's kernels in the model's place.
"""

from __future__ import annotations

import common
import torch
import trainers
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

PADDED = 512


class Rows(torch.utils.data.Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def padded(rows, width=None):
    width = width or max(len(row["ids"]) for row in rows)

    def column(values, fill):
        return torch.tensor([row + [fill] * (width - len(row)) for row in values])

    return {
        "input_ids": column([row["ids"] for row in rows], 2),
        "attention_mask": column([[1] * len(row["ids"]) for row in rows], 0),
        "labels": column([row["labels"] for row in rows], -100),
    }


def arguments(order, steps):
    given = trainers.options(order, steps) | {
        "use_cpu": order.get("device", "cpu") == "cpu", "remove_unused_columns": False,
        "use_liger_kernel": order["style"] == "liger",
    }  # fmt: skip
    if order["style"] != "notebook":
        given |= {"bf16": order["bf16"], "optim": "adamw_torch_fused", "max_grad_norm": 1.0}
    return TrainingArguments(**given)


def main():
    order = common.order()
    batches = common.training_batches(order)
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32)
    if order["method"] == "lora":
        from peft import get_peft_model

        model = get_peft_model(model, trainers.lora_config())
    width = PADDED if order["style"] == "notebook" else None
    trainer = Trainer(
        model=model,
        args=arguments(order, len(batches)),
        train_dataset=Rows([row for batch in batches for row in batch]),
        data_collator=lambda rows: padded(rows, None if rows[0]["warm_up"] else width),
    )
    precision = "bf16 autocast" if order.get("bf16") else "fp32"
    trainers.run(trainer, ("torch", "transformers", "accelerate", "peft"), batches[1:], precision)


if __name__ == "__main__":
    main()
