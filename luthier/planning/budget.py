"""How many tokens a micro-batch, and a batch of answers, may hold under a bound on memory: the one arithmetic.

Training (training/memory.py) and a plan both call these functions, so that what `--memory` enforces is what a plan
says. Only activations depend on the tokens in memory at once; everything else is `fixed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from luthier.errors import SettingsError

USUAL_TOKENS = {"cpu": 2048, "cuda": 16_384}  # padded tokens of a micro-batch, by device (docs/log.md)
PROGRAM_BYTES = 0.6e9  # bytes of the interpreter, its libraries, and what they hold ready (docs/log.md)
BACKWARD_FACTOR = 1.35  # kept bytes and the backward pass's own tensors, as a multiple of the kept bytes (docs/log.md)
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
    """`tokens` that a micro-batch may hold, whether layers are computed again, and the bytes of a token, if bounded."""

    tokens: int
    recomputes: bool = False
    bytes_a_token: float | None = None


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

    `longest` of a prompt with its answer; `shortest` of one without what all prompts begin with. `prompt` of the
    longest prompt, `prompts` of all. `learned` positions stand in front. `in_one`: whether rows stand in one sequence,
    where what all begin with is held once and prompts are read in passes of PASS_TOKENS.
    """

    longest: int
    shortest: int
    prompt: int
    prompts: int
    learned: int = 0
    in_one: bool = True


@dataclass(frozen=True)
class Answering:
    """Bytes of a batch of answers: `token` of each token, `row` of each row beside its tokens, `once` of any batch, and
    `laid_out` of a second copy of the weights, which a batch can do without.
    """

    token: float
    row: float = 0.0
    once: float = 0.0
    laid_out: float = 0.0


@dataclass(frozen=True)
class Example:
    """The length of one training example, and bytes that its forward pass keeps, without and with recomputation."""

    length: int
    kept: Callable[[], float]
    kept_recomputing: Callable[[], float]


def micro_batch(
    fixed: float, shortest: Example, longest: Example, layers: int, bound: float | None, usual: int
) -> MicroBatch:
    """The most padded tokens of a micro-batch.

    `fixed`: bytes that do not depend on the batch; `bound`: the most bytes; `usual`: tokens without a bound. Where even
    the longest example does not fit, every layer keeps its input alone and is computed again. Raises SettingsError,
    which names the needed bytes, when no size keeps the bound.
    """
    if bound is None:
        return MicroBatch(usual)
    each, recomputes = BACKWARD_FACTOR * shortest.kept() / shortest.length, False
    if fixed + each * longest.length <= bound:
        # Attention keeps more for each token of a long row.
        each = BACKWARD_FACTOR * longest.kept() / longest.length
    if fixed + each * longest.length > bound:
        one_layer, recomputes = each / layers, True
        again = BACKWARD_FACTOR * shortest.kept_recomputing() / shortest.length
        each = one_layer + 2 * again  # most of it are logits, which backward holds twice
    fits = int((bound - fixed) / each)
    if fits < longest.length:
        raise too_little("training", "example", fixed, longest.length, each, bound)
    tokens = min(usual, max(longest.length, fits // TOKENS_MULTIPLE * TOKENS_MULTIPLE))
    return MicroBatch(tokens, recomputes, each)


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
        raise too_little("answering", "prompt with its answer", held, asked.longest, each, bound)
    beside_weights = int((bound - held - costs.laid_out) / each)
    return Room(beside_weights, True) if beside_weights > fits / 2 else Room(fits, False)


def too_little(what: str, unit: str, fixed: float, tokens: int, each: float, bound: float) -> SettingsError:
    return SettingsError(
        f"memory: {what} with {fixed / 1e9:.1f} GB of weights and program, and the longest {unit}, {tokens} tokens, "
        f"needs {(fixed + each * tokens) / 1e9:.1f} GB; the bound is {bound / 1e9:.1f} GB; allow more, or "
        "shorten the input"
    )
