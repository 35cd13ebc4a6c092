"""LitGPT's finetune_lora and finetune_full commands, timed by the metrics file that they write themselves.

It shuffles the rows with its own seed, so its batches are others; it counts the real tokens of each pass itself.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import common
from tokenizers import Tokenizer

LITGPT = [sys.executable, "-m", "litgpt"]
LORA = ["--lora_r=16", "--lora_alpha=32", "--lora_dropout=0.0"] + [
    f"--lora_{part}=true" for part in ("query", "key", "value", "projection", "mlp")
]


def command(*words):
    done = subprocess.run([*LITGPT, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr[-2000:])


def write_data(order, rows, folder):
    """Prompts and answers as text, which the same tokenizer turns into the same ids."""
    tokenizer = Tokenizer.from_file(str(Path(order["model"]) / "tokenizer.json"))
    samples = [
        {
            "instruction": tokenizer.decode(row["ids"][: row["prompt_tokens"]], skip_special_tokens=False),
            "output": tokenizer.decode(row["ids"][row["prompt_tokens"] : -1]),  # it adds the end token itself
        }
        for row in rows
    ]
    folder.mkdir()
    for name, part in (("train.json", samples), ("val.json", samples[:2])):
        (folder / name).write_text(json.dumps(part), encoding="utf-8")


def main():
    order = common.order()
    precision = "bf16-mixed" if order["bf16"] else "32-true"
    micro, batch = order["micro"], order["examples"]
    batches = common.training_batches(order)
    with tempfile.TemporaryDirectory(dir=order["scratch"]) as scratch:
        work = Path(scratch)
        shutil.copytree(order["model"], work / "SmolLM2-135M-Instruct")
        command("convert_to_litgpt", work / "SmolLM2-135M-Instruct")
        write_data(order, [row for batch in batches for row in batch], work / "data")
        command(
            f"finetune_{order['method']}", work / "SmolLM2-135M-Instruct", f"--out_dir={work / 'out'}",
            f"--precision={precision}", "--devices=1", "--data=JSON", f"--data.json_path={work / 'data'}",
            "--data.mask_prompt=true", '--data.prompt_style={"class_path": "litgpt.prompts.Default"}',
            "--data.num_workers=0", "--train.epochs=2",
            f"--train.max_steps={len(batches)}", f"--train.global_batch_size={batch}",
            f"--train.micro_batch_size={micro}", "--train.max_seq_length=512", "--train.log_interval=1",
            "--train.lr_warmup_steps=1", "--eval.initial_validation=false", "--eval.final_validation=false",
            "--eval.interval=1000000", "--logger_name=csv", *(LORA if order["method"] == "lora" else []),
        )  # fmt: skip
        file = next((work / "out").rglob("metrics.csv"))
        with open(file, newline="", encoding="utf-8") as lines:
            passes = [row for row in csv.DictReader(lines) if row.get("iter_time")]
    first, timed = passes[: batch // micro], passes[batch // micro :]
    rows = [row for batch in batches[1:] for row in batch]
    common.report(
        ("litgpt", "torch"),
        tokens=int(float(timed[-1]["tokens"]) - float(first[-1]["tokens"])),
        supervised=sum(row["supervised"] for row in rows),
        squares=sum(len(row["ids"]) * (len(row["ids"]) + 1) // 2 for row in rows),
        examples=len(timed) * micro,
        seconds=sum(float(row["iter_time"]) for row in timed),
        losses=[float(row["loss"]) for row in passes],
        precision="bf16 mixed" if order["bf16"] else "fp32",
    )


if __name__ == "__main__":
    main()
