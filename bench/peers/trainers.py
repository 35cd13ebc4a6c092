"""What the peers that train with PyTorch share: LoRA's settings, and, for those on transformers' Trainer, the columns
of the rows, the options that all are given, the clock and the report.
"""

from __future__ import annotations

import common
import torch
from transformers import TrainerCallback

RATE = {"full": 2e-5, "lora": 1e-3}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": LINEAR}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def lora_config():
    """peft's configuration of LoRA on all linear layers, rank 16."""
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", **LORA)


def options(order, steps):
    """What every Trainer is told: the equal batch, the rate, and nothing beside training.

    The rows come in batches of like length already, or dealt as a shuffle would, so they are taken in their order.
    """
    return {
        "output_dir": order["scratch"],
        "learning_rate": RATE[order["method"]],
        "per_device_train_batch_size": order["micro"],
        "gradient_accumulation_steps": order["examples"] // order["micro"],
        "max_steps": steps,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
    }


def completion_columns(batches):
    """The rows as TRL reads tokens that are there already: ids, and which of them belong to the completion."""
    from datasets import Dataset

    rows = [row for batch in batches for row in batch]
    masks = [[int(label != -100) for label in row["labels"]] for row in rows]
    return Dataset.from_dict({"input_ids": [row["ids"] for row in rows], "completion_mask": masks})


class Clock(TrainerCallback):
    """Starts when the warm-up step is done and stops after the last one."""

    def on_step_end(self, arguments, state, control, **_):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step == 1:
            self.began = common.now()
        self.ended = common.now()


def run(trainer, packages, timed, precision):
    """Trains, and reports the steps after the first, whose rows are `timed`."""
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    common.report_training(packages, timed, clock.ended - clock.began, losses=losses, precision=precision)
