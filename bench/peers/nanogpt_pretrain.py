"""nanoGPT's own train.py in its clone, on 16-bit ids of the same text, with its README's options for a CPU.

The file is run as it stands. Each line that it prints for a step is a stamp of the clock. On a CPU it computes in fp32,
whatever its --dtype says.
"""

from __future__ import annotations

import os
import re
import runpy
import sys

import common
import torch

LINE = re.compile(r"iter (\d+): loss ([\d.]+)")


def options(order, folder):
    shape = {"n_layer": order["layers"], "n_head": order["heads"], "n_embd": order["width"]}
    given = {
        "dataset": order["text"], "out_dir": folder, "device": "cpu", "dtype": "float32", "block_size": order["row"],
        "batch_size": order["rows_a_step"], "gradient_accumulation_steps": 1, "max_iters": order["steps"],
        "compile": order.get("compile", False), "eval_iters": 1, "eval_interval": 10**6, "log_interval": 1,
        "warmup_iters": 1, "lr_decay_iters": order["steps"], "learning_rate": 1e-3,
    }  # fmt: skip
    return [f"--{key}={value}" for key, value in (shape | given).items()]


def main():
    order = common.order()
    sys.argv = ["train.py", *options(order, order["scratch"])]
    sys.path.insert(0, order["clone"])
    os.chdir(order["clone"])
    stamps, losses = [], []

    def stamped(*words, **_):
        if step := LINE.match(str(words[0])):
            stamps.append(common.now())
            losses.append(float(step[2]))

    end = runpy.run_path("train.py", init_globals={"print": stamped}, run_name="__main__")
    if len(stamps) != order["steps"] + 1:
        sys.exit(f"Error: {len(stamps) - 1} timed steps where {order['steps']} were ordered")
    common.report_pretraining(
        ("torch",), order, end["meta_vocab_size"], stamps[-1] - stamps[0], losses=losses,
        precision=str(next(end["raw_model"].parameters()).dtype).replace("torch.float32", "fp32"),
        parameters=sum(p.numel() for p in end["raw_model"].parameters()), threads=torch.get_num_threads(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
