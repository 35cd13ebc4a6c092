"""transformers' Trainer with peft: as a course notebook writes it, and tuned by its documented options.

`notebook`: fp32, every row padded to 512 tokens, rows shuffled, options left as they are, batch 16 as 4 x 4.
`tuned`: rows of like length together, padded to the longest of 4, fused AdamW, and bf16 where `bf16` is set.
"""

from __future__ import annotations

import common
import torch
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

PADDED = 512
RATE = {"full": 2e-5, "lora": 1e-3}


class Clock(TrainerCallback):
    """Starts when the warm-up step is done and stops after the last one."""

    def on_step_end(self, arguments, state, control, **_):
        if state.global_step == 1:
            self.began = common.now()
        self.ended = common.now()


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
    common_options = {
        "output_dir": order["scratch"],
        "learning_rate": RATE[order["method"]],
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "max_steps": steps,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",  # the rows come shuffled, or grouped by length, already
    }
    if order["style"] == "notebook":
        return TrainingArguments(**common_options)
    return TrainingArguments(**common_options, bf16=order["bf16"], optim="adamw_torch_fused", max_grad_norm=1.0)


def main():
    order = common.order()
    batches = common.training_batches(order)
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=torch.float32)
    if order["method"] == "lora":
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear")
        model = get_peft_model(model, config)
    width = PADDED if order["style"] == "notebook" else None
    clock = Clock()
    trainer = Trainer(
        model=model,
        args=arguments(order, len(batches)),
        train_dataset=Rows([row for batch in batches for row in batch]),
        data_collator=lambda rows: padded(rows, width),
        callbacks=[clock],
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    precision = "bf16 autocast" if order.get("bf16") else "fp32"
    packages = ("torch", "transformers", "accelerate", "peft")
    common.report_training(packages, batches[1:], clock.ended - clock.began, losses=losses, precision=precision)


if __name__ == "__main__":
    main()
