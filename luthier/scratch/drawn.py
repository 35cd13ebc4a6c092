"""Rows that a function draws, for the one loop: a tiny model learns one ability in seconds.

draw(dice) -> Row      train_drawn(module, draw, steps=...) -> losses      share_right(module, draw) -> share
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from luthier.results.lines import METRICS_FILE, Step
from luthier.results.record import read_lines_of
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.rows import inputs_of, loss_of
from luthier.training.loop import train
from luthier.training.settings import Training

Draw = Callable[[random.Random], Row]
EVALUATED = 256  # rows


def moved_letters(dice: random.Random, sign: int, places: int, *, letters: int = 10) -> Row:
    """A sign and six letters, which are the ids below `letters`; the target of each is the letter `places` further."""
    ids = [dice.randrange(letters) for _ in range(6)]
    return Row((sign, *ids), (0,) * 7, (IGNORE, *[(one + places) % letters for one in ids]))


class DrawnRows:
    """The loop's batches: `steps` of one micro-batch of `rows` rows, which follow from seed and step alone."""

    def __init__(self, draw: Draw, *, steps: int, rows: int, seed: int) -> None:
        self.draw, self.steps, self.rows, self.seed, self.position = draw, steps, rows, seed, 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[list[Row]]]:
        while self.position < self.steps:
            dice = random.Random(f"drawn-{self.seed}-{self.position}")
            self.position += 1
            yield [[self.draw(dice) for _ in range(self.rows)]]

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = int(state["position"])


def train_drawn(
    module: nn.Module,
    draw: Draw,
    *,
    steps: int,
    rows: int = 32,
    learning_rate: float = 3e-3,
    seed: int = 0,
    folder: Path | None = None,
    watch: Callable[[], None] = lambda: None,
) -> list[float]:
    """Trains a model of this room and returns its loss at each step, in nats a supervised token.

    Files of the training stay in `folder`, from which it goes on, or nowhere. `watch` is called before each step.
    Raises SettingsError when the loss is no longer a number.
    """
    with tempfile.TemporaryDirectory(prefix="luthier-drawn-") as own:
        place = folder or Path(own)
        place.mkdir(parents=True, exist_ok=True)

        def step(batch: list[Row]) -> tuple[Tensor, int, int]:
            watch()
            return loss_of(module, batch)

        train(
            module,
            step,
            DrawnRows(draw, steps=steps, rows=rows, seed=seed),
            Training(learning_rate=learning_rate, evaluations=1, checkpoint_seconds=3600),
            place,
            seed=seed,
            title="train",
        )
        return [line.loss_sum / line.count for line in read_lines_of(Step, place / METRICS_FILE)]


@torch.no_grad()
def share_right(module: nn.Module, draw: Draw, *, rows: int = EVALUATED, seed: int = 10**6) -> float:
    """Share of the supervised positions of newly drawn rows at which the likeliest token is the target."""
    dice = random.Random(f"evaluated-{seed}")
    inputs, targets_BT = inputs_of([draw(dice) for _ in range(rows)], next(module.parameters()).device)
    wanted_BT = targets_BT != IGNORE
    logits_nV = module.eval()(**inputs, wanted_BT=wanted_BT)
    return float((logits_nV.argmax(-1) == targets_BT[wanted_BT]).float().mean())
