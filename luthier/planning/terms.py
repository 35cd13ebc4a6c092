"""The bytes of an arm, term by term, while it trains and while it answers: what luthier's own code holds.

The peak of a phase is the sum of its terms. Each term's reason is a sentence in words.py. For other tools' accounting
see trainer.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from luthier.defaults import BATCH
from luthier.model.sizes import NARROW
from luthier.planning import budget
from luthier.planning.cache import cache_layers, row_bytes, source_bytes, token_bytes
from luthier.planning.kept import kept
from luthier.planning.lengths import Lengths, Pair, longest_batch, micro_batches, rows_of
from luthier.planning.moving import Moving
from luthier.planning.passes import Pass, Rows, luthier_pass
from luthier.planning.shape import Shape
from luthier.planning.weights import PRECISION_BYTES, trained_module_bytes, weight_bytes

LAID_OUT_BLOCK = 512  # outputs: MKL fills a weight up to whole blocks of them (docs/log.md)


@dataclass(frozen=True)
class Setting:
    """Where and how an arm runs. `device` is 'cpu' or 'cuda'; `bound` the most bytes of the process, or None."""

    precision: str
    device: str = "cpu"
    batch_size: int = BATCH
    bound: float | None = None
    micro_tokens: int | None = None  # given by the arm; None: chosen
    width: str | None = None  # of the weights that answer
    answers: bool = True  # whether it writes texts, and so keeps keys and values
    sequences: int = 1  # that are written for one answer: beams, or samples
    kl: bool = False  # whether training asks a second base
    anchor: bool = False  # whether training keeps the start of what trains
    program_bytes: float = budget.PROGRAM_BYTES


@dataclass(frozen=True)
class Term:
    """Bytes with their name; a name has a sentence in words.py."""

    name: str
    bytes: float


def example_of(shape: Shape, moving: Moving, setting: Setting, pair: Pair) -> budget.Example:
    """One training example, with the bytes that its forward pass keeps. The walk over the shape happens when asked."""

    def bytes_kept(recompute: bool) -> float:
        how = luthier_pass(shape, moving, setting.precision, setting.device, recompute)
        found = _kept(shape, moving, setting, rows_of(shape, [pair]), how)
        return float(sum(value for name, value in found.items() if name != "one block, computed again"))

    return budget.Example(sum(pair), lambda: bytes_kept(False), lambda: bytes_kept(True))


def _kept(shape: Shape, moving: Moving, setting: Setting, rows: Rows, how: Pass) -> Counter[str]:
    """What a forward pass keeps. For kl the base's log-probabilities stand beside the model's."""
    found = kept(shape, moving, rows, how)
    return found + Counter({"log-probabilities": found["log-probabilities"]}) if setting.kl else found


def fixed_training(shape: Shape, moving: Moving, setting: Setting) -> list[Term]:
    """What training holds whatever the batch: program, weights, gradients, states, and the best values so far."""
    precision, trainable = setting.precision, moving.trainable(shape)
    base = _loaded_bytes(shape, precision)
    copied = moving.whole_module_fp32 and PRECISION_BYTES[precision] < 4
    return [
        Term("program", setting.program_bytes),
        Term("base model beside", base),
        *([Term("weights that were copied", base)] if copied else []),
        *([Term("base for kl", base)] if setting.kl else []),
        Term("weights", trained_module_bytes(shape, moving, precision)),
        Term("gradients", 4 * trainable),
        Term("optimizer states", 8 * trainable),
        Term("best values so far", 4 * trainable),
        *([Term("start of what trains", budget.ANCHORED_BYTES * trainable)] if setting.anchor else []),
    ]


def _loaded_bytes(shape: Shape, precision: str) -> int:
    """Bytes of a freshly loaded model: an encoder's head is fp32."""
    head = sum(layer.parameters for layer in shape.layers if shape.in_head(layer))
    return weight_bytes(shape, precision) + head * (4 - PRECISION_BYTES[precision])


def micro_batch(shape: Shape, moving: Moving, setting: Setting, lengths: Lengths) -> budget.MicroBatch:
    """What training will choose for these examples. Raises SettingsError when the bound is too tight."""
    if setting.micro_tokens is not None:
        return budget.MicroBatch(setting.micro_tokens)
    shortest, longest = (example_of(shape, moving, setting, pair) for pair in (lengths.shortest, lengths.longest))
    fixed = sum(term.bytes for term in fixed_training(shape, moving, setting))
    usual = budget.USUAL_TOKENS[setting.device]
    return budget.micro_batch(fixed, shortest, longest, depth(shape), setting.bound, usual)


def depth(shape: Shape) -> int:
    """transformers' num_hidden_layers: the blocks of the first stack."""
    return len(shape.reading or shape.writing)


def training_terms(shape: Shape, moving: Moving, setting: Setting, lengths: Lengths) -> list[Term]:
    """The bytes of training at its peak: the fixed ones, and the activations of the longest micro-batch."""
    chosen = micro_batch(shape, moving, setting, lengths)
    batches = micro_batches(longest_batch(lengths, setting.batch_size), chosen.tokens)
    every = [activation_terms(shape, moving, setting, rows, lengths.shared, chosen.recomputes) for rows in batches]
    return [*fixed_training(shape, moving, setting), *max(every, key=lambda terms: sum(one.bytes for one in terms))]


def activation_terms(
    shape: Shape, moving: Moving, setting: Setting, rows: list[Pair], shared: int, recompute: bool
) -> list[Term]:
    """What one micro-batch takes: what its forward pass keeps, and the backward pass's own tensors."""
    how = luthier_pass(shape, moving, setting.precision, setting.device, recompute)
    found = _kept(shape, moving, setting, rows_of(shape, rows, shared if how.attention == "blocks" else 0), how)
    losses = found.pop("log-probabilities", 0)
    inside = sum(found.values())
    return [
        Term("kept activations", inside),
        Term("log-probabilities", losses),
        Term("backward pass", (budget.BACKWARD_FACTOR - 1) * (inside + losses)),
    ]


def answering_terms(shape: Shape, moving: Moving, setting: Setting, lengths: Lengths) -> list[Term]:
    """The bytes of answering at its peak: program, base, the model that answers, keys and values, and their reading."""
    precision = setting.precision
    base = _loaded_bytes(shape, precision)
    own = moving.trains or setting.width is not None
    weights = answering_weights(shape, moving, setting)
    terms = [Term("program", setting.program_bytes), Term("base model beside", base)]
    terms += [Term("weights", weights)] if own else []
    held = sum(term.bytes for term in terms)
    if not setting.answers or not lengths.test:
        tokens = max(lengths.test, default=0)
        rows = min(len(lengths.test), max(1, 4096 // max(tokens, 1)))
        return [*terms, Term("reading", _reading_bytes(shape, rows * tokens, PRECISION_BYTES[precision]))]
    longest = max(lengths.test)
    rows, laid_out = rows_at_once(shape, setting, lengths, held, weights if own else base)
    number = PRECISION_BYTES[precision]
    layers, learned = cache_layers(shape), moving.virtual + moving.prefix
    if shape.family == "encoder-decoder":
        cache = rows * row_bytes(layers, lengths.answer, longest, number)
    else:
        begin = lengths.shared + learned if setting.device == "cpu" else 0
        each = longest - (lengths.shared if begin else -learned) + lengths.answer
        cache = begin * token_bytes(layers, number) + rows * row_bytes(layers, each, 0, number)
    return [
        *terms,
        *([Term("laid-out weights", _laid_out_bytes(shape, setting))] if laid_out else []),
        Term("keys and values", cache),
        Term("spare room of the cache", (budget.CACHE_FACTOR - 1) * cache),
        Term("reading", _reading_bytes(shape, _read_at_once(shape, setting, rows, longest), number)),
        Term("logits", rows * shape.vocabulary * (4 + number)),
    ]


def answering_weights(shape: Shape, moving: Moving, setting: Setting) -> int:
    """Bytes of the weights that answer: at the arm's width, with what stays beside them."""
    precision, width = setting.precision, setting.width or moving.width
    weights = weight_bytes(shape, precision, width)
    kinds = {one.kind for one in moving.additions}
    merged = precision == "fp32" and not moving.width and kinds <= {"lora", "dora", "head"}
    if setting.width or moving.whole_module_fp32 or merged:
        return weights
    return weights + 4 * sum(one.trainable for one in moving.additions if one.kind not in ("network",))


def rows_at_once(shape: Shape, setting: Setting, lengths: Lengths, held: float, weights: float) -> tuple[int, bool]:
    """(sequences written at once, whether laid-out weights are used), as decoding plans them."""
    longest, count = max(lengths.test) + lengths.answer, len(lengths.test) * setting.sequences
    layers, number = cache_layers(shape), PRECISION_BYTES[setting.precision]
    each = token_bytes(layers, number) + (source_bytes(layers, number) if shape.family == "encoder-decoder" else 0)
    room = budget.answering_room(held, each, weights, longest, setting.bound)
    rows = -(-count // -(-count // budget.ROWS_AT_ONCE))
    own = max(1, max(lengths.test) - lengths.shared)
    rows = max(1, min(rows, budget.READ_TOKENS // own * setting.sequences))  # a prompt is read once for its sequences
    if room.tokens is not None:
        rows = max(1, min(rows, (room.tokens - lengths.shared) // (own + lengths.answer)))
    return rows, room.laid_out and setting.device == "cpu" and setting.precision == "fp32" and rows >= 8


def _laid_out_bytes(shape: Shape, setting: Setting) -> float:
    """A second copy of the plain linear layers' weights and of the output layer's, in MKL's order and its blocks."""
    plain = [] if setting.width in NARROW else [one for one in shape.linear if one.kind == "linear"]
    sizes = [*((one.inputs, one.outputs) for one in plain), (shape.width, shape.vocabulary)]
    return 4 * sum(into * -(-out // LAID_OUT_BLOCK) * LAID_OUT_BLOCK for into, out in sizes)


def _reading_bytes(shape: Shape, tokens: int, number: int) -> float:
    """The largest activations while prompts are read: three of a block's inner width, and eight hidden states."""
    inner = max((block.inner for block in shape.blocks), default=0)
    return float(tokens * number * (3 * inner + 8 * shape.width))


def _read_at_once(shape: Shape, setting: Setting, rows: int, longest: int) -> int:
    """Tokens of one reading pass: a decoder on a CPU reads row by row, others a padded batch."""
    if shape.family == "decoder" and setting.device == "cpu":
        return max(longest, min(rows * longest, budget.PASS_TOKENS))
    return min(rows * longest, budget.READ_TOKENS)
