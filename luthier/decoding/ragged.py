"""Decoding rows of different length together, without padding between them.

Most batches have a few long rows and many short ones, so padding to the longest wastes computation and memory
(docs/log.md). Here the tokens of all rows stand in one sequence, and only attention knows which belong together:

    reading    input_ids (1, N) = [row 1][row 2]...      a row attends to the shared beginning and to itself
    writing    input_ids (1, B) = one token of each open row; of a single row the next few (1, T)
    both       input_ids (1, B + N) = one token of each open row, then parts of rows that joined

The shared beginning (a learned prompt, a system message, shots) is read once, and memory holds its keys and values
once. Every row's queries meet them in one product (Juravsky et al. 2024, "Hydragen", section 3). A row's own keys and
values lie beside those of rows of similar length, aligned at their ends, so that the next token of all of them is one
column. The method is exact; `supported` compares its logits with the usual ones before the first use.

A decoder that is made with a `beginning` lets rows join while others are written. `step_and_read` reads their prompts
in pieces, in the passes that write the others, and puts each row that is read into a group with room. What a newcomer
has in common with an open row, such as a system message, is copied and not read again.

    shapes: N tokens of all rows, B rows, R rows of a group, S keys of a group, P shared keys, H heads, K key heads,
            G = H / K, E width of a head, T next tokens of a row
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from luthier.decoding.rows import Group, Phase, Rows, Span, group_of
from luthier.model.attention import Trials, attending, causal_attention, is_ready, keeps_every_token, refuse_unlike
from luthier.model.exact import as_alone, trial_tokens
from luthier.model.logits import positions_only
from luthier.model.model import Model
from luthier.planning.budget import PASS_TOKENS
from luthier.task.prompt import shared_length

_TRIALS = Trials()
LEAST_SHARED = 16  # tokens; fewer are read again for each row
_NOTHING = torch.zeros(0, dtype=torch.long)


# ---------------------------------------------------------------------------------------------------- attention


def attention(
    rows: Rows, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, **how: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: query (1, H, N, E), key and value with K heads -> (1, N, H, E)."""
    refuse_unlike(how)
    phase = {Phase.BEGINNING: _begin, Phase.READING: _read, Phase.WRITING: _write, Phase.BOTH: _both}[rows.phase]
    scale = how.get("scaling") or query.shape[-1] ** -0.5
    return phase(rows, module, query, key, value, scale), None


def _begin(rows: Rows, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The shared beginning attends to itself; its keys and values are kept once for all rows."""
    keys_KEP, values_KPE = rows.beginning(module, key)
    rows.shared[module] = torch.cat([keys_KEP, key[0].transpose(1, 2)], 2), torch.cat([values_KPE, value[0]], 1)
    return _causal(query, (keys_KEP, values_KPE), key, value, scale).transpose(1, 2)


def _causal(query: Tensor, before: tuple[Tensor, Tensor], key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Tokens of one row (1, H, T, E) attend to all `before` them and causally to themselves."""
    keys = torch.cat([before[0].transpose(1, 2)[None], key], 2)
    return causal_attention(query, keys, torch.cat([before[1][None], value], 2), scale)


def _read(rows: Rows, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Rows, or parts of them, attend; their keys and values go to the last columns of their group."""
    beginning, at, outputs = rows.beginning(module, key), 0, []
    for span in rows.reading:
        own = slice(at, at + span.end - span.start)
        at, before = own.stop, beginning
        keys_RKES, values_RKSE = span.group.of(module, key)
        first = keys_RKES.shape[-1] - span.length
        here = slice(first + span.start, first + span.end)
        if span.start:
            earlier = slice(first, here.start)
            before = (
                torch.cat([beginning[0], keys_RKES[span.index, ..., earlier]], 2),
                torch.cat([beginning[1], values_RKSE[span.index, :, earlier]], 1),
            )
        outputs.append(_causal(query[:, :, own], before, key[:, :, own], value[:, :, own], scale))
        keys_RKES[span.index, ..., here] = key[0, :, own].transpose(1, 2)
        values_RKSE[span.index, :, here] = value[0, :, own]
    return torch.cat(outputs, 2).transpose(1, 2)


def _write(rows: Rows, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """The next T tokens of every row, one behind the other: (1, H, B T, E) -> (1, B T, H, E)."""
    beginning, start, outputs = rows.beginning(module, key), 0, []
    grouped, count = query.shape[1] // key.shape[1], query.shape[2] // rows.count
    query_BKTGE = (query[0] * scale).unflatten(1, (-1, count)).unflatten(0, (-1, grouped)).permute(2, 0, 3, 1, 4)
    key_BKTE, value_BKTE = (x[0].unflatten(1, (-1, count)).transpose(0, 1) for x in (key, value))
    for group in rows.groups:
        here = slice(start, start + group.rows)
        start = here.stop
        keys_RKES, values_RKSE = group.of(module, key)
        keys_RKES[..., -count:], values_RKSE[:, :, -count:] = key_BKTE[here].mT, value_BKTE[here]
        hidden = group.hidden
        if count > 1:  # each token sees those before it and itself
            later_TS = torch.full((count, group.width), float("-inf"), dtype=hidden.dtype).triu(group.width - count + 1)
            hidden = hidden + later_TS.repeat_interleave(grouped, 0)
        mixed = _mixed(query_BKTGE[here].flatten(2, 3), beginning, keys_RKES, values_RKSE, hidden)
        outputs.append(mixed.unflatten(2, (count, grouped)).transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs).flatten(1, 2)[None]


def _both(rows: Rows, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """`_write` of the first tokens, one of each open row, and `_read` of those behind them."""
    count = rows.count
    written = _write(rows, module, query[:, :, :count], key[:, :, :count], value[:, :, :count], scale)
    read = _read(rows, module, query[:, :, count:], key[:, :, count:], value[:, :, count:], scale)
    return torch.cat([written, read], 1)


def _mixed(
    query_RKGE: Tensor, beginning: tuple[Tensor, Tensor], keys_RKES: Tensor, values_RKSE: Tensor, hidden_R1GS: Tensor
) -> Tensor:
    """Attention of a group's queries over shared and own keys, with one softmax over both -> (R, K, G, E).

    Scores are fp32, as where rows are read.
    """
    scored_in, kind = torch.promote_types(query_RKGE.dtype, torch.float32), values_RKSE.dtype
    query_RKGE = query_RKGE.to(scored_in)
    scores_RKGS = (query_RKGE @ keys_RKES.to(scored_in)).add_(hidden_R1GS)
    shared_keys_KEP, shared_values_KPE = beginning
    shared = shared_keys_KEP.shape[-1]
    if not shared:
        return scores_RKGS.softmax(-1).to(kind) @ values_RKSE
    scores_RKGP = _product_with_shared(query_RKGE, shared_keys_KEP.to(scored_in))
    weights = torch.cat([scores_RKGP, scores_RKGS], -1).softmax(-1).to(kind)
    return weights[..., shared:] @ values_RKSE + _product_with_shared(weights[..., :shared], shared_values_KPE)


def _product_with_shared(x_RKGE: Tensor, y_KEP: Tensor) -> Tensor:
    """x y, one product for each key head over all rows -> (R, K, G, P)."""
    rows, heads, grouped, _ = x_RKGE.shape
    product = x_RKGE.transpose(0, 1).flatten(1, 2) @ y_KEP
    return product.view(heads, rows, grouped, -1).transpose(0, 1)


# ------------------------------------------------------------------------------------------------------ decoder


@dataclass
class _Arrival:
    """A row that joined: its own tokens, and how many of them have been read."""

    tokens: Sequence[int]
    group: Group
    read: int = 0


class RaggedDecoder:
    """A causal model that answers a batch of prompts. `start` reads them, each `step` takes a token of every row."""

    def __init__(
        self,
        model: Model,
        prompts: Sequence[Sequence[int]],
        least: int = LEAST_SHARED,
        beginning: Sequence[int] | None = None,
    ) -> None:
        """A shared beginning is read apart if it has at least `least` tokens.

        `beginning` is what all prompts begin with, and all that `join` later; None: none joins.
        """
        self.model = model
        self.module: Any = model.module
        shared = shared_length(prompts)
        self.joins = beginning is not None
        self.shared = beginning if beginning is not None else prompts[0][: shared if shared >= least else 0]
        self.own = [prompt[len(self.shared) :] for prompt in prompts]  # of each open row, without its answer
        self.rows = Rows([len(ids) for ids in self.own], model.dtype, model.prefix_states)
        self.arrivals: list[_Arrival] = []
        learned = 0 if model.prefix_states is None else model.prefix_states[0][0].shape[-2]
        self.common_length = learned + len(self.shared) + (0 if model.prefix is None else len(model.prefix))
        self.position_B = torch.tensor([self.common_length + len(ids) for ids in self.own], dtype=torch.long)

    def start(self) -> Tensor:
        """Logits (B, V) behind each prompt."""
        self.read_beginning()
        logits = []
        for portion in _portions(self.rows.lengths):
            logits.append(self._read(self.rows.spans(portion), [self.own[row] for row in portion]))
        return torch.cat(logits)

    def read_beginning(self) -> None:
        """Reads what all rows begin with."""
        embed = self.module.get_input_embeddings()
        learned = [] if self.model.prefix is None else [self.model.prefix]
        shared = [embed(torch.tensor(self.shared))] if self.shared else []
        if beginning := [part.to(self.module.dtype) for part in [*learned, *shared]]:
            embeds_1PD = torch.cat(beginning)[None]
            positions = torch.arange(self.common_length - embeds_1PD.shape[1], self.common_length)
            self._forward([-1], positions, inputs_embeds=embeds_1PD)

    def join(self, prompt: Sequence[int]) -> None:
        """One more row, for `step_and_read`. It has the decoder's beginning and at least one token behind it."""
        own = prompt[len(self.shared) :]
        self.arrivals.append(_Arrival(own, group_of([len(own)], self.model.dtype)))

    def step_and_read(self, tokens_B: Tensor, most: int) -> tuple[Tensor, list[int], Tensor]:
        """`step`, and in the same pass at most `most` tokens of the rows that joined are read, in their order.

        Returns logits (B, V) of the open rows; the place of each row that is read to its end: its index when it and
        those before it are inserted one after the other; and logits (R, V) behind those.
        """
        spans, tokens = list[Span](), list[Sequence[int]]()
        for arrival in self.arrivals:
            if not most:
                break
            if not arrival.read:
                arrival.read = self._copied(arrival)
            part = arrival.tokens[arrival.read : arrival.read + most]
            spans.append(Span(arrival.group, 0, arrival.read, arrival.read + len(part), len(arrival.tokens)))
            tokens.append(part)
            arrival.read += len(part)
            most -= len(part)
        done = [arrival for arrival in self.arrivals if arrival.read == len(arrival.tokens)]
        logits = self._read(spans, tokens, tokens_B)
        self.arrivals = self.arrivals[len(done) :]
        return logits[: len(tokens_B)], self._take_in(done), logits[len(tokens_B) :][: len(done)]

    def _copied(self, arrival: _Arrival) -> int:
        """How many first tokens of this row are those of an open row, whose keys and values it takes."""
        lengths = [shared_length([tokens, arrival.tokens]) for tokens in self.own]
        count = max(lengths, default=0)
        if count < LEAST_SHARED:
            return 0
        group, index = self.rows.group_at(lengths.index(count))
        theirs = slice(group.starts[index], group.starts[index] + count)
        for layer, (keys, values) in group.held.items():
            own_keys, own_values = arrival.group.of(layer, values)
            own_keys[0, ..., :count], own_values[0, :, :count] = keys[index, ..., theirs], values[index, :, theirs]
        return count

    def _take_in(self, done: Sequence[_Arrival]) -> list[int]:
        """The places of these rows, which have been read."""
        places = []
        for arrival in done:
            places.append(self.rows.take_in(arrival.group))
            self.own.insert(places[-1], arrival.tokens)
            position = torch.tensor([self.common_length + len(arrival.tokens)])
            before, after = self.position_B[: places[-1]], self.position_B[places[-1] :]
            self.position_B = torch.cat([before, position, after])
        return places

    def forget(self, arrival: int) -> None:
        """Forgets a row that joined and is not read to its end, by its place among them."""
        del self.arrivals[arrival]

    def _read(self, spans: list[Span], tokens: Sequence[Sequence[int]], tokens_B: Tensor | None = None) -> Tensor:
        """Logits (B + R, V) behind one more token of each row, if they are given, and behind the last of each span."""
        written, positions_B = (0, _NOTHING) if tokens_B is None else (len(tokens_B), self._next_positions())
        self.rows.phase, self.rows.reading = Phase.BOTH if written else Phase.READING, spans
        first = self.common_length
        positions = [torch.arange(first + span.start, first + span.end) for span in spans]
        ends = (torch.tensor([len(part) for part in tokens]).cumsum(0) - 1 + written).tolist()
        ids = torch.tensor([token for part in tokens for token in part])
        ids = torch.cat([_NOTHING if tokens_B is None else tokens_B, ids])
        logits = self._forward([*range(written), *ends], torch.cat([positions_B, *positions]), input_ids=ids[None])
        self.rows.phase = Phase.WRITING
        return logits

    def _next_positions(self) -> Tensor:
        """The positions (B,) of one more token of each row, for which columns are added."""
        for group in self.rows.groups:
            group.next_columns(1)
        positions, self.position_B = self.position_B, self.position_B + 1
        return positions

    def step(self, tokens_B: Tensor) -> Tensor:
        """Logits (B, V) behind one more token of each row."""
        return self._forward(list(range(len(tokens_B))), self._next_positions(), input_ids=tokens_B[None])

    def read_on(self, tokens: list[int]) -> Tensor:
        """Logits (T, V) behind each of T more tokens of the only row."""
        (group,), count = self.rows.groups, len(tokens)
        group.next_columns(count)
        positions, self.position_B = self.position_B + torch.arange(count), self.position_B + count
        return self._forward(list(range(count)), positions, input_ids=torch.tensor([tokens]))

    def take_back(self, count: int) -> None:
        """Forgets the last `count` tokens of the only row."""
        (group,) = self.rows.groups
        group.end -= count
        self.position_B = self.position_B - count

    def keep(self, rows: Tensor) -> list[int]:
        """Keeps these rows and forgets the others. Returns which row stands at each place now."""
        order = self.rows.keep(rows.tolist(), in_place=self.joins)
        self.position_B, self.own = self.position_B[order], [self.own[row] for row in order]
        return order

    def rearrange(self, rows: Tensor, columns: int | None = None) -> None:
        """Each place takes the row that `rows` names for it: neighbours that come of one prompt change places.

        A row may be taken several times, or not at all. `columns`: how many tokens were written since they were one.
        """
        self.rows.rearrange(rows.tolist(), columns)
        self.position_B, self.own = self.position_B[rows], [self.own[row] for row in rows.tolist()]

    def _forward(self, selected: list[int], position_ids: Tensor, **inputs: Tensor) -> Tensor:
        """Logits (len(selected), V) at these indices of the sequence; `position_ids` count in each token's own row."""
        with attending(partial(attention, self.rows)), positions_only(self.module, lambda hidden: hidden[:, selected]):
            return self.module(position_ids=position_ids[None], use_cache=False, **inputs).logits[0]


def _portions(lengths: Sequence[int]) -> list[range]:
    """Neighbouring rows that are read in one pass: at most PASS_TOKENS together, or a single longer one."""
    portions, start, tokens = [], 0, 0
    for row, length in enumerate(lengths):
        if row > start and tokens + length > PASS_TOKENS:
            portions.append(range(start, row))
            start, tokens = row, 0
        tokens += length
    return [*portions, range(start, len(lengths))]


def supported(model: Model) -> bool:
    """Whether this model gives the usual logits for rows in one sequence. The first call tries two short rows.

    False on a GPU, which has fast attention for padded rows, and for a model with another kind of cache (sliding
    windows, recurrent states).
    """
    plain = replace(model, prefix=None, prefix_states=None)
    return is_eligible(model.module) and _TRIALS.passed(
        model.module, lambda module: _same_logits(replace(plain, module=module))
    )


def is_eligible(module: Any) -> bool:
    """Whether a model keeps plain keys and values of every token, and lets a call choose its attention."""
    return keeps_every_token(module) and is_ready(module) and next(module.parameters()).device.type == "cpu"


@torch.no_grad()  # and not inference mode, in which a view of a widened weight cannot be made
def _same_logits(model: Model) -> bool:
    module: Any = model.module
    one, two, three, *others = trial_tokens(module.config.get_text_config(decoder=True).vocab_size, range(1, 12))
    rows, next_tokens = [[one, two, three, *others[:2]], [one, two, three, *others[4:]]], others[2:4]
    longer = [[*row, token] for row, token in zip(rows, next_tokens, strict=True)]

    def usual_BV() -> Tensor:
        return torch.stack([module(torch.tensor([row]), use_cache=False).logits[0, -1] for row in (*rows, *longer)])

    decoder = RaggedDecoder(model, rows, least=2)
    ours_BV = torch.cat([decoder.start(), decoder.step(torch.tensor(next_tokens))])
    return as_alone(module, ours_BV, usual_BV(), usual_BV)
