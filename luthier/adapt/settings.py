"""Each method's settings, and how an arm's short form names them. No torch, so that a plan can read an arm.

A method itself is in its own file of this room; METHODS (methods.py) joins both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from luthier.errors import SettingsError
from luthier.settings import Settings


class NoSettings(Settings):
    """A method without settings of its own."""


class Copy(Settings):
    """The first lines of the input as the answer."""

    lines: int = Field(3, ge=1, description="lines (turns) copied")


class Nearest(Settings):
    """The number of train rows that vote."""

    neighbours: int = Field(1, ge=1, description="most similar train rows, of which the commonest label is taken")


class Shots(Settings):
    """The number of solved examples in front of the question."""

    shots: int = Field(0, ge=0, le=64, description="solved examples from train, drawn by the task's seed")


class OneShot(Shots):
    shots: int = Field(1, ge=1, le=1, description="one solved example")


class FewShot(Shots):
    shots: int = Field(2, ge=1, le=64, description="solved examples from train, drawn by the task's seed")


GENERAL = 0.05  # share of general rows among the pieces of texts, so that less of what the base could do is lost


class Texts(Settings):
    """The texts of further pretraining."""

    corpus: str = Field(
        "task", min_length=1,
        description="'task' (its training inputs), 'docstrings', a folder of texts, a .txt, or rows with 'text'",
    )  # fmt: skip
    references: bool = Field(False, description="with corpus 'task': whether the references stand behind the inputs")
    row: int = Field(512, ge=16, le=2**17, description="most tokens of a piece; a longer document is read in pieces")


class Domain(Texts):
    """The texts of further pretraining, and how the model is asked after it."""

    shots: int = Field(0, ge=0, le=64, description="solved examples in front of the question, drawn by the task's seed")


class Select(Settings):
    """Which of the model's own parameters move."""

    parts: str = Field(
        "last", description="'last' (see layers), 'norms', 'biases', or module names joined by commas: 'lm_head,q_proj'"
    )
    layers: int = Field(2, ge=1, description="with 'last': how many of the last blocks move; of the decoder, if two")


class Tokens(Settings):
    """Which rows of the embedding matrix move."""

    tokens: str = Field(
        "special", description="'special' (all special tokens), or tokens joined by commas: '<|im_start|>,<|im_end|>'"
    )


class Lora(Settings):
    """LoRA's own settings. docs/training.md gives the reasons for the defaults."""

    rank: int = Field(16, ge=1, le=2**14, description="r, the inner width of the update")
    alpha: float | None = Field(None, gt=0, le=1e6, description="the update is scaled by alpha / r; None: alpha = 2 r")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    targets: str = Field(
        "all-linear", description="'all-linear', or module names joined by commas such as 'q_proj,v_proj'"
    )


class QLora(Lora):
    width: Literal["nf4", "int4", "int8"] = Field("nf4", description="of the frozen base; qlora@int4 says the same")


class RsLora(Lora):
    alpha: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="the update is scaled by alpha / sqrt(r); None: 8, which at rank 16 is lora's scale",
    )


class LoraPlus(Lora):
    ratio: float = Field(16.0, gt=0, le=1e6, description="B's learning rate as a multiple of A's")


class IA3(Settings):
    """Where the vectors stand."""

    outputs: str | None = Field(
        None, description="modules whose outputs are scaled, joined by commas: 'k_proj,v_proj'; None: peft's table"
    )
    inputs: str | None = Field(
        None, description="modules whose inputs are scaled, the second feed-forward layer: 'down_proj'; None: the table"
    )


class BottleneckSettings(Settings):
    """The adapters."""

    width: int = Field(32, ge=1, le=2**14, description="m, the inner width of an adapter")
    place: Literal["both", "feed-forward"] = Field(
        "both", description="'both' (behind attention too, Houlsby) or 'feed-forward' (Pfeiffer)"
    )


class Soft(Settings):
    """The learned prompt."""

    tokens: int = Field(16, ge=1, le=1024, description="learned embeddings in front of the input")
    start: Literal["vocabulary", "text", "random"] = Field(
        "vocabulary", description="'vocabulary' (embeddings of random words), 'text' (see text) or 'random' (normal)"
    )
    text: str | None = Field(None, description="with start 'text': the words to start from, repeated or cut to tokens")

    @model_validator(mode="after")
    def _text_to_start_from(self) -> Soft:
        if (self.start == "text") != bool((self.text or "").strip()):
            raise ValueError("start 'text' and a text belong together; give both, such as start=text+text=Summarize")
        return self


class PTuning(Settings):
    """The learned prompt and the network that writes it."""

    tokens: int = Field(16, ge=1, le=1024, description="learned embeddings in front of the input")
    hidden: int | None = Field(None, ge=1, le=2**13, description="width of the network; None: the model's own")
    network: Literal["mlp", "lstm"] = Field("mlp", description="'mlp' (three layers) or 'lstm' (two, both ways)")
    start: Literal["vocabulary", "random"] = Field(
        "vocabulary",
        description="the network writes at first: 'vocabulary' (random words) or 'random' (what it happens to)",
    )


class Prefix(Settings):
    """The learned keys and values."""

    tokens: int = Field(16, ge=1, le=1024, description="positions of learned keys and values")
    hidden: int | None = Field(
        None, ge=1, le=2**16, description="width of a network that writes them; None: learned directly"
    )
    start: Literal["vocabulary", "random", "zero"] | None = Field(
        None,
        description="'vocabulary' (of random words that the model has read), 'random' (standard normal) or 'zero'; "
        "None: vocabulary, or random where a network writes them",
    )

    @model_validator(mode="after")
    def _a_network_writes_what_it_can(self) -> Prefix:
        if self.hidden is not None and self.start == "vocabulary":
            raise ValueError("a network cannot start from what words have left; leave out hidden, or start=vocabulary")
        return self


WRITERS = ("decoder", "encoder-decoder")
ALL = (*WRITERS, "encoder")


@dataclass(frozen=True)
class Form:
    """How an arm names a method and its settings. `dial` is the setting that may stand as a number: `lora-r16`.

    `families` are those of the models that it adapts: an encoder answers by a trained head alone. `whole`: whether the
    arm's model can be one plain model, which can then be made narrow.
    """

    settings: type[Settings] = NoSettings
    dial: str | None = None
    dial_prefix: str = ""  # 'r' in lora-r16
    asks_model: bool = True
    trains: bool = True
    families: tuple[str, ...] = WRITERS
    whole: bool = False


_LOW_RANK = ("rank", "r")
FORMS: dict[str, Form] = {
    "copy": Form(Copy, "lines", asks_model=False, trains=False),
    "majority": Form(asks_model=False, trains=False),
    "nearest": Form(Nearest, "neighbours", asks_model=False, trains=False),
    "bare": Form(trains=False, whole=True),
    "zero-shot": Form(Shots, trains=False, whole=True),
    "one-shot": Form(OneShot, trains=False, whole=True),
    "few-shot": Form(FewShot, "shots", trains=False, whole=True),
    "full": Form(families=ALL, whole=True),
    "domain": Form(Domain, whole=True),
    "select": Form(Select, "layers", "last-", families=ALL),
    "bitfit": Form(families=ALL),
    "head": Form(families=("encoder",)),
    "tokens": Form(Tokens, whole=True),
    "lora": Form(Lora, *_LOW_RANK, families=ALL, whole=True),
    "qlora": Form(QLora, *_LOW_RANK, whole=True),
    "rslora": Form(RsLora, *_LOW_RANK, families=ALL, whole=True),
    "dora": Form(Lora, *_LOW_RANK, families=ALL, whole=True),
    "pissa": Form(Lora, *_LOW_RANK, whole=True),
    "lora-plus": Form(LoraPlus, *_LOW_RANK, families=ALL, whole=True),
    "ia3": Form(IA3, families=ALL, whole=True),
    "bottleneck": Form(BottleneckSettings, "width"),
    "soft": Form(Soft, "tokens"),
    "p-tuning": Form(PTuning, "tokens"),
    "prefix": Form(Prefix, "tokens"),
}


def refuse_width(where: str, method: str, width: str) -> None:
    """Raises SettingsError for a method whose arm leaves no weights that could be made `width`."""
    if FORMS[method].whole and not _has_width(method):
        return
    can = ", ".join(name for name, form in FORMS.items() if form.whole and form.trains and not _has_width(name))
    raise SettingsError(f"{where}: {method} leaves no whole weights to make {width}; these do: prompting, {can}")


def _has_width(method: str) -> bool:
    return "width" in FORMS[method].settings.model_fields


def refuse_family(where: str, method: str, model: str, family: str) -> None:
    """Raises SettingsError for a method that does not adapt models of this family."""
    if family in FORMS[method].families:
        return
    fitting = ", ".join(name for name, form in FORMS.items() if form.asks_model and family in form.families)
    kind = f"a{'n' * (family[0] == 'e')} {family}"
    raise SettingsError(f"{where}: {method} cannot be an arm of {model}, {kind}; there are: {fitting}")
