"""The bytes of an arm, term by term, while it trains and while it answers: what luthier's own code holds.

The peak of a phase is the sum of its terms. Each term's reason is a sentence in words.py. For other tools' accounting
see trainer.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from luthier.defaults import BATCH
from luthier.model.sizes import MOST_MEMORY_SHARE, NARROW, fewest_rows, laid_out_bytes
from luthier.planning import budget
from luthier.planning.cache import cache_layers, row_bytes, source_bytes, token_bytes
from luthier.planning.kept import kept
from luthier.planning.lengths import Lengths, Pair, cut_by_length, rows_of
from luthier.planning.moving import Addition, Moving
from luthier.planning.passes import Pass, Rows, luthier_pass
from luthier.planning.shape import Shape
from luthier.planning.weights import PRECISION_BYTES, mastered, narrowed, trained_module_bytes, weight_bytes


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
    evaluations: int = 2  # of dev while it trains: the best values are kept beside the current ones from the second on
    machine: float | None = None  # bytes of its memory; None: as many as anything needs
    in_one: bool | None = None  # whether answers stand in one sequence, where that was tried; None: as the shape says


@dataclass(frozen=True)
class Term:
    """Bytes with their name; a name has a sentence in words.py."""

    name: str
    bytes: float


def kept_of(shape: Shape, moving: Moving, setting: Setting) -> budget.Kept:
    """The bytes that a forward pass over the rows of a micro-batch keeps."""

    def bytes_kept(rows: Sequence[Pair], recompute: bool) -> float:
        how = luthier_pass(shape, moving, setting.precision, setting.device, recompute)
        return float(sum(_kept(shape, moving, setting, rows_of(shape, rows), how).values()))

    return bytes_kept


def _kept(shape: Shape, moving: Moving, setting: Setting, rows: Rows, how: Pass) -> Counter[str]:
    """What a forward pass keeps. For kl the base's log-probabilities stand beside the model's."""
    found = kept(shape, moving, rows, how)
    return found + Counter({"log-probabilities": found["log-probabilities"]}) if setting.kl else found


def fixed_training(shape: Shape, moving: Moving, setting: Setting) -> list[Term]:
    """What training holds whatever the batch: program, weights, gradients, states, and the best values so far."""
    precision, trainable = setting.precision, moving.trainable(shape)
    base = _loaded_bytes(shape, precision)
    return [
        Term("program", budget.program_bytes(precision != "fp32", setting.device, answers=False)),
        Term("base model beside", base),
        *([Term("base for kl", base)] if setting.kl else []),
        Term("weights", trained_module_bytes(shape, moving, precision)),
        *([Term("masters", budget.MASTER_BYTES * wide)] if (wide := mastered(shape, moving, precision)) else []),
        Term("gradients", 4 * trainable),
        Term("optimizer states", 8 * trainable),
        *([Term("best values so far", 4 * trainable)] if setting.evaluations > 1 else []),
        *([Term("start of what trains", budget.ANCHORED_BYTES * trainable)] if setting.anchor else []),
    ]


def _loaded_bytes(shape: Shape, precision: str) -> int:
    """Bytes of a freshly loaded model: an encoder's head is fp32."""
    head = sum(layer.parameters for layer in shape.head_layers)
    return weight_bytes(shape, precision) + head * (4 - PRECISION_BYTES[precision])


def micro_batch(shape: Shape, moving: Moving, setting: Setting, lengths: Lengths) -> budget.MicroBatch:
    """What training will choose for these examples. Raises SettingsError when the bound is too tight."""
    if setting.micro_tokens is not None:
        return budget.MicroBatch(setting.micro_tokens)
    every = replace(setting, evaluations=2)  # a bound counts the best values, which a later evaluation may need
    fixed = sum(term.bytes for term in fixed_training(shape, moving, every))
    usual, asked = budget.USUAL_TOKENS[setting.device], kept_of(shape, moving, setting)
    return budget.micro_batch(fixed, lengths.train, setting.batch_size, asked, setting.bound, usual)


def training_terms(
    shape: Shape, moving: Moving, setting: Setting, lengths: Lengths, chosen: budget.MicroBatch | None = None
) -> list[Term]:
    """The bytes of training at its peak: the fixed ones, and the activations of the micro-batch that keeps most.

    `chosen` is what micro_batch says of the same; None: it is asked.
    """
    chosen = chosen or micro_batch(shape, moving, setting, lengths)
    sampled = budget.sample_batches(lengths.train, setting.batch_size)
    # In their order, because of several that keep as much the first is said.
    batches = dict.fromkeys(tuple(one) for batch in sampled for one in cut_by_length(batch, chosen.tokens, sum))
    every = [activation_terms(shape, moving, setting, rows, lengths.shared, chosen.recomputes) for rows in batches]
    return [*fixed_training(shape, moving, setting), *max(every, key=lambda terms: sum(one.bytes for one in terms))]


def activation_terms(
    shape: Shape, moving: Moving, setting: Setting, rows: Sequence[Pair], shared: int, recompute: bool
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
    precision, in_one = setting.precision, reads_in_one(shape, setting)
    terms = _fixed_answering(shape, moving, setting, trained=moving.trains)
    if not setting.answers or not lengths.test:
        tokens = max(lengths.test, default=0)
        rows = min(len(lengths.test), max(1, 4096 // max(tokens, 1)))
        return [*terms, Term("reading", _reading_bytes(shape, rows * tokens, PRECISION_BYTES[precision]))]
    longest = max(lengths.test)
    rows, laid_out = rows_at_once(shape, moving, setting, lengths)
    number, read = _number(moving, setting), _read_at_once(shape, setting, rows // setting.sequences, longest)
    layers, learned = cache_layers(shape), moving.virtual + moving.prefix
    if shape.family == "encoder-decoder":
        cache = rows * row_bytes(layers, lengths.answer, longest, number)
    else:
        begin = lengths.shared + learned if in_one else 0
        each = longest - (lengths.shared if begin else -learned) + lengths.answer
        cache = begin * token_bytes(layers, number) + rows * row_bytes(layers, each, 0, number)
    return [
        *terms,
        *([Term("laid-out weights", _laid_out_bytes(shape, moving, setting))] if laid_out else []),
        Term("keys and values", cache),
        Term("spare room of the cache", (budget.CACHE_FACTOR - 1) * cache),
        Term("reading", _reading_bytes(shape, read, number)),
        Term("logits", rows * shape.vocabulary * (4 + number)),
    ]


def _fixed_answering(shape: Shape, moving: Moving, setting: Setting, trained: bool = True) -> list[Term]:
    """What answering holds whatever the batch: program, the study's base, and the model that answers."""
    own, narrow = moving.trains or setting.width is not None, setting.precision != "fp32"
    return [
        Term("program", budget.program_bytes(narrow, setting.device, answers=True, trained=trained)),
        Term("base model beside", _loaded_bytes(shape, setting.precision)),
        *([Term("weights", answering_weights(shape, moving, setting))] if own else []),
    ]


def answering_weights(shape: Shape, moving: Moving, setting: Setting) -> int:
    """Bytes of the weights that answer: at the arm's width, with what stays beside them."""
    weights = weight_bytes(shape, setting.precision, setting.width or moving.width)
    beside = [one for one in answering_additions(moving, setting) if one.kind != "network"]
    return weights + 4 * sum(one.trainable + one.frozen for one in beside)  # pissa's start is saved with its update


def answering_additions(moving: Moving, setting: Setting) -> tuple[Addition, ...]:
    """What a method added that stays beside the weights while they answer: an update is added to plain fp32 weights,
    and all that is made narrow is made of one plain model."""
    kinds = {one.kind for one in moving.additions}
    added = setting.precision == "fp32" and not moving.width and kinds <= {"lora", "dora", "head"}
    return () if setting.width or added else moving.additions


def rows_at_once(shape: Shape, moving: Moving, setting: Setting, lengths: Lengths) -> tuple[int, bool]:
    """(sequences written at once, whether laid-out weights are used), as decoding plans them."""
    count, in_one = len(lengths.test) * setting.sequences, reads_in_one(shape, setting)
    shared = lengths.shared if in_one else 0
    own = max(1, max(lengths.test) - shared)
    asked = budget.Asked(
        longest=shared + setting.sequences * (max(lengths.test) - shared + lengths.answer),
        shortest=min(lengths.test) - shared + lengths.answer,
        prompt=max(lengths.test),
        prompts=sum(lengths.test),
        learned=moving.virtual + moving.prefix,
        in_one=in_one,
        sequences=setting.sequences,
    )
    laid_out = _laid_out_bytes(shape, moving, setting)
    costs = answering_costs(shape, _number(moving, setting), asked, laid_out)
    fixed = sum(term.bytes for term in _fixed_answering(shape, moving, setting))
    room = budget.answering_room(fixed, costs, asked, setting.bound)
    rows = -(-count // -(-count // budget.ROWS_AT_ONCE))
    rows = max(1, min(rows, budget.READ_TOKENS // own * setting.sequences))  # a prompt is read once for its sequences
    if room.tokens is not None:
        rows = max(1, min(rows, (room.tokens - shared) // (own + lengths.answer)))
    rows = max(1, rows // setting.sequences) * setting.sequences  # those of one answer are written together
    return rows, room.laid_out and laid_out > 0 and rows >= fewest_rows(_number(moving, setting))


def answering_costs(shape: Shape, number: int, asked: budget.Asked, laid_out: float) -> budget.Answering:
    """Bytes of a batch of answers. `number` are those of one activation, `laid_out` those of laid-out weights."""
    layers = cache_layers(shape)
    each = budget.CACHE_FACTOR * max(token_bytes(layers, number), source_bytes(layers, number))
    logits = shape.vocabulary * (4 + number)
    if asked.in_one:
        read = _reading_bytes(shape, max(asked.prompt, min(asked.prompts, budget.PASS_TOKENS)), number)
        return budget.Answering(each, logits, read + asked.learned * each, laid_out)
    return budget.Answering(each + _reading_bytes(shape, 1, number), logits + asked.learned * each, 0.0, laid_out)


def reads_in_one(shape: Shape, setting: Setting) -> bool:
    """Whether answers stand in one sequence (decoding/ragged.py): of a decoder on a CPU that keeps every token."""
    if setting.in_one is not None:
        return setting.in_one
    cores = [core for block in shape.writing for core in block.attentions]
    every = not any(core.window or core.soft_capped or core.positions == "bias" for core in cores)
    return shape.family == "decoder" and setting.device == "cpu" and every


def _number(moving: Moving, setting: Setting) -> int:
    """Bytes of an activation's number while an arm answers: a width of 16 bits casts all of the model."""
    width = setting.width or moving.width
    return PRECISION_BYTES[width if width in PRECISION_BYTES else setting.precision]


def _laid_out_bytes(shape: Shape, moving: Moving, setting: Setting) -> int:
    """A second copy of the plain linear layers in fp32 or bf16 and of the output layer, laid out in blocks.

    Nothing where they take too large a share of the machine's memory.
    """
    width, number = setting.width or moving.width, _number(moving, setting)
    if setting.device != "cpu" or "fp16" in (width, setting.precision):
        return 0
    rounded = {layer.path for layer in narrowed(shape)} if width in NARROW else set()
    plain = [one for one in shape.linear if one.kind == "linear" and one.path not in rounded]
    sizes = [*((one.inputs, one.outputs) for one in plain), (shape.width, shape.vocabulary)]
    if setting.machine is not None and number * sum(i * o for i, o in sizes) > MOST_MEMORY_SHARE * setting.machine:
        return 0
    return laid_out_bytes(sizes, number)


def _reading_bytes(shape: Shape, tokens: int, number: int) -> float:
    """The largest activations while prompts are read: three of a block's inner width, and eight hidden states."""
    inner = max((block.inner for block in shape.blocks), default=0)
    return float(tokens * number * (3 * inner + 8 * shape.width))


def _read_at_once(shape: Shape, setting: Setting, rows: int, longest: int) -> int:
    """Tokens of one reading pass: a decoder on a CPU reads row by row, others a padded batch."""
    if reads_in_one(shape, setting):
        return max(longest, min(rows * longest, budget.PASS_TOKENS))
    return min(rows * longest, budget.READ_TOKENS)
