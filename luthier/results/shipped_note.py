"""luthier.json: the note in an arm's folder with everything that is needed to ask the arm again, as it was measured.

`generation` stays a table of plain values: its keys are those of the generator's settings (decoding/sampling.py).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from luthier.records import Example, Turn
from luthier.results.record import Day, FirstFormat, Part, Sealed, SettingsTable


class Base(Part):
    """The base model that the arm was measured on."""

    name: str
    sha256: str
    family: str
    precision: str
    files: dict[str, str]  # file -> SHA-256, of all that decide its answers


class Shot(Part):
    """A solved example that stands in every prompt."""

    id: str
    input: str
    references: tuple[str, ...]
    meta: SettingsTable  # whatever columns the user keeps
    unit: str
    row: int
    # Only of an input of several parts; the note's hash is over the fields that were given.
    turns: tuple[Turn, ...] = ()
    fields: dict[str, str] = Field(default={})

    @classmethod
    def of(cls, example: Example) -> Shot:
        return cls(**{name: value for name, value in vars(example).items() if value or name not in ("turns", "fields")})

    @property
    def example(self) -> Example:
        return Example(**dict(self))


class Probe(Part):
    """A dev example whose answer is stored, so that the arm can be asked again."""

    id: str
    prompt_ids: list[int]
    text: str
    tokens: list[int]


class ShippedNote(Sealed):
    """The note beside an arm's weights."""

    FILE: ClassVar[str] = "luthier.json"
    REMEDY: ClassVar[str] = "make the arm again"
    SEAL: ClassVar[str] = "note_sha256"

    format: FirstFormat
    method: str
    weights: (
        Literal["adapter", "weights", "quantized"] | None
    )  # the folder beside this file that holds them; None: the base's own
    width: str | None
    weights_sha256: str | None  # of weights that were made narrow
    files: dict[str, str]  # file in the folder of the weights -> SHA-256
    base: Base
    template: str
    shots: list[Shot]
    prompt_sha256: str  # of an empty prompt under template, shots and tokenizer
    generation: SettingsTable
    labels: list[str]
    answers_by: Literal["generation", "likelihood", "head"]
    seed: int
    probes: list[Probe]
    note_sha256: str  # of all other fields
    day: Day | None = None  # the date in every prompt; only where the base's chat template prints one
    # Tokens of the window that every prompt of the study left free for the answer; notes of older versions have none.
    room: int | None = Field(None, ge=0)
    # File in domain/ -> SHA-256: the weights of further pretraining that the arm begins with; only where it does.
    domain: dict[str, str] = Field(default={})
