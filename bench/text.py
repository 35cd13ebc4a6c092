"""The text that pretraining reads: docstrings that every machine has, as documents for us and as ids for the others.

documents.jsonl    what luthier reads, and cuts by its own way
train.bin, val.bin, meta.pkl    the same documents through the same tokenizer, with an end behind each: 16-bit ids, as
                                nanoGPT reads them
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from luthier.files import building, write_lines
from luthier.scratch.corpus import read_corpus
from luthier.scratch.pretrain import TOKENIZER_BYTES, Pretraining, prepare

TEXT_BYTES = 2_000_000
VOCABULARY = 1024  # ids


def settings(folder: Path, **shape: int) -> Pretraining:
    """luthier's settings for this text, which are its defaults beside it."""
    return Pretraining(corpus=str(folder / "documents.jsonl"), tokenizer="bpe", vocabulary=VOCABULARY, **shape)


def pretraining_text(work: Path) -> Path:
    """The folder of the text, made once."""
    folder = work / "text"
    if folder.exists():
        return folder
    with building(folder) as part:
        taken, documents = 0, []
        for document in read_corpus().train:
            if taken < min(TEXT_BYTES, TOKENIZER_BYTES):
                documents.append({"text": document.text})
                taken += document.bytes
        write_lines(part / "documents.jsonl", documents)
        made = prepare(settings(part), part / "tokenizer")
        ids = [one for document in made.corpus.train for one in (*made.encode(document.text), made.ids.end)]
        for name in ("train.bin", "val.bin"):
            np.array(ids, dtype=np.uint16).tofile(part / name)
        (part / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": made.shape.vocabulary}))
    return folder
