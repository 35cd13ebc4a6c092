"""What a tokenizer makes of a text: pieces, ids, bytes a token, and what a context window then holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from luthier.errors import ModelError
from luthier.model.sources import resolve

# What the same number of bytes costs where it is not English prose.
SAMPLES = {
    "English": "The boat left the harbour at noon, and nobody on the pier could say when it would be back.",
    "numbers": "3.14159 26535 89793 2,384,626 4338-327-950 1999-12-31 23:59:59 0x7F 6.02e23 1/3 = 33.333 %",
    "code": "def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n    return total\n",
    "German": "Das Schiff verließ mittags den Hafen, und niemand am Kai wusste, wann es zurückkehren würde.",
    "Chinese": "船在中午离开了港口，码头上没有人知道它什么时候会回来。",
}
_WINDOWS = ("max_position_embeddings", "n_positions", "n_ctx")


@dataclass(frozen=True)
class TokenTable:
    """One tokenizer on one text. A piece is the text between the borders of its token, as the tokenizer saw it."""

    tokenizer: str
    vocabulary: int
    pieces: list[str]
    ids: list[int]
    bytes: int
    lossless: bool  # whether the ids give the text back
    bytes_a_token: dict[str, float]  # of each sample
    window: int | None  # tokens

    @property
    def own_bytes_a_token(self) -> float:
        return self.bytes / max(1, len(self.ids))

    @property
    def window_bytes(self) -> int | None:
        """Bytes of a text like this one that fill the window."""
        return None if self.window is None else round(self.window * self.own_bytes_a_token)


def token_table(text: str, name: str) -> TokenTable:
    """The text by the tokenizer `name`: a model (short name, hub id, folder) or a tokenizer.json.

    No special tokens are added. Raises ModelError where there is no such tokenizer.
    """
    tokenizer, window = load_tokenizer(name)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    rates = {
        sample: len(words.encode()) / max(1, len(tokenizer.encode(words, add_special_tokens=False).ids))
        for sample, words in SAMPLES.items()
    }
    return TokenTable(
        tokenizer=name,
        vocabulary=int(tokenizer.get_vocab_size()),
        pieces=[shown_piece(tokenizer, token) for token in ids],
        ids=ids,
        bytes=len(text.encode()),
        lossless=tokenizer.decode(ids, skip_special_tokens=False) == text,
        bytes_a_token=rates,
        window=window,
    )


def load_tokenizer(name: str) -> tuple[Tokenizer, int | None]:
    """A tokenizer and its model's context window. Imports no torch where the model is there already."""
    path = Path(name)
    folder = path.parent if path.is_file() else resolve(name)
    file = path if path.is_file() else folder / "tokenizer.json"
    try:
        made = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exceptions
        raise ModelError(f"{name}: {file} is no tokenizer file ({str(error)[:100]}); name a tokenizer.json") from None
    made.no_truncation()
    made.no_padding()
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    sizes = [config[key] for key in _WINDOWS if isinstance(config, dict) and isinstance(config.get(key), int)]
    return made, sizes[0] if sizes else None


def shown_piece(tokenizer: Tokenizer, token: int) -> str:
    """A token as text; bytes that are no whole character are written as the tokenizer writes them."""
    text = tokenizer.decode([token], skip_special_tokens=False)
    return text if text and "\ufffd" not in text else str(tokenizer.id_to_token(token))
