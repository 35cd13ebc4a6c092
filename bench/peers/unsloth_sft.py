"""Unsloth's FastLanguageModel under TRL's SFTTrainer, on its way for CPUs; loss on the completion alone."""

from __future__ import annotations

import unsloth  # noqa: F401  # isort: skip - it asks to be imported before transformers

import common
import trainers
from trl import SFTConfig, SFTTrainer
from unsloth import FastLanguageModel


def main():
    order = common.order()
    batches = common.training_batches(order)
    precision = "bf16" if order["bf16"] else "fp32"
    model, tokenizer = FastLanguageModel.from_pretrained(
        order["model"],
        max_seq_length=512,
        dtype=trainers.DTYPES[precision],
        load_in_4bit=False,
        full_finetuning=order["method"] == "full",
        use_gradient_checkpointing=False,  # it saves memory and costs time; nobody else does it here
    )
    if order["method"] == "lora":
        model = FastLanguageModel.get_peft_model(model, use_gradient_checkpointing=False, **trainers.LORA)
    given = trainers.options(order, len(batches)) | {"gradient_checkpointing": False}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**given, max_length=512, completion_only_loss=True, bf16=order["bf16"], fp16=False),
        train_dataset=trainers.completion_columns(batches),
        processing_class=tokenizer,
    )
    trainers.run(trainer, ("unsloth", "torch", "transformers", "trl", "peft"), batches[1:], precision)


if __name__ == "__main__":
    main()
