"""domain.json: a base that read texts of its domain before it was asked or trained on: which ones, what it learned.

It lies beside the weights, in the study's domain/MARK/, and in the folder of every arm that begins with them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from luthier.results.arm_record import REMEDY, TrainingCounts
from luthier.results.record import FirstFormat, Number, Part, Record, SettingsTable

Measure = Literal["bits per byte", "bits per hidden token"]


class Bits(Part):
    """Bits of all documents together, divided once by their bytes or hidden tokens, with an interval over documents.

    The ends are None where a single document was read.
    """

    value: Number
    low: Number | None
    high: Number | None


class BitsChange(Part):
    """The same documents before and after. `difference` is after less before: below 0 where something was learned."""

    before: Bits
    after: Bits
    difference: Bits
    documents: int
    units: int  # bytes, or hidden tokens


class DomainRecord(Record):
    """One further pretraining. It is written last, so its presence means that the weights are complete."""

    FILE: ClassVar[str] = "domain.json"
    REMEDY: ClassVar[str] = REMEDY

    format: FirstFormat
    mark: str  # of all that decides the weights; names their folder
    model: str
    settings: SettingsTable
    training: SettingsTable
    seed: int
    corpus_sha256: str  # of the documents that were kept
    documents: int  # trained on
    bytes: int  # of them
    held_out: int  # documents of the same texts that were not trained on
    left_out: dict[str, int] = Field(default={})  # reason -> documents
    counts: TrainingCounts  # an example is a piece of a document
    measure: Measure
    level: Number
    inside: BitsChange  # held-out documents of the same texts
    outside: BitsChange  # general documents that ship with luthier
    saved_bytes: int
