"""pretrain.json: a model trained from nothing: its settings, its text, and what it reached."""

from __future__ import annotations

from typing import ClassVar

from luthier.results.record import FirstFormat, Number, Part, Record, SettingsTable


class BitsPerByte(Part):
    """Bits a UTF-8 byte of held-out documents, with a 95 % interval over documents; None where it is not known."""

    value: Number
    low: Number | None
    high: Number | None
    documents: int
    bytes: int
    xz: Number  # of the same documents, by `xz -9e`
    bzip2: Number  # by `bzip2 -9`


class TextSample(Part):
    """What the model wrote at the end of training."""

    prompt: str
    text: str


class PretrainRecord(Record):
    """pretrain.json. `finished` and what follows is there when the training has ended."""

    FILE: ClassVar[str] = "pretrain.json"
    REMEDY: ClassVar[str] = "name a new folder with --out"

    format: FirstFormat
    settings: SettingsTable
    command: str
    versions: dict[str, str]
    precision: str = "fp32"  # of products
    corpus_sha256: str
    tokenizer_sha256: str
    train_documents: int
    train_bytes: int
    parameters: int
    parameters_without_embeddings: int
    steps: int
    rows_a_step: int
    flops: Number
    finished: bool
    tokens: int | None = None
    supervised: int | None = None
    loss: Number | None = None  # nats a supervised token, of the last tenth of the steps
    held_out: BitsPerByte | None = None
    elsewhere: BitsPerByte | None = None
    samples: list[TextSample] | None = None
    weights_sha256: str | None = None
    shared_steps: int | None = None  # of `steps`, those that a shorter training had made; None: none
