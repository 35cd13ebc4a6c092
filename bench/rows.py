"""The work that all tools get: rows rendered once to ids, labels and text, and the folder of the model.

A training row has at most 512 tokens, so that no tool has to cut one. Rows stand in batches of 16 of all lengths, as a
loader that shuffles deals them, behind a batch of short ones for the warm-up: a tool that keeps the order trains on the
same rows in the same batches.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from luthier import load_task
from luthier.files import write_json, write_lines
from luthier.model.model import load
from luthier.records import Example, Prompt
from luthier.task.examples import Columns, read_examples
from luthier.task.prompt import Renderer, draw_shots

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "dialogsum"
MODEL = "smollm2-135m"
LONGEST = 512  # tokens of a training row
SHOTS = 3
SEED = 0
RULES = 2  # counts what the work was changed to: results of other rules are not gone on with

Split = Sequence[Example]


@dataclass(frozen=True)
class Size:
    """How much work a round is."""

    batch: int = 16  # examples an optimizer step
    micro: int = 4  # examples a pass, for the tools that are told one
    timed_steps: int = 2
    dialogues: int = 48
    new_tokens: int = 80
    row: int = 256  # tokens of a row of pretraining
    rows_a_step: int = 16
    steps: int = 9  # timed steps of pretraining
    vocabulary: int = 1024  # ids of its tokenizer


WHOLE = Size()
# Does every tool run here? No timing.
SMOKE = Size(batch=4, micro=2, timed_steps=2, dialogues=2, new_tokens=8, row=64, rows_a_step=2)


def examples() -> tuple[str, str, Split, Split]:
    """(name, template, train, dev): DialogSum where it lies beside the checkout, else the task that ships with us."""
    shipped = load_task("dialogues")
    if not SHARED.is_dir():
        return "dialogues", shipped.template(), shipped.train, [*shipped.dev, *shipped.test]
    columns = Columns(input="dialogue", target="summary", id="id")
    train, _ = read_examples(SHARED / "train.jsonl", columns, "train")
    dev, _ = read_examples(SHARED / "dev.jsonl", columns, "dev")
    return "dialogsum", shipped.template(), train, dev


def prepare(work: Path, size: Size = WHOLE) -> dict[str, Any]:
    """Writes train.jsonl, generate.jsonl and generate-shots.jsonl into `work`; returns what they hold."""
    name, text, train, dev = examples()
    model = load(MODEL, precision="fp32")
    renderer = model.renderer
    training = training_rows([renderer.prompt(e, text, train=True) for e in _sample(train, 400)], size)
    write_lines(work / "train.jsonl", training)
    asked = _sample(dev, size.dialogues)
    shots = [replace(e, references=e.references[:1]) for e in draw_shots(train, SHOTS, SEED)]
    for file, before in (("generate.jsonl", ()), ("generate-shots.jsonl", shots)):
        write_lines(work / file, generation_rows(renderer, asked, text, before, size.new_tokens))
    about = {
        "data": name,
        "rules": RULES,
        "size": asdict(size),
        "model": str(model.folder),
        "training_tokens": sum(len(r["ids"]) for r in training if not r["warm_up"]),
        "supervised_tokens": sum(r["supervised"] for r in training if not r["warm_up"]),
        "dialogues": len(asked),
    }
    write_json(work / "rows.json", about)
    return about


def training_rows(prompts: Sequence[Prompt], size: Size = WHOLE) -> list[dict[str, Any]]:
    """A warm-up batch of the shortest rows and `size.timed_steps` batches dealt round robin by length, in an order
    drawn by seed; the rows of a batch shortest first.
    """
    fitting = [p for p in prompts if len(p.prompt_ids) + len(p.target_ids or ()) <= LONGEST]
    batch, steps = size.batch, size.timed_steps
    if len(fitting) < batch * (1 + steps):
        raise ValueError(f"{len(fitting)} rows of at most {LONGEST} tokens are too few; {batch * (1 + steps)} it takes")
    timed = sorted(fitting[: batch * steps], key=_length)
    warm_up = sorted(fitting[batch * steps :], key=_length)[:batch]
    batches = [timed[i::steps] for i in range(steps)]
    random.Random(f"bench-{SEED}").shuffle(batches)
    return [_training_row(p, number) for number, members in enumerate([warm_up, *batches], -1) for p in members]


def _training_row(prompt: Prompt, batch: int) -> dict[str, Any]:
    prompt_ids, target_ids = list(prompt.prompt_ids), list(prompt.target_ids or ())
    return {
        "id": prompt.id,
        "batch": batch,
        "warm_up": batch < 0,
        "ids": prompt_ids + target_ids,
        "labels": [-100] * len(prompt_ids) + target_ids,
        "prompt_tokens": len(prompt_ids),
        "supervised": len(target_ids),
    }


def generation_rows(renderer: Renderer, asked: Split, text: str, shots: Split, room: int) -> list[dict[str, Any]]:
    """Prompts shortest first, as a tool that sorts them to save padding would have them, with their ids and text."""
    prompts = [renderer.prompt(example, text, shots, room=room) for example in asked]
    return [{"id": p.id, "ids": list(p.prompt_ids), "text": p.text} for p in sorted(prompts, key=_length)]


def _length(prompt: Prompt) -> int:
    return len(prompt.prompt_ids) + len(prompt.target_ids or ())


def _sample(examples: Split, count: int) -> list[Example]:
    usable = [example for example in examples if example.is_usable]
    return random.Random(f"bench-{SEED}").sample(usable, min(count, len(usable)))
