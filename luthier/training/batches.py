"""Training batches: an iterator over prompts whose position can be saved and restored.

Each step's batch holds `batch_size` examples of similar length, cut into micro-batches that fit `micro_tokens`. Seed
and epoch alone decide the order, so the position is one number.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from luthier.errors import SettingsError
from luthier.planning.lengths import cut_by_length
from luthier.records import Prompt

MicroBatches = list[list[Prompt]]


class Batches:
    """Yields the micro-batches of one optimizer step at a time, and passes over the prompts `epochs` times.

    An epoch shuffles the examples, sorts them by length inside pools of `pool` batches, and shuffles the batches. So
    padding is small and batches stay mixed. Raises SettingsError when there are no prompts.
    """

    pool = 16

    def __init__(
        self, prompts: Sequence[Prompt], *, batch_size: int, micro_tokens: int, epochs: float, seed: int
    ) -> None:
        if not prompts:
            raise SettingsError("there is no training example, so there is nothing to train on; give at least one")
        self.prompts, self.batch_size, self.micro_tokens, self.seed = prompts, batch_size, micro_tokens, seed
        self.per_epoch = math.ceil(len(prompts) / batch_size)
        self.steps = max(1, math.ceil(self.per_epoch * epochs))
        self.position = 0

    def __len__(self) -> int:
        """The number of optimizer steps in all epochs."""
        return self.steps

    def __iter__(self) -> Iterator[MicroBatches]:
        order: list[list[Prompt]] = []
        ordered_epoch = -1
        while self.position < self.steps:
            epoch, index = divmod(self.position, self.per_epoch)
            if epoch != ordered_epoch:
                order, ordered_epoch = self._epoch(epoch), epoch
            self.position += 1
            yield micro_batches(order[index], self.micro_tokens)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = int(state["position"])

    def _epoch(self, epoch: int) -> list[list[Prompt]]:
        shuffled = list(self.prompts)
        rng = random.Random(f"batches-{self.seed}-{epoch}")
        rng.shuffle(shuffled)
        batches = []
        for start in range(0, len(shuffled), self.batch_size * self.pool):
            pool = sorted(shuffled[start : start + self.batch_size * self.pool], key=length_of)
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        rng.shuffle(batches)
        return batches


def micro_batches(batch: Sequence[Prompt], micro_tokens: int) -> MicroBatches:
    """The batch, cut into micro-batches of at most `micro_tokens` padded tokens."""
    return cut_by_length(batch, micro_tokens, length_of)


def length_of(prompt: Prompt) -> int:
    """Tokens of prompt and target together."""
    return len(prompt.prompt_ids) + len(prompt.target_ids or ())
