"""Lengths in tokens: of training examples, of prompts that are answered, and of what one micro-batch holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from luthier.planning.passes import Rows
from luthier.planning.shape import Shape
from luthier.records import Example

T = TypeVar("T")
Pair = tuple[int, int]  # tokens of a prompt and of its target


@dataclass(frozen=True)
class Lengths:
    """What a study's rows are like. `shared` tokens begin every prompt; `answer` is the most new tokens.

    The last `general` of the training rows are those of replay, which say nothing of the task's answers. `written` are
    the new tokens of an answer where they are known, in the mean.
    """

    train: tuple[Pair, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]
    answer: int
    shared: int = 0
    general: int = 0
    written: float | None = None

    @classmethod
    def alike(cls, tokens: int, answer: int, rows: int) -> Lengths:
        """Rows that all hold `tokens` tokens in training: a prompt and a target of at most half of them."""
        target = min(answer, tokens // 2)
        prompt = tokens - target
        return cls(((prompt, target),) * rows, (prompt,) * rows, (prompt,) * rows, answer)

    @property
    def longest(self) -> Pair:
        return max(self.train, key=sum)

    @property
    def train_tokens(self) -> int:
        return sum(map(sum, self.train))

    @property
    def mean_answer(self) -> float:
        """New tokens of an answer: as many as a target has, up to the limit."""
        if self.written is not None:
            return self.written
        own = [target for _, target in self.train[: len(self.train) - self.general]]
        return min(self.answer, sum(own) / len(own)) if own else self.answer

    def with_general(self, rows: Sequence[Pair]) -> Lengths:
        return replace(self, train=(*self.train, *rows), general=len(rows))


def rendered_lengths(
    renderer: Any,
    text: str,
    shots: Sequence[Example],
    train: Sequence[Example],
    dev: Sequence[Example],
    test: Sequence[Example],
    room: int,
    answer: int,
) -> Lengths:
    """The lengths of examples as a Renderer renders them under template `text`, with `room` kept free for an answer."""
    from luthier.task.prompt import shared_length  # a plan without a task needs no renderer

    asked = [[renderer.prompt(one, text, shots, room=room).prompt_ids for one in examples] for examples in (dev, test)]
    trained = [renderer.prompt(one, text, train=True) for one in train]
    return Lengths(
        train=tuple((len(one.prompt_ids), len(one.target_ids or ())) for one in trained),
        dev=tuple(map(len, asked[0])),
        test=tuple(map(len, asked[1])),
        answer=answer,
        shared=shared_length([*asked[0], *asked[1]]),
    )


def rows_of(shape: Shape, pairs: Sequence[Pair], shared: int = 0) -> Rows:
    """One micro-batch of these examples, padded to the longest."""
    longest = max(pairs, key=sum)
    supervised = sum(target for _, target in pairs)
    if shape.family == "encoder":
        return Rows(len(pairs), max(prompt for prompt, _ in pairs), 0)
    if shape.family == "encoder-decoder":
        prompt, target = max(one for one, _ in pairs), max(one for _, one in pairs)
        return Rows(len(pairs), prompt, target, supervised=supervised)
    shared = min(shared, min(prompt for prompt, _ in pairs) - 1) if len(pairs) > 1 else 0
    return Rows(len(pairs), sum(longest), longest[1], max(shared, 0), supervised)


def cut_by_length(batch: Sequence[T], micro_tokens: int, length: Callable[[T], int]) -> list[list[T]]:
    """A batch, sorted by length and cut into micro-batches of at most `micro_tokens` padded tokens.

    A micro-batch holds at least one example, however long that is.
    """
    cut: list[list[T]] = []
    for one in sorted(batch, key=length):
        if cut and (len(cut[-1]) + 1) * length(one) <= micro_tokens:
            cut[-1].append(one)
        else:
            cut.append([one])
    return cut
