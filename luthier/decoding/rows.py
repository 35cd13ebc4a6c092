"""Rows of different length in memory: their keys and values in groups, for the decoder of ragged.py.

Rows of similar length stand in one group, aligned at their ends. Rows leave, and with a decoder that lets them join
new ones are put into a group with room.

    shapes: B rows, R rows of a group, S keys of a group, P shared keys, K key heads, E width of a head
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUP = 16  # rows whose keys stand together; a smaller group wastes less on padding, a larger one takes fewer calls
BLOCK = 64  # columns that are added when a group needs more
MOST_GAP = 128  # columns that a row which joins may be shorter or longer than its group, while groups are few
FEW_GROUPS = 6  # with more, the calls for each group take longer than the columns that padding wastes
Learned = Sequence[tuple[Tensor, Tensor]]


class Phase(Enum):
    """What the tokens of the current forward pass are."""

    BEGINNING = "what all rows begin with"
    READING = "whole rows, one behind the other"
    WRITING = "the next token of every row, or the next few"
    BOTH = "the next token of every row, then parts of rows that joined"


@dataclass
class Group:
    """Rows that end in the same column, with each attention layer's keys (R, K, E, S) and values (R, K, S, E).

    Keys are stored transposed, as the product of a decoding step needs them. Spare columns are allocated in advance,
    and spare rows and columns before the rows once a row joined. `starts` are the first columns of the rows.
    """

    starts: list[int]
    end: int  # the column behind the last one in use
    hidden_R11S: Tensor  # added to scores: -inf where a column is no token of the row
    held: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.starts)

    @property
    def used(self) -> slice:
        """Columns in use."""
        return slice(min(self.starts), self.end)

    @property
    def width(self) -> int:
        """How many columns are in use."""
        return self.end - min(self.starts)

    def of(self, layer: nn.Module, like_1KNE: Tensor) -> tuple[Tensor, Tensor]:
        """Views of the layer's keys and values in use, to read from and to write to."""
        if layer not in self.held:
            (_, heads, _, width), (rows, _, _, room) = like_1KNE.shape, self.hidden_R11S.shape
            keys = like_1KNE.new_zeros(rows, heads, width, room)
            self.held[layer] = keys, like_1KNE.new_zeros(rows, heads, room, width)
        keys, values = self.held[layer]
        return keys[: self.rows, ..., self.used], values[: self.rows, :, self.used]

    @property
    def hidden(self) -> Tensor:
        """What is added to the scores of the rows and columns in use."""
        return self.hidden_R11S[: self.rows, ..., self.used]

    def next_columns(self, count: int) -> None:
        """Adds columns for `count` (at most BLOCK) more tokens of every row."""
        if self.end + count > self.hidden_R11S.shape[-1]:
            unused = max(0, min(self.starts) - MOST_GAP)  # rows that are longer may still join
            self.hidden_R11S = F.pad(self.hidden_R11S, (-unused, BLOCK))
            for layer, (keys, values) in self.held.items():
                self.held[layer] = F.pad(keys, (-unused, BLOCK)), F.pad(values, (0, 0, -unused, BLOCK))
            self.starts, self.end = [start - unused for start in self.starts], self.end - unused
        self.end += count

    def keep(self, rows: list[int]) -> None:
        """Keeps these rows, in this order, and forgets the others."""
        self.rearrange(rows, None)

    def rearrange(self, rows: list[int], columns: int | None) -> None:
        """Each place takes the row that `rows` names for it; a row may be taken twice, or not at all.

        `columns`: only so many last columns differ between the rows that change places; None: all may.
        """
        if rows == list(range(self.rows)):
            return
        if columns is None or len(rows) != self.rows:
            self.starts, self.hidden_R11S = [self.starts[row] for row in rows], self.hidden_R11S[rows]
            for layer, (keys, values) in self.held.items():
                self.held[layer] = keys[rows], values[rows]
            return
        last = slice(self.end - columns, self.end)
        for keys, values in self.held.values():
            keys[..., last] = keys[..., last][rows]
            values[:, :, last] = values[:, :, last][rows]

    def leave(self, rows: list[int]) -> list[int]:
        """As `keep`, in place: the last rows move to where others left. Returns which row stands at each place now."""
        order, free = list(range(len(rows))), [row for row in range(len(rows)) if row not in rows]
        for place, row in zip(free, (row for row in rows if row >= len(rows)), strict=True):
            order[place] = row
            self.hidden_R11S[place] = self.hidden_R11S[row]
            for keys, values in self.held.values():
                keys[place, ..., : self.end] = keys[row, ..., : self.end]
                values[place, :, : self.end] = values[row, :, : self.end]
        self.starts = [self.starts[row] for row in order]
        return order

    def take_in(self, other: Group) -> None:
        """Adds the only row of `other`, which has been read, so that it ends in the same column."""
        if self.rows == len(self.hidden_R11S) or other.width > self.end:
            self._move(max(self.width, other.width))
        row, start = self.rows, self.end - other.width
        self.starts.append(start)
        self.hidden_R11S[row, ..., :start] = float("-inf")
        self.hidden_R11S[row, ..., start:] = 0
        for layer, (keys, values) in self.held.items():
            new_keys, new_values = other.held[layer]
            keys[row, ..., start : self.end] = new_keys[0, ..., other.used]
            values[row, :, start : self.end] = new_values[0, :, other.used]

    def _move(self, width: int) -> None:
        """New memory for GROUP rows of `width` columns, with some before them for longer rows and some behind them."""
        rows, old, end = self.rows, self.used, width + MOST_GAP
        new = slice(end - self.width, end)
        hidden = self.hidden_R11S.new_zeros(GROUP, 1, 1, end + BLOCK)
        hidden[:rows, ..., : new.start] = float("-inf")
        hidden[:rows, ..., new] = self.hidden
        for layer, (keys, values) in self.held.items():
            keys_GKES = keys.new_zeros(GROUP, *keys.shape[1:3], end + BLOCK)
            keys_GKES[:rows, ..., new] = keys[:rows, ..., old]
            values_GKSE = values.new_zeros(GROUP, values.shape[1], end + BLOCK, values.shape[3])
            values_GKSE[:rows, :, new] = values[:rows, :, old]
            self.held[layer] = keys_GKES, values_GKSE
        self.starts = [start + end - self.end for start in self.starts]
        self.hidden_R11S, self.end = hidden, end


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `end` of a row of `length` tokens, which are read in one pass."""

    group: Group
    index: int  # of the row in its group
    start: int
    end: int
    length: int


class Rows:
    """A batch of rows while they are read and written: their groups, and each attention layer's shared beginning.

    `lengths` count each row's own tokens, without the shared ones; neighbours should be of similar length. `learned`
    holds for each layer the learned prefix, keys and values (K, tokens, E), or is None.
    """

    def __init__(self, lengths: Sequence[int], dtype: torch.dtype, learned: Learned | None = None) -> None:
        self.lengths, self.learned = list(lengths), learned
        self.phase, self.reading = Phase.BEGINNING, list[Span]()  # what is read in this pass
        self.shared: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self.groups = [group_of(lengths[i : i + GROUP], dtype) for i in range(0, len(lengths), GROUP)]

    def beginning(self, layer: Any, like_1KNE: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's shared keys (K, E, P), transposed, and values (K, P, E); P is 0 where nothing is shared."""
        if layer not in self.shared:
            empty_KPE = like_1KNE.new_zeros(like_1KNE.shape[1], 0, like_1KNE.shape[3])
            keys_KPE, values_KPE = self.learned[layer.layer_idx] if self.learned else (empty_KPE, empty_KPE)
            self.shared[layer] = keys_KPE.to(like_1KNE).transpose(1, 2).contiguous(), values_KPE.to(like_1KNE)
        return self.shared[layer]

    @property
    def count(self) -> int:
        """Rows that are being written."""
        return sum(group.rows for group in self.groups)

    def group_at(self, row: int) -> tuple[Group, int]:
        """The group of a row, and its index there."""
        for group in self.groups:
            if row < group.rows:
                return group, row
            row -= group.rows
        raise IndexError(f"there are {self.count} rows")

    def spans(self, rows: Sequence[int]) -> list[Span]:
        """The whole rows, before any row left or joined."""
        places, lengths = [divmod(row, GROUP) for row in rows], [self.lengths[row] for row in rows]
        return [Span(self.groups[g], i, 0, n, n) for (g, i), n in zip(places, lengths, strict=True)]

    def keep(self, rows: Sequence[int], in_place: bool) -> list[int]:
        """Keeps these rows, given in ascending order, and forgets the others. Returns which row stands at each place.

        `in_place` copies less and changes the order.
        """
        wanted, start, order = set(rows), 0, list[int]()
        for group in self.groups:
            kept = [row for row in range(group.rows) if start + row in wanted]
            end = start + group.rows
            if in_place:
                order += [start + row for row in group.leave(kept)]
            else:
                group.keep(kept)
                order += [start + row for row in kept]
            start = end
        self.groups = [group for group in self.groups if group.rows]
        return order

    def rearrange(self, rows: Sequence[int], columns: int | None) -> None:
        """Each place takes the row that `rows` names for it, as Group.rearrange. Rows stay in their group and order."""
        start = 0
        for group in self.groups:
            end = start + group.rows
            group.rearrange([row - start for row in rows if start <= row < end], columns)
            start = end
        self.groups = [group for group in self.groups if group.rows]

    def take_in(self, newcomer: Group) -> int:
        """Puts a row that has been read beside rows of similar width. Returns its place among all rows."""
        with_room = [group for group in self.groups if group.rows < GROUP]
        best = min(with_room, key=lambda group: abs(group.width - newcomer.width), default=None)
        far = best is None or (abs(best.width - newcomer.width) > MOST_GAP and len(self.groups) < FEW_GROUPS)
        if best is None or far:
            self.groups.append(newcomer)
            return self.count - 1
        best.take_in(newcomer)
        return sum(group.rows for group in self.groups[: self.groups.index(best) + 1]) - 1


def group_of(lengths: Sequence[int], dtype: torch.dtype) -> Group:
    width = max(lengths)
    hidden = torch.zeros(len(lengths), 1, 1, width + BLOCK, dtype=dtype)
    for row, length in enumerate(lengths):
        hidden[row, ..., : width - length] = float("-inf")
    return Group([width - length for length in lengths], width, hidden)
