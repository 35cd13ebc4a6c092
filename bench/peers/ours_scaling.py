"""luthier's training time as the work grows by a factor of 16: by examples of one length, then by their length."""

from __future__ import annotations

import tempfile
from pathlib import Path

from luthier import machine

machine.keep_freed_memory()  # as `luthier study` does, before torch is there

import common  # noqa: E402

from luthier.adapt import METHODS  # noqa: E402
from luthier.batches import Batches  # noqa: E402
from luthier.loop import train  # noqa: E402
from luthier.loss import collate, supervised_loss  # noqa: E402
from luthier.model import load  # noqa: E402
from luthier.records import Prompt  # noqa: E402

EXAMPLES = (16, 32, 64, 128, 256)
LENGTHS = (64, 128, 256, 512, 1024)  # tokens of an example
SHORT = LENGTHS[0]
TARGET = 16  # supervised tokens of an example


def prompts(count, length, ids):
    """Examples of exactly `length` tokens, cut from one long run of real text."""
    starts = [(i * 97) % (len(ids) - length) for i in range(count)]
    rows = [tuple(ids[start : start + length]) for start in starts]
    return [Prompt(id=str(i), text="", prompt_ids=r[:-TARGET], target_ids=r[-TARGET:]) for i, r in enumerate(rows)]


def main():
    order = common.order()
    ids = [token for row in common.rows(order["rows"]) for token in row["ids"]]
    model = load(order["model"])
    method = METHODS[order["method"]]
    module = method.apply(model, method.settings(), 0)
    settings = method.training.model_copy(update={"batch_size": order["examples"]})

    def step(micro_batch):
        batch = collate(micro_batch, module, model.family)
        loss, count = supervised_loss(module, batch)
        return loss, count, batch.tokens

    def seconds(count, length):
        batches = Batches(
            prompts(count, length, ids),
            batch_size=settings.batch_size,
            micro_tokens=settings.micro_tokens,
            epochs=1,
            seed=0,
        )
        with tempfile.TemporaryDirectory(dir=order["scratch"]) as folder:
            return train(module, step, batches, settings, Path(folder)).seconds

    seconds(order["examples"], SHORT)
    common.report(
        ("luthier", "torch", "transformers", "peft"),
        examples=[{"examples": n, "tokens": n * SHORT, "seconds": seconds(n, SHORT)} for n in EXAMPLES],
        lengths=[
            {"length": n, "tokens": n * order["examples"], "seconds": seconds(order["examples"], n)} for n in LENGTHS
        ],
    )


if __name__ == "__main__":
    main()
