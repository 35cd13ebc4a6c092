"""Tokenizers that are trained here, as files of the `tokenizers` library: bytes, BPE, WordPiece and Unigram.

    bytes      256 tokens
    bpe        byte-level BPE (Sennrich et al. 2016); bpe.py trains the same merges
    wordpiece  WordPiece (Schuster and Nakajima 2012), on the words and signs that BERT splits at
    unigram    Unigram over byte-level words (Kudo 2018)

Training twice gives the same tokenizer, for BPE because ties have an order. The library gives WordPiece's `##c` their
ids in an order that changes from run to run, so here they come first, sorted. Unigram's training itself changes from
run to run: it is trained once, kept as a file under the hash of its texts, and whoever uses it names the file's hash.

All but WordPiece are lossless. Every kind has the token END between documents, with the last id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from luthier.errors import SettingsError
from luthier.files import locked, replacing, sha256_of, sha256_of_text

KINDS = ("bytes", "bpe", "wordpiece", "unigram")
END, UNKNOWN = "<|end|>", "<unk>"
SMALLEST, LARGEST = 257, 1_000_000


@dataclass(frozen=True)
class Vocabulary:
    """A trained tokenizer, where it lies, and the hash of its file."""

    tokenizer: Tokenizer
    file: Path
    sha256: str

    @property
    def size(self) -> int:
        """All ids, END included."""
        return int(self.tokenizer.get_vocab_size())

    @property
    def end(self) -> int:
        return int(self.tokenizer.token_to_id(END) or 0)


def vocabulary(kind: str, size: int, texts: Sequence[str], folder: Path) -> Vocabulary:
    """The tokenizer of a kind with at most `size` ids, END included, trained on the texts or read from `folder`.

    A tokenizer that was trained on the same texts is read again. Raises SettingsError for an unknown kind or a size out
    of range, FolderError when the disk refuses.
    """
    if kind not in KINDS:
        raise SettingsError(f"'{kind}' is no kind of tokenizer; choose one of {', '.join(KINDS)}")
    if not SMALLEST <= size <= LARGEST:
        raise SettingsError(f"a tokenizer of {size} tokens cannot be made; give a number from {SMALLEST} to {LARGEST}")
    key = sha256_of_text(*texts)[:16]
    file = folder / (f"tokenizer-{kind}.json" if kind == "bytes" else f"tokenizer-{kind}-{size}-{key}.json")
    if not file.exists():
        with locked(folder, wait=True):  # two processes would train two Unigrams
            if not file.exists():
                made = _TRAINERS[kind](texts, size - 1)
                made.add_special_tokens([AddedToken(END, special=True, normalized=False)])
                with replacing(file) as out:
                    out.write(made.to_str(pretty=True).encode())
    return Vocabulary(Tokenizer.from_file(str(file)), file, sha256_of(file))


def _byte_level(model: models.Model) -> Tokenizer:
    made = Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def _bytes(texts: Sequence[str], size: int) -> Tokenizer:
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    return _byte_level(models.BPE({sign: n for n, sign in enumerate(signs)}, []))


def _bpe(texts: Sequence[str], size: int) -> Tokenizer:
    return _trained(_byte_level(models.BPE()), trainers.BpeTrainer, texts, size)


def _unigram(texts: Sequence[str], size: int) -> Tokenizer:
    return _trained(_byte_level(models.Unigram()), trainers.UnigramTrainer, texts, size)


def _trained(made: Tokenizer, trainer: Callable[..., Any], texts: Sequence[str], size: int) -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(texts, trainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    return made


def _wordpiece(texts: Sequence[str], size: int) -> Tokenizer:
    splits = pre_tokenizers.BertPreTokenizer()
    signs = sorted({sign for text in texts for word, _ in splits.pre_tokenize_str(text) for sign in word})
    first = [UNKNOWN, *signs, *(f"##{sign}" for sign in signs)]
    if len(first) > size:
        raise SettingsError(
            f"a WordPiece of {size + 1} tokens has no room for the {len(signs)} signs of these texts, each at the "
            f"beginning and inside of a word; give {len(first) + 1} or more"
        )
    trained = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    trained.pre_tokenizer = splits
    trained.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=first, show_progress=False)
    )
    # As special tokens they would be found in any text; in a new tokenizer they are ordinary ones.
    made = Tokenizer(models.WordPiece(trained.get_vocab(), unk_token=UNKNOWN))
    made.pre_tokenizer = splits
    made.decoder = decoders.WordPiece()
    return made


_TRAINERS = {"bytes": _bytes, "bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}
