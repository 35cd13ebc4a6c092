"""What one forward pass keeps for the backward pass, in bytes, by reason.

Each operation keeps what its gradient needs (the rules stand beside it), and each tensor counts once. Where no gradient
flows, below the first weight that trains, nothing is kept. Recomputation keeps each block's input alone and the inside
of one block (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").

    a row has T tokens; a batch B rows; D width, F inner width, H heads, K key heads, E width of a head, V vocabulary
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from luthier.model.sizes import MOST_KEYS, query_blocks
from luthier.planning.moving import Moving
from luthier.planning.passes import Pass, Rows
from luthier.planning.shape import Attention, Block, Layer, Shape

# Tensors of the inner width that an activation keeps: one for PyTorch's own, several for one written in Python.
ACTIVATION_KEEPS = {"gelu_new": 4, "gelu_fast": 4}


@dataclass
class Kept:
    """Bytes by reason."""

    bytes: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, count: float) -> None:
        if count:
            self.bytes[reason] += int(count)

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


def kept(shape: Shape, moving: Moving, rows: Rows, how: Pass) -> Counter[str]:
    """Bytes that a forward pass over `rows` keeps, by reason. Nothing where nothing trains."""
    if not moving.trains:
        return Counter()
    walk = _Walk(shape, moving, rows, how)
    return walk.run()


def flows_into_blocks(shape: Shape, moving: Moving) -> bool:
    """Whether the first block's input needs a gradient: embeddings train, or a prompt is learned."""
    ends = [layer.path for layer in shape.outside if layer.path != shape.output and not shape.in_head(layer)]
    before = [path for path in ends if "final" not in path and not path.endswith((".norm", ".ln_f"))]
    tokens = any(one.kind == "tokens" for one in moving.additions)
    return bool(moving.virtual) or tokens or any(path in moving.weights | moving.biases for path in before)


@dataclass
class _Walk:
    """One pass from the embeddings to the loss; `flows` says whether the hidden state needs a gradient by now."""

    shape: Shape
    moving: Moving
    rows: Rows
    how: Pass
    flows: bool = False

    def run(self) -> Counter[str]:
        total: Counter[str] = Counter()
        shape, rows = self.shape, self.rows
        read = rows.padded + rows.count * self.moving.virtual
        self.flows = flows_into_blocks(shape, self.moving)
        if shape.family == "encoder-decoder":
            total += self._stack(shape.reading, read, read // max(rows.count, 1), read)
            below, self.flows = self.flows, flows_into_blocks(shape, self.moving) and not self.moving.virtual
            total += self._stack(shape.writing, rows.count * rows.written, rows.written, read, source_flows=below)
            seen = rows.count * rows.written
        else:
            total += self._stack(shape.writing, read, rows.read + self.moving.virtual, read)
            seen = read
        total += self._ends(seen)
        total += self._embeddings()
        return total

    def _embeddings(self) -> Counter[str]:
        """Sines and cosines of rotary positions; a copy of the embeddings in which some rows are learned."""
        out, shape, rows, number = Kept(), self.shape, self.rows, self.how.number
        core = shape.writing[-1].attentions[0]
        if core.positions == "rotary" and self.flows:
            positions = rows.padded if self.how.attention == "blocks" else rows.read + self.moving.virtual
            out.add("sines and cosines of positions", 2 * positions * core.head_width * number)
        if flows_into_blocks(shape, self.moving):
            stacks = [rows.padded + rows.count * self.moving.virtual]
            if shape.family == "encoder-decoder" and not self.moving.virtual:
                stacks.append(rows.count * rows.written)
            norms = [one for one in shape.outside if one.kind == "norm" and "embed" in one.path.lower()]
            for tokens in stacks:
                out.add("norms", tokens * self._norm_bytes(shape.width, True) if norms else 0)
                self._dropout(out, tokens * shape.width)
        if any(one.kind == "tokens" for one in self.moving.additions):
            out.add("embeddings with learned rows", shape.vocabulary * shape.width * number)
            if shape.is_tied:
                out.add("inputs of trained layers", rows.losses * shape.width * number)
        return out.bytes

    def _stack(
        self, blocks: list[Block], tokens: int, row: int, source: int, source_flows: bool = False
    ) -> Counter[str]:
        total: Counter[str] = Counter()
        inside: Counter[str] = Counter()
        known: dict[Hashable, tuple[Kept, bool]] = {}  # blocks that are alike and begin alike keep the same
        for number, block in enumerate(blocks):
            flowed = self.flows or source_flows
            alike = (self.shape.like[block.path], self._moved(block), self.flows)
            if alike not in known:
                known[alike] = self._block(block, tokens, row, source, source_flows), self.flows
            one, self.flows = known[alike]
            recomputed = self.how.recompute == "blocks" or (self.how.recompute != "none" and number % 2 == 0)
            if recomputed and (flowed or one.total):
                total["inputs of the blocks that are computed again"] += tokens * self.shape.width * self.how.number
                inside = max(inside, one.bytes, key=lambda kept: sum(kept.values()))
            else:
                total += one.bytes
        total["one block, computed again"] += sum(inside.values())
        return total

    # ------------------------------------------------------------------------------------------------- one block

    def _block(self, block: Block, tokens: int, row: int, source: int, source_flows: bool) -> Kept:
        out = Kept()
        cores = list(block.attentions)
        layers = list(block.layers)
        for core in cores:
            mine = [one for one in layers if _belongs(one, core, len(cores))]
            self._attention(out, block, core, mine, tokens, row, source, source_flows)
        feed = [one for one in layers if one.role in ("gate", "up", "down")]
        self._norms(out, block, tokens, self._norm_count(block) - len(cores))
        self._feed_forward(out, block, feed, tokens)
        return out

    def _moved(self, block: Block) -> Hashable:
        """What the method moves in a block and adds to it."""
        moving = self.moving
        return tuple(
            (one.path in moving.weights, one.path in moving.biases, beside and beside.placeless)
            for one in block.layers
            for beside in (moving.beside(one.path),)
        )

    def _norm_count(self, block: Block) -> int:
        return sum(1 for norm in block.norms if norm.outputs == self.shape.width)

    def _attention(
        self, out: Kept, block: Block, core: Attention, layers: list[Layer], tokens: int, row: int, source: int,
        source_flows: bool,
    ) -> None:  # fmt: skip
        entering = [one for one in layers if one.role in ("query", "key", "value", "qkv")]
        self._norms(out, block, tokens, 1)
        keys = source if core.cross else tokens
        own = [one for one in entering if not core.cross or one.role == "query"]
        self._inputs(out, own, tokens)
        if core.cross:
            self._inputs(out, [one for one in entering if one not in own], source)
        for one in entering:
            self._adapter(out, one, source if core.cross and one.role != "query" else tokens)
        if self._trains(entering) or (self.moving.prefix and block.stack == self.shape.writing[0].stack):
            self.flows = True
        if self.flows or (core.cross and source_flows):
            self._head_norms(out, block, tokens)
            self._core(out, core, tokens, row, keys)
            self.flows = True
        attended = [one for one in layers if one.role == "attended"]
        reads_kernel = self._kernel_of(core) in ("kernel", "masked")
        self._inputs(out, attended, tokens, kept_already=reads_kernel and self.flows)
        for one in attended:
            self._adapter(out, one, tokens)
        self.flows = self.flows or self._trains(attended)
        self._dropout(out, tokens * self.shape.width)

    def _kernel_of(self, core: Attention) -> str:
        """Which attention a block really runs."""
        if core.soft_capped or (self.shape.attention_dropout and self.how.on_cpu and self.how.attention != "blocks"):
            return "scores"
        if core.positions == "bias" and self.how.on_cpu:
            return "scores"
        return self.how.attention

    def _core(self, out: Kept, core: Attention, tokens: int, row: int, keys: int) -> None:
        """Queries, keys, values, and the probabilities where they are kept."""
        number, rows = self.how.number, self.rows
        value = core.value_width or core.head_width
        kernel, prefix = self._kernel_of(core), self.moving.prefix
        queries, key_tokens = tokens * core.query_width, keys
        seen = row if not core.cross else keys // max(rows.count, 1)
        if kernel == "blocks" and rows.shared:
            key_tokens = rows.shared + rows.count * row
        narrow = key_tokens * core.key_heads * (core.head_width + value)
        reason = "queries, keys and values"
        if kernel == "scores":
            probabilities = rows.count * core.heads * row * seen
            copies = 3 if self.shape.attention_dropout else 1
            out.add(reason, 4 * (queries + key_tokens * core.heads * (core.head_width + value)))
            out.add("attention's probabilities", 4 * copies * probabilities)
            return
        if kernel == "masked" or (prefix and not core.cross):
            wide = (key_tokens + rows.count * prefix) * core.heads * (core.head_width + value)
            out.add(reason, number * (queries + wide + queries) + 4 * tokens * core.heads)
            if prefix:
                out.add("attention's mask", number * rows.count * row * (row + prefix))
            return
        out.add(reason, number * (queries + narrow))
        if kernel == "blocks":
            if row <= MOST_KEYS:
                out.add("attention's probabilities", number * core.heads * _block_products(rows, row))
        else:
            out.add("attention's outputs", number * queries + 4 * tokens * core.heads)

    def _norms(self, out: Kept, block: Block, tokens: int, count: int) -> None:
        moves = any(norm.path in self.moving.weights for norm in block.norms)
        if self.flows or moves:
            out.add("norms", count * tokens * self._norm_bytes(self.shape.width, moves))
            self.flows = True

    def _head_norms(self, out: Kept, block: Block, tokens: int) -> None:
        for norm in block.norms:
            if norm.outputs != self.shape.width:
                core = block.attentions[0]
                heads = core.heads if norm.path.rpartition(".")[2].startswith("q") else core.key_heads
                out.add("norms", tokens * heads * self._norm_bytes(norm.outputs, norm.path in self.moving.weights))

    def _norm_bytes(self, width: int, moves: bool) -> int:
        """A fused RMS norm keeps what it scaled and a number; a plain one its input in fp32; a layer norm its input."""
        number = self.how.number
        if not self.shape.rms_norms:
            return width * number + 8
        if self.how.fused_norms:
            return width * number + 4
        return width * 4 + 4 + (width * number if moves else 0)

    def _feed_forward(self, out: Kept, block: Block, layers: list[Layer], tokens: int) -> None:
        """The activation keeps its input, a gate both factors; the last layer's input is kept where that adapts."""
        entering = [one for one in layers if one.role != "down"]
        self._inputs(out, entering, tokens)
        for one in entering:
            self._adapter(out, one, tokens)
        self.flows = self.flows or self._trains(entering)
        number, inner = self.how.number, tokens * block.inner
        if self.flows:
            plain = 0 if block.activation == "relu" else 1
            # A compiler keeps the products of gate and inner layer, and computes the activation from them again.
            tensors = ACTIVATION_KEEPS.get(block.activation, plain) if not self.how.compiled else plain
            tensors += (2 if not self.how.compiled else 1) if block.gated else 0
            tensors += 1 if self.shape.wide_linear and self.shape.dropout else 0  # T5 drops inner activations
            out.add("inner activations", tensors * inner * number)
        down = [one for one in layers if one.role == "down"]
        relu = self.flows and block.activation == "relu" and not block.gated
        self._inputs(out, down, tokens, kept_already=relu)
        if relu and not self._keeps_input(down):
            out.add("inner activations", inner * number)
        for one in down:
            self._adapter(out, one, tokens)
        self.flows = self.flows or self._trains(down)
        self._dropout(out, tokens * self.shape.width)

    def _dropout(self, out: Kept, numbers: int) -> None:
        """Dropout keeps its mask: a number each on a CPU, a byte each on a GPU."""
        if self.flows and self.shape.dropout:
            out.add("dropout", numbers * (self.how.number if self.how.on_cpu else 1))

    # ------------------------------------------------------------------------------- layers and what stands beside

    def _trains(self, layers: list[Layer]) -> bool:
        moving = self.moving
        return any(
            one.path in moving.weights or one.path in moving.biases or moving.beside(one.path) is not None
            for one in layers
        )

    def _keeps_input(self, layers: list[Layer]) -> bool:
        kinds = {beside.kind for one in layers if (beside := self.moving.beside(one.path))}
        return any(one.path in self.moving.weights for one in layers) or bool(kinds & {"lora", "dora"})

    def _inputs(self, out: Kept, layers: list[Layer], tokens: int, kept_already: bool = False) -> None:
        """The input that these layers share: kept for the gradient of a weight that multiplies it."""
        number = self.how.number
        trained = [one for one in layers if one.path in self.moving.weights]
        if trained and not kept_already:
            out.add("inputs of trained layers", tokens * trained[0].inputs * number)
            kept_already = True
        adapted = [one for one in layers if (b := self.moving.beside(one.path)) and b.kind in ("lora", "dora")]
        plain = [one for one in adapted if not self._is_cast(one)]
        if plain and not kept_already:
            out.add("inputs of adapted layers", tokens * plain[0].inputs * number)
        for one in adapted:
            if self._is_cast(one):
                out.add("inputs of adapted layers, in fp32", tokens * one.inputs * 4)
        if self.moving.width == "int8" and layers and self.flows and not (plain or kept_already):
            out.add("inputs of int8 layers", tokens * layers[0].inputs * number)

    def _is_cast(self, layer: Layer) -> bool:
        """Whether an adapter reads an fp32 copy of its input: its own weights are fp32, and the product is peft's."""
        beside = self.moving.beside(layer.path)
        fused = self.how.fused_lora and beside is not None and beside.kind == "lora" and not beside.frozen
        plain = layer.kind == "linear" and self.moving.width is None
        return self.how.number < 4 and self.how.casts_adapters and not (fused and plain)

    def _adapter(self, out: Kept, layer: Layer, tokens: int) -> None:
        """What an adapter keeps beside its input."""
        beside = self.moving.beside(layer.path)
        if beside is None:
            return
        number, reason = self.how.number, "inside of adapters"
        inner = 4 if self._is_cast(layer) else number
        if beside.kind in ("lora", "dora"):
            out.add(reason, tokens * beside.inner * inner)
            if not self._is_cast(layer) and number < 4:
                out.add("adapters in bf16", number * beside.trainable)
        if beside.kind == "dora":  # both summands are scaled by a learned length
            out.add(reason, tokens * layer.outputs * (number + inner))
        if beside.kind == "plain":  # reads its input where it is
            out.add(reason, tokens * beside.inner * number)
        if beside.kind == "scale":
            out.add(reason, tokens * layer.outputs * number)
        if beside.kind == "scaled input":
            out.add(reason, tokens * layer.inputs * 4)
        if beside.kind == "bottleneck":
            out.add(reason, tokens * 4 * (layer.outputs + 2 * beside.inner))

    def _ends(self, tokens: int) -> Counter[str]:
        """The last norm, and the loss: log-probabilities in fp32 at every position that has logits."""
        out, shape, how = Kept(), self.shape, self.how
        moves = any(layer.path in self.moving.weights for layer in shape.outside if layer.kind == "norm")
        has_last_norm = any(norm.path.endswith(("norm", "ln_f")) and "embed" not in norm.path for norm in shape.outside)
        if shape.family != "encoder" and has_last_norm and (self.flows or moves):
            out.add("norms", tokens * self._norm_bytes(shape.width, moves))
        if shape.family == "encoder":
            out.add("the head", self.rows.count * shape.width * 4 * 3)
            return out.bytes
        positions = tokens if how.all_logits else self.rows.losses
        out.add("log-probabilities", positions * shape.vocabulary * 4)
        output = shape.at(shape.output or "")
        if (output.tied_to or output.path) in self.moving.weights or self.moving.beside(output.path):
            out.add("inputs of trained layers", positions * shape.width * how.number)
        return out.bytes


def _belongs(layer: Layer, core: Attention, cores: int) -> bool:
    """Whether a layer of a block is part of this one of its attentions."""
    if layer.role not in ("query", "key", "value", "qkv", "attended"):
        return False
    crosses = "encoder_attn" in layer.path or "EncDecAttention" in layer.path
    return cores == 1 or crosses == core.cross


def _block_products(rows: Rows, row: int) -> int:
    """Probabilities that our attention keeps for one head: blocks of queries, each against the keys before its end."""

    def products(length: int, before: int) -> int:
        return sum((end - start) * (before + end) for start, end in query_blocks(length))

    if not rows.shared:
        return rows.count * products(row, 0)
    return products(rows.shared, 0) + rows.count * products(row - rows.shared, rows.shared)
