"""nanochat's own scripts/base_train.py in its clone: its model, its Muon with AdamW, its loop, on ids of the same text.

The file is run as it stands, with the options of its runs/runcpu.sh but for the shape. Its tokenizer and its loader of
parquet files are replaced by the benchmark's ids, and each line that it prints for a step is a stamp of the clock. On a
CPU it computes in fp32 and compiles model and optimizer.
"""

from __future__ import annotations

import os
import pickle
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import common
import numpy as np
import torch

LINE = re.compile(r"step (\d+)/\d+ .* loss: ([\d.]+)")


def options(order):
    """Its width is a multiple of the layers, rounded up to whole heads."""
    given = {
        "depth": order["layers"], "head-dim": order["width"] // order["heads"],
        "aspect-ratio": order["width"] // order["layers"], "window-pattern": "L", "max-seq-len": order["row"],
        "device-batch-size": order["rows_a_step"], "total-batch-size": order["rows_a_step"] * order["row"],
        "num-iterations": order["steps"] + 1, "warmup-steps": 1, "device-type": "cpu",
        "eval-every": -1, "core-metric-every": -1, "sample-every": -1,
    }  # fmt: skip
    return [f"--{key}={value}" for key, value in given.items()]


def rows(text):
    """Its loader: (inputs, targets, position), one row behind the other."""

    def loader(tokenizer, count, length, **_):
        ids = torch.from_numpy(np.fromfile(Path(text) / "train.bin", dtype=np.uint16).astype(np.int64))
        steps = ids[: len(ids) // (count * length + 1) * (count * length + 1)].view(-1, count * length + 1)
        while True:
            for step in steps:
                inputs, targets = (part.view(count, length) for part in (step[:-1], step[1:]))
                yield inputs, targets, {"epoch": 1, "pq_idx": 0, "rg_idx": 0}

    return loader


def instead(name, **held):
    """A module of this name that holds only this."""
    module = ModuleType(name)
    module.__dict__.update(held)
    sys.modules[name] = module


def main():
    order = common.order()
    text = Path(order["text"])
    vocabulary = pickle.loads((text / "meta.pkl").read_bytes())["vocab_size"]
    tokenizer = SimpleNamespace(get_vocab_size=lambda: vocabulary)
    sys.path.insert(0, order["clone"])
    os.environ["NANOCHAT_BASE_DIR"] = order["scratch"]
    instead("wandb")
    instead("nanochat.tokenizer", get_tokenizer=lambda: tokenizer, get_token_bytes=lambda device: None)
    instead(
        "nanochat.dataloader",
        tokenizing_distributed_data_loader_with_state_bos_bestfit=rows(text),
        tokenizing_distributed_data_loader_bos_bestfit=rows(text),
    )
    instead("scripts.base_eval", evaluate_core=None)
    import nanochat.common

    stamps, losses = [], []

    def stamped(words="", **_):
        if step := LINE.match(str(words)):
            stamps.append(common.now())
            losses.append(float(step[2]))  # a moving mean, as it prints it

    nanochat.common.print0 = stamped
    sys.argv = ["base_train.py", *options(order)]
    end = runpy.run_path(str(Path(order["clone"]) / "scripts" / "base_train.py"), run_name="__main__")
    if len(stamps) != order["steps"] + 1 or end["model_config"].n_embd != order["width"]:
        sys.exit(f"Error: {len(stamps) - 1} timed steps of width {end['model_config'].n_embd} were made")
    common.report_pretraining(
        ("torch",), order, vocabulary, stamps[-1] - stamps[0], losses=losses,
        precision=str(nanochat.common.COMPUTE_DTYPE).replace("torch.float32", "fp32"),
        parameters=end["num_params"], threads=torch.get_num_threads(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
