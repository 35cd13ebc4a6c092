"""What the models of a trial are asked beside the text that they are pretrained on, and how they are scored.

recall            pairs of a key and a value, and the keys again, each to be followed by its value
classification    which package (or folder) a piece of text is from
continuation      its next tokens
rewriting         the piece without the tokens that were put into it

A decoder and an encoder-decoder write an answer token by token; an encoder fills all its places at once.
The score of an answer is the share of its tokens up to the first mistake: what of it is right when the likeliest token
is taken each time. So no family is helped by seeing tokens of the right answer that it had missed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import DataError
from luthier.results.trial_record import TrialScores
from luthier.scratch import generated, objectives
from luthier.scratch.corpus import Corpus, Document
from luthier.scratch.held_out import ROWS_AT_ONCE, sample_of
from luthier.scratch.objectives import IGNORE, Row
from luthier.scratch.rows import inputs_of
from luthier.scratch.trial_means import BITS, LOSS, SHARE_RIGHT

RECALL_IDS, PAIRS = 64, 16
RECALL_ROWS = 128  # judged
DISTANCES = ((1, 15), (16, 30), (31, 45), (46, 62))

SOURCE, CONTINUED, SHORT, FOREIGN = 32, 4, 9, 3  # tokens: of a piece, of its continuation, of a rewriting, put into it
LABELS = 4  # the largest groups of documents
ROWS_A_DOCUMENT = 4  # judged
MOST_DOCUMENTS = 200  # of a group that are trained on
MOST_CHARACTERS = 4000  # of a document


# ------------------------------------------------------------------------------------------------------------- recall


def recall_row(dice: random.Random) -> Row:
    """A causal row in which the values of the second half can be known."""
    ids, known = generated.recall(RECALL_IDS, PAIRS, dice)
    targets = [IGNORE] * (len(ids) - 1)
    for place in known:
        targets[place - 1] = ids[place]
    return Row(tuple(ids[:-1]), (0,) * len(targets), tuple(targets))


def recall_scores(module: nn.Module) -> list[TrialScores]:
    """The share of values that are recalled, of all, and by how many tokens lie behind their first place."""
    dice = random.Random("judged recall")
    drawn = [generated.recall(RECALL_IDS, PAIRS, dice) for _ in range(RECALL_ROWS)]
    dice = random.Random("judged recall")
    rights = rights_of(module, [recall_row(dice) for _ in range(RECALL_ROWS)])
    apart = [generated.distances(ids, known) for ids, known in drawn]
    scores = [TrialScores(measure=SHARE_RIGHT, at="", values=[sum(one) / len(one) for one in rights], weights=None)]
    for low, high in DISTANCES:
        inside = [
            [right for right, distance in zip(one, far, strict=True) if low <= distance <= high]
            for one, far in zip(rights, apart, strict=True)
        ]
        values: list[int | float] = [sum(one) / len(one) for one in inside if one]  # the same rows for every model
        scores.append(TrialScores(measure=SHARE_RIGHT, at=f"{low} to {high}", values=values, weights=None))
    return scores


# --------------------------------------------------------------------------------------------------------------- text


@dataclass(frozen=True)
class Pieces:
    """Documents as ids: to train on by group, and held out with their group's number."""

    groups: tuple[str, ...]
    train: tuple[tuple[tuple[int, ...], ...], ...]  # group, document, token
    held_out: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def likeliest(self) -> float:
        """The share of the most frequent group among the held-out documents."""
        counts = Counter(group for group, _ in self.held_out)
        return max(counts.values()) / len(self.held_out)


def groups_of(corpus: Corpus, where: str) -> tuple[str, ...]:
    """The largest groups of documents, most first, that have held-out documents, too.

    Raises DataError where fewer than two have.
    """
    counts = Counter(document.group for document in corpus.train)
    held_out = {document.group for document in corpus.held_out}
    groups = sorted((name for name in counts if name in held_out), key=lambda name: (-counts[name], name))[:LABELS]
    if len(groups) < 2:
        raise DataError(
            "classification asks which folder a text is from, and held-out documents are of one folder alone; "
            "give texts in several folders",
            file=where,
        )
    return tuple(groups)


def pieces_of(corpus: Corpus, where: str, encode: Callable[[str], list[int]]) -> Pieces:
    """Documents of the largest groups that are long enough to be asked about. Raises DataError where too few are."""
    groups = groups_of(corpus, where)

    def long_enough(documents: Sequence[Document]) -> Iterator[tuple[int, ...]]:
        for document in documents:
            ids = tuple(encode(document.text[:MOST_CHARACTERS]))
            if len(ids) >= SOURCE + CONTINUED:
                yield ids

    train, held_out = [], []
    for number, group in enumerate(groups):
        some = long_enough([document for document in corpus.train if document.group == group])
        train.append(tuple(ids for ids, _ in zip(some, range(MOST_DOCUMENTS), strict=False)))
        own = long_enough([document for document in corpus.held_out if document.group == group])
        held_out += [(number, ids) for ids in own]
    if not all(train) or len(held_out) < 2:
        raise DataError(f"too few documents have {SOURCE + CONTINUED} tokens; give longer texts", file=where)
    return Pieces(groups, tuple(train), tuple(held_out))


@dataclass(frozen=True)
class TextTask:
    """One of the three tasks, as rows of one family."""

    name: str
    family: str
    pieces: Pieces
    ids: objectives.Vocabulary

    def draw(self, dice: random.Random) -> Row:
        """A row to train on: every group is as likely as the others."""
        group = dice.randrange(len(self.pieces.train))
        return self.row(*self.asked(group, dice.choice(self.pieces.train[group]), dice))

    def judged(self) -> list[list[Row]]:
        """The same rows for every model, by held-out document."""
        dice = random.Random(f"judged {self.name}")
        return [
            [self.row(*self.asked(group, ids, dice)) for _ in range(ROWS_A_DOCUMENT)]
            for group, ids in self.pieces.held_out
        ]

    def asked(self, group: int, ids: Sequence[int], dice: random.Random) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What is read and what is to be written, from a place in a document that is drawn."""
        at = dice.randrange(len(ids) - SOURCE - CONTINUED + 1)
        piece = tuple(ids[at : at + SOURCE])
        if self.name == "classification":
            return piece, (group,)
        if self.name == "continuation":
            return piece, tuple(ids[at + SOURCE : at + SOURCE + CONTINUED])
        read = list(piece[:SHORT])
        for _ in range(FOREIGN):
            read.insert(dice.randrange(len(read) + 1), dice.randrange(self.ids.size))
        return tuple(read), piece[:SHORT]

    def row(self, source: tuple[int, ...], target: tuple[int, ...]) -> Row:
        """The family's row: END stands before a text and between what is read and what is written."""
        end = self.ids.end
        if self.family == "encoder-decoder":
            return Row((end, *target[:-1]), (0,) * len(target), target, source=(*source, end))
        written = (self.ids.mask,) * len(target) if self.family == "encoder" else target[:-1]
        read = (end, *source, end, *written)
        return Row(read, (0,) * len(read), (*[IGNORE] * (len(read) - len(target)), *target))

    def scores(self, module: nn.Module) -> list[TrialScores]:
        """The share of an answer that is right up to its first mistake, a mean for each held-out document."""
        rows = self.judged()
        rights = iter(rights_of(module, [row for some in rows for row in some]))
        values: list[int | float] = [float(np.mean([np.cumprod(next(rights)).mean() for _ in some])) for some in rows]
        return [TrialScores(measure=SHARE_RIGHT, at="", values=values, weights=None)]


def text_scores(
    module: nn.Module, corpus: Corpus, encode: Callable[[str], list[int]], nats: list[float], *, end: int, row: int,
    most_bytes: int,
) -> list[TrialScores]:  # fmt: skip
    """Bits a byte of held-out documents, whose `nats` were summed, and the loss by position from their beginnings on.

    Positions reach to the middle length of the documents; shorter ones do not count.
    """
    documents = sample_of(corpus.held_out, most_bytes)
    bits: list[int | float] = [one / float(np.log(2)) for one in nats]
    scores = [TrialScores(measure=BITS, at="", values=bits, weights=[one.bytes for one in documents])]
    texts = [encode(document.text) for document in documents]
    length = min(row, int(np.median([len(ids) for ids in texts])))
    rows = [Row((end, *ids[: length - 1]), (0,) * length, tuple(ids[:length])) for ids in texts if len(ids) >= length]
    nats_BT = torch.cat([_nats(module, rows[at : at + ROWS_AT_ONCE]) for at in range(0, len(rows), ROWS_AT_ONCE)])
    first = 0
    while first < length:
        last = min(max(2 * first, first + 1), length)
        at = f"{first + 1}" if last == first + 1 else f"{first + 1} to {last}"
        values: list[int | float] = nats_BT[:, first:last].mean(1).tolist()
        scores.append(TrialScores(measure=LOSS, at=at, values=values, weights=None))
        first = last
    return scores


# ------------------------------------------------------------------------------------------------------------ scoring


@torch.no_grad()
def rights_of(module: nn.Module, rows: Sequence[Row]) -> list[list[bool]]:
    """For each supervised position of each row, in order, whether the likeliest token is the target."""
    found = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        inputs, targets_BT = inputs_of(rows[start : start + ROWS_AT_ONCE], next(module.parameters()).device)
        right_BT = module.eval()(**inputs).argmax(-1) == targets_BT
        found += [right[target != IGNORE].tolist() for right, target in zip(right_BT, targets_BT, strict=True)]
    return found


@torch.no_grad()
def _nats(module: nn.Module, rows: Sequence[Row]) -> Tensor:
    """(B, T) of rows of one length."""
    inputs, targets_BT = inputs_of(rows, next(module.parameters()).device)
    logits_BTV = module.eval()(**inputs).float()
    return nn.functional.cross_entropy(logits_BTV.transpose(1, 2), targets_BT, reduction="none").double()
