"""The text that pretraining reads: docstrings that every machine has, as documents for us and as ids for the others.

documents.jsonl    what luthier reads, and cuts by its own way
train.bin, val.bin, meta.pkl    the same documents through the same tokenizer, with an end behind each: 16-bit ids, as
                                nanoGPT reads them
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bench.rows import WHOLE
from luthier.files import building, write_lines
from luthier.scratch.corpus import read_corpus
from luthier.scratch.pretrain import prepare
from luthier.scratch.pretraining import Pretraining

TEXT_BYTES = 2_000_000


def pretraining_text(work: Path, texts: Iterable[str] | None = None) -> Path:
    """The folder of the text, made once; of docstrings, or of given texts."""
    folder = work / "text"
    if folder.exists():
        return folder
    with building(folder) as part:
        documents, taken = [], 0
        for text in texts if texts is not None else (document.text for document in read_corpus().train):
            if taken < TEXT_BYTES:
                documents.append({"text": text})
                taken += len(text.encode())
        write_lines(part / "documents.jsonl", documents)
        given = Pretraining(corpus=str(part / "documents.jsonl"), vocabulary=WHOLE.vocabulary)
        made = prepare(given, part / "tokenizer")
        ids = [one for document in made.corpus.train for one in (*made.encode(document.text), made.ids.end)]
        for name in ("train.bin", "val.bin"):
            np.array(ids, dtype=np.uint16).tofile(part / name)
        (part / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": made.shape.vocabulary}))
    return folder
