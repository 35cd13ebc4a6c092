"""Decoding rows of unlike length together, without padding between them.

A batch of prompts is a few long rows and many short ones. Padded to the longest, a third of what is computed and a
third of the keys and values that every new token reads are padding. Here the tokens of all rows stand in one sequence
and only attention knows which belong together:

    reading    input_ids (1, N) = [row 1][row 2]...      a whole row attends to what all rows begin with and to itself
    writing    input_ids (1, B) = one token of each open row

What all rows begin with (a learned prompt, a system message, shots) is read once, and its keys and values stand in
memory once: every row's queries meet them in one product (Juravsky et al. 2024, "Hydragen", section 3). A row's own
keys and values lie beside those of rows of like length, aligned at their ends, so that the next token of all of them
is one column. Nothing is approximated; `supported` runs a model both ways before it is used. 48 dialogues take a
quarter less time than padded to one length (docs/log.md).

    shapes: N tokens of all rows, B rows, R rows of a group, S keys of a group, P shared keys, H heads, K key heads,
            G = H / K, E width of a head
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from luthier.loss import positions_only
from luthier.model import Model
from luthier.packing import causal_attention, refuse_unlike, shared_length

NAME = "luthier-ragged"  # under which transformers finds `attention`
GROUP = 16  # rows whose keys stand together: fewer waste less on padding, more cost fewer calls
READ_TOKENS = 2048  # tokens that are read at once: from 512 to 4,096 all take the same time (docs/log.md)
BLOCK = 64  # columns by which the room for new tokens grows
_HIDDEN = float("-inf")
Learned = Sequence[tuple[Tensor, Tensor]]

_ROWS: ContextVar[Rows] = ContextVar("rows")
_SUPPORTED: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@dataclass
class _Memory:
    """Keys and values of one attention layer; keys lie transposed, as the product of a decoding step wants them."""

    shared_keys_KEP: Tensor
    shared_values_KPE: Tensor
    keys_RKES: list[Tensor]  # one tensor a group
    values_RKSE: list[Tensor]

    def share(self, keys_KPE: Tensor, values_KPE: Tensor) -> None:
        """More of what all rows begin with."""
        self.shared_keys_KEP = torch.cat([self.shared_keys_KEP, keys_KPE.transpose(1, 2)], 2)
        self.shared_values_KPE = torch.cat([self.shared_values_KPE, values_KPE], 1)


@dataclass
class _Group:
    """Rows that end in the same column: how many, and which of their columns are no tokens of theirs."""

    rows: int
    width: int  # columns in use
    hidden_R11S: Tensor  # added to scores; as wide as the room


class Rows:
    """A batch of rows while they are read and written: the groups, and each attention layer's memory of them.

    `lengths` are the rows' own tokens, what all share left out; neighbours should be of like length. `learned` holds
    for each layer the keys and values (K, tokens, E) that stand before everything, if a prefix was learned.
    """

    def __init__(self, lengths: Sequence[int], dtype: torch.dtype, learned: Learned | None = None) -> None:
        self.lengths, self.learned = list(lengths), learned
        self.reading: range | None = range(0)  # the rows whose tokens are given; empty: the beginning; None: writing
        self.memory: dict[nn.Module, _Memory] = {}
        self.groups = [_group(lengths[i : i + GROUP], dtype) for i in range(0, len(lengths), GROUP)]

    def of(self, layer: Any, like_1KNE: Tensor) -> _Memory:
        """The layer's memory, with room for every group's columns."""
        if layer not in self.memory:
            heads, width = like_1KNE.shape[1], like_1KNE.shape[3]
            rooms = [(group.rows, group.hidden_R11S.shape[-1]) for group in self.groups]
            self.memory[layer] = memory = _Memory(
                like_1KNE.new_zeros(heads, width, 0),
                like_1KNE.new_zeros(heads, 0, width),
                [like_1KNE.new_zeros(rows, heads, width, room) for rows, room in rooms],
                [like_1KNE.new_zeros(rows, heads, room, width) for rows, room in rooms],
            )
            if self.learned is not None:
                memory.share(*(states.to(like_1KNE) for states in self.learned[layer.layer_idx]))
        return self.memory[layer]

    def next_column(self) -> None:
        """Room for one more token of every row."""
        for place, group in enumerate(self.groups):
            if group.width == group.hidden_R11S.shape[-1]:
                group.hidden_R11S = nn.functional.pad(group.hidden_R11S, (0, BLOCK))
                for memory in self.memory.values():
                    memory.keys_RKES[place] = nn.functional.pad(memory.keys_RKES[place], (0, BLOCK))
                    memory.values_RKSE[place] = nn.functional.pad(memory.values_RKSE[place], (0, 0, 0, BLOCK))
            group.width += 1

    def keep(self, rows: Sequence[int]) -> None:
        """Forgets all rows but these, which are given in their order."""
        wanted, start, groups = set(rows), 0, []
        for place, group in enumerate(self.groups):
            kept = [row - start for row in range(start, start + group.rows) if row in wanted]
            start += group.rows
            if len(kept) < group.rows:
                index = torch.tensor(kept, dtype=torch.long)
                group.rows, group.hidden_R11S = len(kept), group.hidden_R11S[index]
                for memory in self.memory.values():
                    memory.keys_RKES[place] = memory.keys_RKES[place][index]
                    memory.values_RKSE[place] = memory.values_RKSE[place][index]
            groups.append(group)
        filled = [place for place, group in enumerate(groups) if group.rows]
        self.groups = [groups[place] for place in filled]
        for memory in self.memory.values():
            memory.keys_RKES = [memory.keys_RKES[place] for place in filled]
            memory.values_RKSE = [memory.values_RKSE[place] for place in filled]


def _group(lengths: Sequence[int], dtype: torch.dtype) -> _Group:
    width = max(lengths)
    hidden = torch.zeros(len(lengths), 1, 1, width + BLOCK, dtype=dtype)
    for row, length in enumerate(lengths):
        hidden[row, ..., : width - length] = _HIDDEN
    return _Group(len(lengths), width, hidden)


# ---------------------------------------------------------------------------------------------------- attention


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, **how: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: query (1, H, N, E), key and value with K heads -> (1, N, H, E)."""
    refuse_unlike(how)
    rows = _ROWS.get()
    memory, scale = rows.of(module, key), how.get("scaling") or query.shape[-1] ** -0.5
    if rows.reading is None:
        return _write(rows.groups, memory, query, key, value, scale), None
    if rows.reading:
        return _read(rows, memory, query, key, value, scale), None
    outputs = _behind(memory, query, key, value, scale)
    memory.share(key[0], value[0])
    return outputs.transpose(1, 2), None


def _behind(memory: _Memory, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """One row (1, H, T, E) attends to what all rows begin with and to itself."""
    keys = torch.cat([memory.shared_keys_KEP.transpose(1, 2)[None], key], 2)
    values = torch.cat([memory.shared_values_KPE[None], value], 2)
    return causal_attention(query, keys, values, scale)


def _read(rows: Rows, memory: _Memory, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Whole rows, one behind the other; their keys and values go to their places at the end of their group's."""
    start, outputs = 0, []
    for row in rows.reading or ():
        own = slice(start, start + rows.lengths[row])
        start = own.stop
        outputs.append(_behind(memory, query[:, :, own], key[:, :, own], value[:, :, own], scale))
        group, place = divmod(row, GROUP)
        columns = slice(rows.groups[group].width - rows.lengths[row], rows.groups[group].width)
        memory.keys_RKES[group][place, :, :, columns] = key[0, :, own].transpose(1, 2)
        memory.values_RKSE[group][place, :, columns] = value[0, :, own]
    return torch.cat(outputs, 2).transpose(1, 2)


def _write(
    groups: Sequence[_Group], memory: _Memory, query: Tensor, key: Tensor, value: Tensor, scale: float
) -> Tensor:
    """One token of every row: (1, H, B, E) -> (1, B, H, E)."""
    start, key_heads = 0, key.shape[1]
    query_BKGE = query[0].unflatten(0, (key_heads, -1)).permute(2, 0, 1, 3) * scale
    key_BKE, value_BKE = key[0].transpose(0, 1), value[0].transpose(0, 1)
    outputs = []
    for place, group in enumerate(groups):
        here = slice(start, start + group.rows)
        start = here.stop
        memory.keys_RKES[place][..., group.width - 1] = key_BKE[here]
        memory.values_RKSE[place][:, :, group.width - 1] = value_BKE[here]
        outputs.append(_mixed(memory, place, group, query_BKGE[here]))
    return torch.cat(outputs).flatten(1, 2)[None]


def _mixed(memory: _Memory, place: int, group: _Group, query_RKGE: Tensor) -> Tensor:
    """The values of a group's rows, mixed by what the queries find among shared and own keys: one softmax for both."""
    keys, values = memory.keys_RKES[place][..., : group.width], memory.values_RKSE[place][:, :, : group.width]
    scores_RKGS = (query_RKGE @ keys).add_(group.hidden_R11S[..., : group.width])
    shared = memory.shared_keys_KEP.shape[-1]
    if not shared:
        return scores_RKGS.softmax(-1) @ values
    shared_RKGP = _together(query_RKGE, memory.shared_keys_KEP)
    weights = torch.cat([shared_RKGP, scores_RKGS], -1).softmax(-1)
    return weights[..., shared:] @ values + _together(weights[..., :shared], memory.shared_values_KPE)


def _together(x_RKGE: Tensor, y_KEP: Tensor) -> Tensor:
    """x y for all rows in one product of each key head -> (R, K, G, P)."""
    rows, heads, grouped, _ = x_RKGE.shape
    product = x_RKGE.transpose(0, 1).flatten(1, 2) @ y_KEP
    return product.view(heads, rows, grouped, -1).transpose(0, 1)


ALL_ATTENTION_FUNCTIONS.register(NAME, attention)


@contextlib.contextmanager
def _understood(module: Any, rows: Rows) -> Iterator[None]:
    """Inside, the model's attention knows which of its tokens belong to which row."""
    config, token = module.config, _ROWS.set(rows)
    usual, config._attn_implementation = config._attn_implementation, NAME
    try:
        yield
    finally:
        config._attn_implementation = usual
        _ROWS.reset(token)


# ------------------------------------------------------------------------------------------------------ decoder


class RaggedDecoder:
    """A causal model in front of a batch of prompts: `start` reads them, each `step` writes a token of every row."""

    def __init__(self, model: Model, prompts: Sequence[Sequence[int]], least: int = 16) -> None:
        """A beginning that is shared is read apart where it has `least` tokens: shorter ones do not pay."""
        self.model, self.module = model, _any(model.module)
        shared = shared_length(prompts)
        self.shared = prompts[0][: shared if shared >= least else 0]
        self.own = [prompt[len(self.shared) :] for prompt in prompts]
        self.rows = Rows([len(ids) for ids in self.own], self.module.dtype, model.prefix_states)
        learned = 0 if model.prefix_states is None else model.prefix_states[0][0].shape[-2]
        self.begun = learned + len(self.shared) + (0 if model.prefix is None else len(model.prefix))
        self.position_B = torch.tensor([self.begun + len(ids) for ids in self.own])

    def start(self) -> Tensor:
        """Logits (B, V) behind each prompt."""
        embed = self.module.get_input_embeddings()
        learned = [] if self.model.prefix is None else [self.model.prefix]
        shared = [embed(torch.tensor(self.shared))] if self.shared else []
        if beginning := [part.to(self.module.dtype) for part in [*learned, *shared]]:
            embeds_1PD = torch.cat(beginning)[None]
            places = torch.arange(self.begun - embeds_1PD.shape[1], self.begun)
            self._forward([-1], places, inputs_embeds=embeds_1PD)
        logits = []
        for reading in _portions(self.rows.lengths):
            self.rows.reading = reading
            lengths = [self.rows.lengths[row] for row in reading]
            places = torch.cat([torch.arange(self.begun, self.begun + length) for length in lengths])
            ends = (torch.tensor(lengths).cumsum(0) - 1).tolist()
            ids = torch.tensor([[token for row in reading for token in self.own[row]]])
            logits.append(self._forward(ends, places, input_ids=ids))
        self.rows.reading = None
        return torch.cat(logits)

    def step(self, tokens_B: Tensor) -> Tensor:
        """Logits (B, V) behind one more token of each row."""
        self.rows.next_column()
        places, self.position_B = self.position_B, self.position_B + 1
        return self._forward(list(range(len(tokens_B))), places, input_ids=tokens_B[None])

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows alone."""
        self.rows.keep(rows.tolist())
        self.position_B = self.position_B[rows]

    def _forward(self, positions: list[int], places: Tensor, **inputs: Tensor) -> Tensor:
        """Logits (len(positions), V) at these positions of the sequence; `places` are the tokens' own in their rows."""
        with _understood(self.module, self.rows), positions_only(self.module, lambda hidden: hidden[:, positions]):
            return self.module(position_ids=places[None], use_cache=False, **inputs).logits[0]


def _any(module: nn.Module) -> Any:
    """The transformers module; mypy sees Any because every architecture has its own class."""
    return module


def _portions(lengths: Sequence[int]) -> list[range]:
    """Neighbouring rows that are read at once: READ_TOKENS together, or a single longer one."""
    portions, start, tokens = [], 0, 0
    for row, length in enumerate(lengths):
        if row > start and tokens + length > READ_TOKENS:
            portions.append(range(start, row))
            start, tokens = row, 0
        tokens += length
    return [*portions, range(start, len(lengths))]


def supported(model: Model) -> bool:
    """Whether this model says the same to rows in one sequence; tried once with two short rows.

    Only on a processor: a GPU has attention of its own for padded rows. A model that wants a cache of another kind
    (sliding windows, recurrent states) reads padded rows too.
    """
    module = _any(model.module)
    if module not in _SUPPORTED:
        _SUPPORTED[module] = _may(module) and _same_logits(replace(model, prefix=None, prefix_states=None))
    return _SUPPORTED[module]


def _may(module: Any) -> bool:
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=module.config).layers)
    known = getattr(module.config, "_attn_implementation", None) == "sdpa"
    return plain and known and next(module.parameters()).device.type == "cpu"


@torch.inference_mode()
def _same_logits(model: Model) -> bool:
    rows, then = [[1, 2, 3, 4, 5], [1, 2, 3, 8, 9, 10, 11]], [6, 7]
    try:
        usual = [model.module(torch.tensor([row]), use_cache=False).logits[0, -1] for row in rows]
        longer = [[*row, token] for row, token in zip(rows, then, strict=True)]
        usual += [model.module(torch.tensor([row]), use_cache=False).logits[0, -1] for row in longer]
        decoder = RaggedDecoder(model, rows, least=2)
        ours = torch.cat([decoder.start(), decoder.step(torch.tensor(then))])
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError):
        return False  # another interface than the one that is meant
    return _alike(ours.float(), torch.stack(usual).float(), module=model.module)


def _alike(ours_BV: Tensor, usual_BV: Tensor, module: Any) -> bool:
    """Equal but for rounding. A wrong layout gives other logits altogether: a difference of their own length."""
    if getattr(module, "is_quantized", False):
        # Rounded activations turn a difference in the last digit into a step of the rounding, layer after layer.
        return bool((ours_BV - usual_BV).norm() <= 0.3 * usual_BV.norm())
    tolerance = 3e-2 if next(module.parameters()).dtype.itemsize == 2 else 1e-3
    return bool((ours_BV - usual_BV).abs().max() <= tolerance * usual_BV.abs().max())
