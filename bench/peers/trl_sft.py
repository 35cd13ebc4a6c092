"""TRL's SFTTrainer on rows that are tokens already, with the loss on the completion alone.

`variant`: `padded`, each pass padded to its longest row; `padding_free`, the rows of a pass laid end to end as one;
`packed`, rows joined to ones of about as many tokens as a pass of the others has (best fit decreasing), which makes
TRL padding-free too. It asks for flash attention under the last two; on a CPU PyTorch's own attention keeps the rows
apart by their positions.
"""

from __future__ import annotations

import math

import common
import torch
import trainers
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


def variant(order):
    """The options that make the variant; a packed row is a pass, with 256 tokens for each example of an equal batch."""
    return {
        "padded": {"max_length": 512},
        "padding_free": {"max_length": None, "padding_free": True},
        "packed": {"max_length": 256 * order["micro"], "packing": True, "per_device_train_batch_size": 1},
    }[order["variant"]]


def arguments(order, steps):
    return SFTConfig(
        **(trainers.options(order, steps) | variant(order)),
        completion_only_loss=True,
        use_cpu=True,
        bf16=order["bf16"],
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
    )


def trainer_on(order, batches, steps):
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32),
        args=arguments(order, steps),
        train_dataset=trainers.completion_columns(batches),
        processing_class=AutoTokenizer.from_pretrained(order["model"]),
        peft_config=trainers.lora_config() if order["method"] == "lora" else None,
    )


def packed_rows(trainer):
    """What TRL packed, as rows with lengths and supervised tokens, a list for each packed row."""
    found = []
    for packed in trainer.train_dataset:
        labels, rows, start = packed["labels"], [], 0
        for length in packed["seq_lengths"]:
            part = labels[start : start + length]
            rows.append({"ids": part, "supervised": sum(label != -100 for label in part)})
            start += length
        found.append(rows)
    return found


def main():
    order = common.order()
    batches = common.training_batches(order)
    timed = batches[1:]
    trainer = trainer_on(order, batches, len(batches))
    if order["variant"] == "packed":
        rows, per_step = packed_rows(trainer), trainer.args.gradient_accumulation_steps
        trainer.args.max_steps, timed = math.ceil(len(rows) / per_step), rows[per_step:]
    packages = ("torch", "transformers", "trl", "peft")
    trainers.run(trainer, packages, timed, "bf16 autocast" if order["bf16"] else "fp32")


if __name__ == "__main__":
    main()
