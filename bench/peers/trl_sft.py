"""TRL's SFTTrainer: loss on the completion alone, rows of like length together; `packing` joins rows into full ones."""

from __future__ import annotations

import common
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

RATE = {"full": 2e-5, "lora": 1e-3}
PACKED = 1024  # tokens of a packed row


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
        use_cpu=True,
        bf16=order["bf16"],
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        disable_tqdm=True,
        padding_free=order.get("padding_free", False),
        train_sampling_strategy="sequential",  # the rows come grouped by length already
    )


def main():
    order = common.order()
    batches = common.training_batches(order)
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32)
    flat = [row for batch in batches for row in batch]
    data = Dataset.from_dict(
        {
            "input_ids": [row["ids"] for row in flat],
            "completion_mask": [[int(label != -100) for label in row["labels"]] for row in flat],
        }
    )
    config = None
    if order["method"] == "lora":
        from peft import LoraConfig

        config = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
    clock = Clock()
    trainer = SFTTrainer(
        model=model,
        args=arguments(order, len(batches)),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(order["model"]),
        peft_config=config,
        callbacks=[clock],
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    precision = "bf16 autocast" if order["bf16"] else "fp32"
    packages = ("torch", "transformers", "trl", "peft")
    common.report_training(packages, batches[1:], clock.ended - clock.began, losses=losses, precision=precision)


if __name__ == "__main__":
    main()
