"""How many tokens a micro-batch, and a batch of answers, may hold under a bound on memory: the one arithmetic.

Training (training/memory.py) and a plan both call these functions, so that what `--memory` enforces is what a plan
says. Only activations depend on the tokens in memory at once; everything else is `fixed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.planning.lengths import Pair, cut_by_length

USUAL_TOKENS = {"cpu": 2048, "cuda": 16_384}  # padded tokens of a micro-batch, by device (docs/log.md)
PROGRAM_BYTES = 0.6e9  # bytes of the interpreter, its libraries, and what they hold ready (docs/log.md)
# More once a model was trained in 16 bits on a CPU: while it trains, and while the arm answers (docs/log.md).
TRAINED_16_BITS_BYTES, ANSWERS_16_BITS_BYTES = 0.18e9, 0.36e9
BACKWARD_FACTOR = 1.35  # kept bytes and the backward pass's own tensors, as a multiple of the kept bytes (docs/log.md)
SAMPLED_BATCHES = 5  # of a training, whose micro-batches a bound is held against
TOKENS_MULTIPLE = 64  # a micro-batch holds a multiple of this many tokens
CACHE_FACTOR = 1.25  # keys and values, the cache's spare room and what reading takes, as a multiple of keys and values
ROWS_AT_ONCE = 64  # answers written at once
READ_TOKENS = 24_576  # padded prompt tokens of a batch of answers
PASS_TOKENS = 2048  # tokens that a decoder without padding reads in one pass (docs/log.md)
TRAINED_BYTES = 16  # of a parameter that trains, beside itself: gradient, two moments of AdamW, the best value so far
MASTER_BYTES = 4  # more of one that is narrower than fp32: its master
ANCHORED_BYTES = 8  # more of such a parameter under anchor: its start, and its distance from there


@dataclass(frozen=True)
class MicroBatch:
    """`tokens` that a micro-batch may hold, padding included, and whether layers are computed again."""

    tokens: int
    recomputes: bool = False


@dataclass(frozen=True)
class Room:
    """What a batch of answers may take.

    `tokens`: padded tokens of prompts and answers; None: the usual number. `laid_out`: whether laid-out weights fit.
    """

    tokens: int | None = None
    laid_out: bool = True


@dataclass(frozen=True)
class Asked:
    """How long what is answered is, in tokens.

    `longest` of a prompt with its answer, or with all `sequences` that are written for it; `shortest` of one sequence
    without what all prompts begin with. `prompt` of the longest prompt, `prompts` of all. `learned` positions stand in
    front. `in_one`: whether rows stand in one sequence, where what all begin with is held once and prompts are read in
    passes of PASS_TOKENS.
    """

    longest: int
    shortest: int
    prompt: int
    prompts: int
    learned: int = 0
    in_one: bool = True
    sequences: int = 1


@dataclass(frozen=True)
class Answering:
    """Bytes of a batch of answers: `token` of each token, `row` of each row beside its tokens, `once` of any batch, and
    `laid_out` of a second copy of the weights, which a batch can do without.
    """

    token: float
    row: float = 0.0
    once: float = 0.0
    laid_out: float = 0.0


# (the rows of a micro-batch, whether layers are computed again) -> bytes that their forward pass keeps.
Kept = Callable[[Sequence[Pair], bool], float]


def program_bytes(in_16_bits: bool, device: str, *, answers: bool, trained: bool = True) -> float:
    """Bytes of the program, with the compiled products and the holes that a training in 16 bits leaves in it.

    Who does not know whether something was `trained` before in the process counts them.
    """
    left = ANSWERS_16_BITS_BYTES if answers else TRAINED_16_BITS_BYTES
    return PROGRAM_BYTES + (left if trained and in_16_bits and device == "cpu" else 0)


def micro_batch(
    fixed: float, rows: Sequence[Pair], batch_size: int, kept: Kept, bound: float | None, usual: int
) -> MicroBatch:
    """The most padded tokens of a micro-batch whose forward and backward pass keep the bound, whatever its rows.

    `fixed`: bytes that do not depend on the batch; `bound`: the most bytes; `usual`: tokens without a bound. Where an
    example alone does not fit, every layer keeps its input alone and is computed again. Raises SettingsError, which
    names the needed bytes, when even so no example fits.
    """
    if bound is None:
        return MicroBatch(usual)
    batches = sample_batches(rows, batch_size)

    def needed(steps: int, recomputes: bool) -> float:
        cut = {tuple(one) for batch in batches for one in cut_by_length(batch, steps * TOKENS_MULTIPLE, sum)}
        return fixed + BACKWARD_FACTOR * max(kept(one, recomputes) for one in cut)

    recomputes = needed(1, False) > bound
    if recomputes and (least := needed(1, True)) > bound:
        raise too_little("training", "example", fixed, max(map(sum, rows)), least, bound)
    most = max(1, usual // TOKENS_MULTIPLE)
    if needed(most, recomputes) <= bound:
        return MicroBatch(usual, recomputes)
    fits = 1
    while most - fits > 1:
        middle = (fits + most) // 2
        fits, most = (middle, most) if needed(middle, recomputes) <= bound else (fits, middle)
    return MicroBatch(fits * TOKENS_MULTIPLE, recomputes)


def sample_batches(rows: Sequence[Pair], batch_size: int) -> list[tuple[Pair, ...]]:
    """Batches of neighbours in length, as training makes them: the longest, the shortest, and some between."""
    ordered = sorted(rows, key=sum, reverse=True)
    last = max(0, len(ordered) - batch_size)
    starts = sorted({round(last * part / (SAMPLED_BATCHES - 1)) for part in range(SAMPLED_BATCHES)})
    return list(dict.fromkeys(tuple(ordered[start : start + batch_size]) for start in starts))


def answering_room(fixed: float, costs: Answering, asked: Asked, bound: float | None) -> Room:
    """What a batch of answers may take. `fixed`: bytes that do not depend on what is asked.

    Raises SettingsError when a batch of one does not fit.
    """
    if bound is None:
        return Room()
    held = fixed + costs.once
    each = costs.token + costs.row / asked.shortest  # so many rows as there could be of the shortest
    fits = int((bound - held) / each)
    if fits < asked.longest:
        needed = held + each * asked.longest
        answers = "answer" if asked.sequences == 1 else f"{asked.sequences} sequences"
        raise too_little("answering", f"prompt with its {answers}", held, asked.longest, needed, bound)
    beside_weights = int((bound - held - costs.laid_out) / each)
    both_fit = beside_weights >= asked.longest and beside_weights > fits / 2
    return Room(beside_weights, True) if both_fit else Room(fits, False)


def too_little(what: str, unit: str, fixed: float, tokens: int, needed: float, bound: float) -> SettingsError:
    return SettingsError(
        f"memory: {what} with {fixed / 1e9:.1f} GB of weights and program, and the longest {unit}, {tokens} tokens, "
        f"needs {needed / 1e9:.1f} GB; the bound is {bound / 1e9:.1f} GB; allow more, or "
        "shorten the input"
    )
