"""The lessons in the user's cache: added by studies, found again for what computes here, forgotten.

A lesson's basis is all that seconds by rates hang on: the processor with as many threads, the rates of the probe, and
the arithmetic. A probe that is made again, or a version of luthier that counts otherwise, begins to learn anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

from luthier import machine
from luthier.defaults import MODEL
from luthier.errors import FolderError
from luthier.files import cache_folder, locked, sha256_of_text
from luthier.planning.config import Config
from luthier.planning.devices import DEVICES, HERE, Device, kept_rates, processor, this_machine
from luthier.planning.learned import Learned, Lesson
from luthier.planning.lengths import Lengths
from luthier.planning.moving import moving
from luthier.planning.named import NAMED
from luthier.planning.passes import luthier_pass
from luthier.planning.read import shape_from
from luthier.planning.seconds import answering_work, training_work
from luthier.planning.terms import Setting


def learned() -> Learned:
    """All that is kept; nothing for a user without a place for a cache. Raises FolderError for a damaged file."""
    try:
        cache = cache_folder()
    except FolderError:
        return Learned(format=1)
    return Learned.read_if_there(cache) or Learned(format=1)


def learn(lessons: Sequence[Lesson]) -> None:
    """Adds lessons to what is kept, one process after the other. Raises FolderError when the cache cannot be used."""
    cache = cache_folder()
    with locked(cache, wait=True):
        learned().with_more(lessons).write(cache)


def forget() -> bool:
    """Forgets all lessons; whether there were any. A damaged file goes too."""
    cache = cache_folder()
    if not Learned.is_in(cache):
        return False
    with locked(cache, wait=True):
        Learned.path_in(cache).unlink(missing_ok=True)
    return True


def with_lessons(device: Device) -> Device:
    """The device with what was learned on it, where it is this machine. Raises FolderError for a damaged file."""
    kept = learned() if device.name == HERE else None
    return replace(device, learned=kept.on(basis_of(device))) if kept and kept.lessons else device


def learned_here() -> tuple[Learned, int]:
    """(the lessons that hold here, how many more are kept that do not)."""
    rates, kept = kept_rates(), learned()
    device = (this_machine(rates.device) if rates else None) or processor()
    here = kept.on(basis_of(device))
    return here, len(kept.lessons) - len(here.lessons)


def basis_of(device: Device) -> str:
    """A hash of all that seconds by rates hang on: processor, threads, rates, and the arithmetic.

    The arithmetic is known by what it says of a few arms of two blocks by stated rates.
    """
    rates = device.measured.as_json() if device.measured else [device.bandwidth, *sorted(device.flops.items())]
    return sha256_of_text(
        machine.processor().name, str(machine.threads()), device.kind, json.dumps(rates), *map(repr, _arithmetic())
    )[:16]


def _arithmetic() -> list[float]:
    shape = shape_from(Config("a small model", NAMED[MODEL] | {"num_hidden_layers": 2}), 2)
    stated, lengths, found = DEVICES["laptop"], Lengths.alike(300, 40, 8), list[float]()
    for method, settings in (("full", None), ("lora", SimpleNamespace(rank=16, targets="all-linear")), ("", None)):
        for precision in ("fp32", "bf16"):
            moves, setting = moving(shape, method, settings), Setting(precision)
            how = luthier_pass(shape, moves, precision, setting.device)
            found.append(training_work(shape, moves, setting, lengths, stated, 1.0, how).seconds)
            found.append(answering_work(shape, moves, setting, lengths.test, lengths, stated).seconds)
    return found
