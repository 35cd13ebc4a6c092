"""luthier's own training, called as an arm of a study calls it: load, apply, Batches, supervised_loss, train."""

from __future__ import annotations

import tempfile
from pathlib import Path

from luthier import machine

machine.keep_freed_memory()  # as `luthier study` does, before torch is there

import common  # noqa: E402

from luthier.adapt import METHODS  # noqa: E402
from luthier.batches import Batches  # noqa: E402
from luthier.files import read_lines  # noqa: E402
from luthier.loop import train  # noqa: E402
from luthier.loss import collate, supervised_loss  # noqa: E402
from luthier.model import load  # noqa: E402
from luthier.records import Prompt  # noqa: E402


def prompt(row):
    """A row of the benchmark as the record that the line carries."""
    cut = row["prompt_tokens"]
    return Prompt(id=row["id"], text="", prompt_ids=tuple(row["ids"][:cut]), target_ids=tuple(row["ids"][cut:]))


def main():
    order = common.order()
    warm_up, *timed = common.training_batches(order)
    model = load(order["model"], precision=order.get("precision", "auto"))
    method = METHODS[order["method"]]
    module = method.apply(model, method.settings(), 0)

    def step(micro_batch):
        batch = collate(micro_batch, module, model.family)
        loss, count = supervised_loss(module, batch)
        return loss, count, batch.tokens

    def trained(rows, folder):
        """The loop's own clock counts finished optimizer steps, as the clocks of the peers do."""
        settings = method.training.model_copy(update={"batch_size": len(warm_up)})
        batches = Batches(
            [prompt(row) for row in rows],
            batch_size=settings.batch_size,
            micro_tokens=settings.micro_tokens,
            epochs=1,
            seed=0,
        )
        began = common.now()
        result = train(module, step, batches, settings, folder)
        took = common.now() - began
        steps = read_lines(folder / "metrics.jsonl")
        return took | {"seconds": result.seconds}, [row["loss_sum"] / row["count"] for row in steps]

    with tempfile.TemporaryDirectory(dir=order["scratch"]) as scratch:
        _, first = trained(warm_up, Path(scratch) / "warm-up")
        took, losses = trained([row for batch in timed for row in batch], Path(scratch) / "timed")
    precision = str(model.dtype).removeprefix("torch.").replace("float32", "fp32").replace("bfloat16", "bf16")
    packages = ("luthier", "torch", "transformers", "peft")
    common.report_training(packages, timed, took, losses=first + losses, precision=precision)


if __name__ == "__main__":
    main()
