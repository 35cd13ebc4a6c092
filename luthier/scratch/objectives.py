"""What a model is trained to do, as rows of numbers: causal, prefix, masked, span corruption. Imports no torch.

    causal   the next token, everywhere (Radford et al. 2018)
    prefix   the next token behind a prefix that sees itself both ways (Liu et al. 2018; Raffel et al. 2020)
    masked   15 % of the tokens: 80 % of them hidden, 10 % exchanged, 10 % left (Devlin et al. 2019)
    spans    15 % of the tokens, in spans of 3 on average, written by a decoder behind sentinels (Raffel et al. 2020)

A row holds several documents, and nothing of a row sees another document. A document begins with END and is to end with
END, so every one of its tokens is predicted from tokens of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from luthier.errors import SettingsError

NAMES = ("causal", "prefix", "masked", "spans")
FAMILY = {"causal": "decoder", "prefix": "decoder", "masked": "encoder", "spans": "encoder-decoder"}
IGNORE = -100  # the target of a position that is not supervised
SHARE, SPAN = 0.15, 3.0  # of the tokens that are hidden, and of a span's mean length
SENTINELS = 64  # most spans of one row


@dataclass(frozen=True)
class Row:
    """One row: ids, their documents from 0, and a target for each position, IGNORE where there is none.

    With spans the ids are what the decoder reads, and `source` is what the encoder reads. `prefix` marks the tokens
    that see one another both ways.
    """

    ids: tuple[int, ...]
    documents: tuple[int, ...]
    targets: tuple[int, ...]
    source: tuple[int, ...] = ()
    prefix: tuple[bool, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens that are read."""
        return len(self.ids) + len(self.source)

    @property
    def supervised(self) -> int:
        return sum(target != IGNORE for target in self.targets)


@dataclass(frozen=True)
class Vocabulary:
    """The ids that objectives use: `end`, and behind the tokenizer's own `size` ids a mask and the sentinels."""

    size: int
    end: int

    @property
    def mask(self) -> int:
        return self.size

    def sentinel(self, number: int) -> int:
        return self.size + 1 + number

    def all(self, objective: str) -> int:
        """How many ids a model of an objective needs."""
        return self.size + {"masked": 1, "spans": 1 + SENTINELS}.get(objective, 0)


def packed(documents: Iterable[Sequence[int]], length: int, end: int) -> Iterator[Row]:
    """Causal rows of exactly `length` positions; a document goes on in the next row where it does not fit.

    A document of n tokens gives n + 1 positions: END and its tokens are read, its tokens and END are the targets. The
    rest of the last row is padding (document -1).
    """
    ids: list[int] = []
    numbers: list[int] = []
    targets: list[int] = []
    count = 0
    for document in documents:
        read, wanted, start = [end, *document], [*document, end], 0
        while start < len(read):
            part = slice(start, start + length - len(ids))
            ids += read[part]
            targets += wanted[part]
            numbers += [count] * len(read[part])
            start += len(read[part])
            count += 1
            if len(ids) == length:
                yield Row(tuple(ids), tuple(numbers), tuple(targets))
                ids, numbers, targets, count = [], [], [], 0
    if ids:
        rest = length - len(ids)
        yield Row((*ids, *[end] * rest), (*numbers, *[-1] * rest), (*targets, *[IGNORE] * rest))


def with_prefix(row: Row, dice: random.Random) -> Row:
    """The first document of a causal row read both ways up to a point that is drawn; there is no target inside it."""
    length = sum(number == 0 for number in row.documents)
    border = dice.randint(1, max(1, length - 1))
    prefix = tuple(index < border for index in range(len(row.ids)))
    # The last token of the prefix predicts the first one behind it; the others see what they would predict.
    targets = tuple(IGNORE if index < border - 1 else target for index, target in enumerate(row.targets))
    return Row(row.ids, row.documents, targets, prefix=prefix)


def masked(row: Row, vocabulary: Vocabulary, dice: random.Random) -> Row:
    """A causal row for an encoder: of the tokens that are not END exactly 15 %, rounded, are to be found."""
    places = [index for index, token in enumerate(row.ids) if token != vocabulary.end and row.documents[index] >= 0]
    chosen = dice.sample(places, max(1, round(SHARE * len(places)))) if places else []
    hidden, exchanged = round(0.8 * len(chosen)), round(0.1 * len(chosen))
    ids, targets = list(row.ids), [IGNORE] * len(row.ids)
    for order, index in enumerate(chosen):
        targets[index] = row.ids[index]
        if order < hidden:
            ids[index] = vocabulary.mask
        elif order < hidden + exchanged:
            ids[index] = dice.randrange(vocabulary.size)
    return Row(tuple(ids), row.documents, tuple(targets))


def span_lengths(tokens: int, share: float = SHARE, span: float = SPAN) -> tuple[int, int, int, int]:
    """(hidden tokens, spans, input length, target length) of `tokens` tokens, each with its END."""
    hidden = min(max(round(tokens * share), 1), tokens - 1)
    spans = max(round(hidden / span), 1)
    return hidden, spans, tokens - hidden + spans + 1, hidden + spans + 1


def tokens_for_inputs(inputs: int, share: float = SHARE, span: float = SPAN) -> int:
    """The most tokens whose corrupted input has at most `inputs` positions: 568 for 512.

    Raises SettingsError when not even two tokens fit.
    """
    if span_lengths(2, share, span)[2] > inputs:
        raise SettingsError(f"rows of {inputs} are too short for span corruption; give at least 3")
    tokens = 2
    while span_lengths(tokens + 1, share, span)[2] <= inputs:
        tokens += 1
    return tokens


def corrupted(tokens: Sequence[int], vocabulary: Vocabulary, dice: random.Random) -> Row:
    """Span corruption of a piece of a document: sentinels stand for spans; the decoder writes each behind its own.

    Lengths of the hidden and of the kept spans are drawn evenly among all that sum up to their counts.
    """
    hidden, spans, _, _ = span_lengths(len(tokens))
    spans = min(spans, SENTINELS, len(tokens) - hidden)
    lengths = [_parts(len(tokens) - hidden, spans, dice), _parts(hidden, spans, dice)]
    source: list[int] = []
    written: list[int] = []
    at = 0
    for number, (kept, gone) in enumerate(zip(*lengths, strict=True)):
        source += [*tokens[at : at + kept], vocabulary.sentinel(number)]
        written += [vocabulary.sentinel(number), *tokens[at + kept : at + kept + gone]]
        at += kept + gone
    source.append(vocabulary.end)
    targets = (*written, vocabulary.end)
    return Row((vocabulary.end, *written), (0,) * len(targets), targets, source=tuple(source))


def _parts(total: int, count: int, dice: random.Random) -> list[int]:
    """`total` in `count` parts of at least 1."""
    borders = [0, *sorted(dice.sample(range(1, total), count - 1)), total]
    return [right - left for left, right in pairwise(borders)]
