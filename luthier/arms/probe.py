"""The rates of this machine, measured in a few seconds: products, memory's bandwidth, and blocks at work.

A plan reads them later (planning/devices.py). Products have the sizes of small and middle models' layers, with as many
rows as training reads at once, and as few as a decoding step has. What stands between products (norms, attention,
casts, the program that calls them) is not counted one by one: blocks of a small model are trained, read and write, and
their seconds are held against those that products and bytes alone would take; then they read and write with LoRA's
updates beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from luthier.adapt.settings import Lora
from luthier.decoding.decoders import decoder_for
from luthier.decoding.requests import Request
from luthier.defaults import MODEL
from luthier.files import cache_folder
from luthier.machine import describe, keep_freed_memory, threads
from luthier.model.forward import collate, supervised_loss
from luthier.model.model import OWN_PRECISIONS, PRECISIONS, Model
from luthier.model.prepacked import laid_out_weights
from luthier.planning.config import Config
from luthier.planning.devices import BlockTime, Phase, ProductRate, Rates, of_rates
from luthier.planning.lengths import Lengths, Pair
from luthier.planning.moving import NOTHING, moving
from luthier.planning.named import NAMED
from luthier.planning.passes import luthier_pass
from luthier.planning.read import shape_from
from luthier.planning.seconds import activation_numbers, answering_work, read_of, training_work, update_of
from luthier.planning.terms import Setting
from luthier.records import Prompt
from luthier.training.masters import Masters

WIDTHS = ((576, 1536), (1024, 4096), (2048, 8192))  # (in, out) of a product
ROWS = (8, 48, 1024)
SECONDS = 0.1  # for each product, at least two runs
COPIED = 64 * 2**20  # numbers that are copied to measure the bandwidth
BLOCKS = NAMED[MODEL] | {"num_hidden_layers": 4, "vocab_size": 2048}  # of the default model
# Micro-batches of (prompt, target): rows of other lengths find no memory ready, as in a training.
TRAINED: tuple[tuple[Pair, ...], ...] = (((256, 32),) * 7, ((209, 28),) * 8, ((350, 41),) * 5)
ASKED, NEW = (128,) * 16, 8  # prompts, and the tokens that are written behind each
ADAPTED = Lora()
ROUNDS = 3  # of answers that are timed, after one that is not


def probe(seconds: float = SECONDS) -> Rates:
    """Measures this machine and keeps the rates in the user's cache, where they replace older ones."""
    keep_freed_memory()  # as studies do
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def measured(name: str, rows: int, inputs: int, outputs: int) -> ProductRate:
        rate = _product(PRECISIONS[name], rows, inputs, outputs, seconds, device)
        return ProductRate(precision=name, rows=rows, weights=inputs * outputs, flops=rate)

    rates = Rates(
        format=1,
        processor=str(describe(device)["processor"]),
        threads=threads(),
        device=device,
        bandwidth=_bandwidth(seconds, device),
        products=[measured(name, rows, *sizes) for name in OWN_PRECISIONS for sizes in WIDTHS for rows in ROWS],
    )
    at_work = tuple(one for name in OWN_PRECISIONS for one in _blocks(name, rates))
    rates = rates.model_copy(update={"blocks": at_work})
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    rates.write(folder)
    return rates


def _product(kind: torch.dtype, rows: int, inputs: int, outputs: int, seconds: float, device: str) -> float:
    """Operations a second of x W^T."""
    x, weight = (torch.ones(*size, dtype=kind, device=device) for size in ((rows, inputs), (outputs, inputs)))
    return 2 * rows * inputs * outputs / _best(lambda: torch.nn.functional.linear(x, weight), seconds)


def _bandwidth(seconds: float, device: str) -> float:
    """Bytes a second of a copy, read and written."""
    source = torch.ones(COPIED, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), seconds)


def _best(run: Callable[[], Any], seconds: float) -> float:
    """The fastest run of those that fit into `seconds`, at least two: others on the machine only slow it down."""
    fastest, end = float("inf"), time.perf_counter() + seconds
    with torch.inference_mode():
        while fastest == float("inf") or time.perf_counter() < end:
            fastest = min(fastest, _seconds(run), _seconds(run))
    return fastest


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


# ---------------------------------------------------------------------------------------------------- blocks at work


def _blocks(precision: str, rates: Rates) -> Iterator[BlockTime]:
    """The seconds of the blocks as they train, read and write, beside those of their products and bytes."""
    shape, here = shape_from(Config("the probe", BLOCKS)), of_rates(rates)
    rows = tuple(row for batch in TRAINED for row in batch)
    setting = Setting(precision, rates.device, batch_size=-(-len(rows) // len(TRAINED)))
    lengths = Lengths(rows, (), ASKED, 0)
    moves = moving(shape, "full", None)
    how = luthier_pass(shape, moves, precision, rates.device)
    read = answering_work(shape, NOTHING, setting, ASKED, lengths, here).seconds
    both = answering_work(shape, NOTHING, setting, ASKED, replace(lengths, train=(), answer=NEW), here).seconds
    planned = (training_work(shape, moves, setting, lengths, here, 1.0, how).seconds, read, both - read)
    asked = read_of(shape, tuple((prompt, 0) for prompt in ASKED))
    units = (*(activation_numbers(shape, one) for one in (read_of(shape, rows), asked)), NEW * len(shape.blocks))
    model = _model(precision, rates.device)
    rounds = _answers(model)  # before the model is trained
    measured = (_training(model), *map(fmean, rounds))
    phases: tuple[Phase, ...] = ("training", "reading", "writing")
    for phase, count, least, took in zip(phases, units, planned, measured, strict=True):
        yield BlockTime(precision=precision, phase=phase, units=count, planned=least, measured=took)
    yield from _adapted(precision, rates, setting, *map(min, rounds))


def _adapted(precision: str, rates: Rates, setting: Setting, reading: float, writing: float) -> Iterator[BlockTime]:
    """The seconds of blocks with LoRA's updates beside the weights of all linear layers, beside the same without.

    Of both the fastest round counts: a difference of means is that of what others did on the machine.
    """
    from luthier.adapt import lora  # peft, which other rooms keep quiet while it loads

    shape, model = shape_from(Config("the probe", BLOCKS)), _model(precision, rates.device)
    low_rank = replace(moving(shape, "lora", ADAPTED), width="nf4")  # to other weights in fp32 an update is added
    update = update_of(shape, low_rank, setting)
    rounds = _answers(lora.answering(model, lora.apply(model, ADAPTED, 0)))
    reads: Phase = "adapted reading"
    writes: Phase = "adapted writing"
    for phase, units, plain, took in (
        (reads, sum(ASKED) * update.numbers, reading, min(rounds[0])),
        (writes, NEW * update.calls, writing, min(rounds[1])),
    ):
        yield BlockTime(precision=precision, phase=phase, units=units, planned=plain, measured=took)


def _model(precision: str, device: str) -> Model:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    module: Any = LlamaForCausalLM(LlamaConfig(**BLOCKS))
    module = module.to(device, PRECISIONS[precision]).eval()
    return Model("the probe", module, None, "decoder", BLOCKS["max_position_embeddings"], "", frozenset(), Path())


def _tokens(count: int, number: int) -> tuple[int, ...]:
    """`count` ids, other ones for each number: nothing is shared, and nothing can be guessed."""
    made = torch.Generator().manual_seed(number)
    return tuple(torch.randint(3, int(BLOCKS["vocab_size"]), (count,), generator=made).tolist())


def _training(model: Model) -> float:
    """Seconds of full training on TRAINED, a step for each, after one step that loads what all need."""
    masters = Masters(model.module)
    optimizer = torch.optim.AdamW(list(masters.moved.values()), lr=1e-5, fused=True)

    def step(lengths: tuple[Pair, ...]) -> None:
        rows = [
            Prompt(str(i), "", _tokens(prompt, i), _tokens(target, i)) for i, (prompt, target) in enumerate(lengths)
        ]
        supervised_loss(model.module, collate(rows, model.module, "decoder"))[0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        masters.write()

    model.module.train()
    step(TRAINED[-1])
    return sum(_seconds(partial(step, lengths)) for lengths in TRAINED)


def _answers(model: Model) -> tuple[list[float], list[float]]:
    """(seconds of reading ASKED, seconds of writing NEW tokens behind each), of each of ROUNDS."""
    requests = [Request(str(i), _tokens(length, 100 + i), NEW) for i, length in enumerate(ASKED)]
    written = [torch.tensor(_tokens(len(ASKED), 1000 + number), device=model.device) for number in range(NEW)]
    reading, writing = list[float](), list[float]()
    with torch.inference_mode(), laid_out_weights(model.module, rows=len(ASKED)).in_use():
        for _ in range(1 + ROUNDS):
            decoder = decoder_for(model, requests, None)
            reading.append(_seconds(decoder.start))
            writing.append(sum(_seconds(partial(decoder.step, tokens)) for tokens in written))
    return reading[1:], writing[1:]
