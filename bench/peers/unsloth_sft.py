"""Unsloth's FastLanguageModel under TRL's SFTTrainer, on its way for CPUs, in fp32; loss on the completion alone."""

from __future__ import annotations

import common
import torch
import unsloth  # noqa: F401 - it asks to be imported first
from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer
from unsloth import FastLanguageModel

RATE = {"full": 2e-5, "lora": 1e-3}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Clock(TrainerCallback):
    """Starts when the warm-up step is done and stops after the last one."""

    def on_step_end(self, arguments, state, control, **_):
        if state.global_step == 1:
            self.began = common.now()
        self.ended = common.now()


def arguments(order, steps):
    return SFTConfig(
        output_dir=order["scratch"],
        learning_rate=RATE[order["method"]],
        per_device_train_batch_size=4,
        gradient_accumulation_steps=4,
        max_steps=steps,
        max_length=512,
        completion_only_loss=True,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=order["bf16"],
        fp16=False,
        disable_tqdm=True,
        train_sampling_strategy="sequential",  # the rows come grouped by length already
    )


def main():
    order = common.order()
    batches = common.training_batches(order)
    model, tokenizer = FastLanguageModel.from_pretrained(
        order["model"],
        max_seq_length=512,
        dtype=torch.bfloat16 if order["bf16"] else torch.float32,
        load_in_4bit=False,
        full_finetuning=order["method"] == "full",
    )
    if order["method"] == "lora":
        model = FastLanguageModel.get_peft_model(
            model, r=16, lora_alpha=32, lora_dropout=0, target_modules=LINEAR, use_gradient_checkpointing=False
        )
    flat = [row for batch in batches for row in batch]
    data = Dataset.from_dict(
        {
            "input_ids": [row["ids"] for row in flat],
            "completion_mask": [[int(label != -100) for label in row["labels"]] for row in flat],
        }
    )
    clock = Clock()
    trainer = SFTTrainer(
        model=model,
        args=arguments(order, len(batches)),
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    precision = "bf16" if order["bf16"] else "fp32"
    packages = ("unsloth", "torch", "transformers", "trl", "peft")
    common.report_training(packages, batches[1:], clock.ended - clock.began, losses=losses, precision=precision)


if __name__ == "__main__":
    main()
