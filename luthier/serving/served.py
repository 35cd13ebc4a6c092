"""What a server answers for: a measured arm under its name, and the same weights with messages as they come.

    NAME        one input -> the arm's own template, shots, limit and settings: what was measured is what answers
    NAME/raw    messages or text as they come, with the arm's weights; nobody measured that

A model that is no arm has one name, and takes messages as they come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from luthier.arms.ask import load_source
from luthier.arms.shipped import Shipped, verify
from luthier.decoding.settings import Generation
from luthier.decoding.speculative import NgramTable
from luthier.errors import LuthierError, SettingsError
from luthier.files import sha256_of_text
from luthier.model.model import Model
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.task.prompt import shared_length

RAW = "/raw"
RAW_TOKENS = 256  # most new tokens of an answer that nobody measured, where the client gives no limit
_INPUTS = ("Anna: yes", "10 boats", "\u2014 so?", "the end")  # unlike each other, to see what all prompts begin with


@dataclass(frozen=True)
class Served:
    """A name that clients can ask. `arm` is a measured arm or, with `raw`, weights alone.

    `beginning` are the tokens that nearly all of its prompts begin with. `fingerprint` changes with every byte that
    decides an answer.
    """

    id: str
    arm: Shipped
    raw: bool
    fingerprint: str
    prompt_sha256: str | None = None  # of the empty prompt under template and shots
    beginning: tuple[int, ...] = ()

    @property
    def model(self) -> Model:
        return self.arm.model

    @property
    def writes(self) -> bool:
        """Whether it writes a text; else it chooses a label."""
        return self.raw or self.arm.answers_by == "generation"

    def ngrams(self) -> NgramTable | None:
        """The arm's answers on test, which make the next one faster."""
        return None if self.raw else self.arm.known()


def load_served(sources: Sequence[str], arms: Sequence[str] = (), *, check_probes: bool = False) -> dict[str, Served]:
    """Name -> what it stands for, of studies, arms' folders and models. Equal weights stand in memory once.

    arms: of the only study; none: the arm that it ships. check_probes: an arm is asked its probes first. Raises
    LuthierError for a source that cannot be used, or is not what was measured.
    """
    if not sources:
        raise SettingsError("there is nothing to serve; name a study, an arm's folder, or a model")
    if arms and (len(sources) > 1 or not StudyRecord.is_in(Path(sources[0]))):
        raise SettingsError("--arm names arms of one study; give that study alone, or the folders of arms")
    named: list[str | None] = [*arms] or [None]
    loaded = [(source, load_source(source, arm)) for source in sources for arm in named]
    served: dict[str, Served] = {}
    for source, shipped in loaded:
        if check_probes and shipped.probes:
            verify(shipped)
        name = shipped.folder.name or Path(source).resolve().name
        if name in served:
            name = f"{_owner(shipped.folder)}/{name}"
        if name in served or name.endswith(RAW):
            raise SettingsError(f"{source}: the name {name} is served already; give each arm once")
        served |= _names(name, shipped)
    _share_weights([one.model for one in served.values()])
    return served


def _owner(folder: Path) -> str:
    """The study of an arm's folder, else the folder's own name."""
    whole = folder.resolve()
    return whole.parent.parent.name if whole.parent.name == "arms" else whole.parent.name


def _names(name: str, shipped: Shipped) -> dict[str, Served]:
    """The arm under its name, and its weights alone under NAME/raw; a bare model under its name."""
    generation = Generation(max_new_tokens=min(RAW_TOKENS, shipped.model.window // 2))
    bare = replace(shipped, template="{input}", shots=(), generation=generation, probes=(), answers_by="generation")
    if not shipped.probes:
        return {name: Served(name, bare, True, _short(shipped.fingerprint))}
    note = ShippedNote.read(shipped.folder)
    arm = Served(name, shipped, False, _short(shipped.fingerprint), note.prompt_sha256, _beginning(shipped))
    if shipped.model.family == "encoder":  # it writes nothing
        return {name: arm}
    return {name: arm, name + RAW: Served(name + RAW, bare, True, _short(sha256_of_text(shipped.fingerprint, "raw")))}


def _short(sha256: str) -> str:
    return f"luthier-{sha256[:16]}"


def _beginning(shipped: Shipped) -> tuple[int, ...]:
    """What the arm's prompts begin with: nearly all of them, since a letter of the input may join the last token."""
    if shipped.answers_by != "generation":
        return ()
    try:
        prompts = [shipped.prompt(text).prompt_ids for text in _INPUTS]
    except LuthierError:
        return ()
    return tuple(prompts[0][: shared_length(prompts)])


@torch.no_grad()
def _share_weights(models: Sequence[Model]) -> None:
    """Weights that are equal in two models stand in memory once: arms of one study have their base in common.

    The models must never be trained after that.
    """
    first: dict[str, torch.nn.Parameter] = {}
    for module in {id(model.module): model.module for model in models}.values():
        for name, parameter in module.named_parameters():
            other = first.setdefault(name.replace(".base_layer", ""), parameter)
            same_kind = type(other) is type(parameter) and other.dtype == parameter.dtype
            if other is not parameter and same_kind and torch.equal(other, parameter):
                parameter.data = other.data
