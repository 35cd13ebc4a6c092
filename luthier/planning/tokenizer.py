"""A model's tokenizer without torch: its tokenizer.json and chat template, as the renderer asks for them.

transformers' tokenizers import torch. This one reads the same files with the library that they use (tokenizers) and
gives the same ids; a test holds both against each other.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.errors import ModelError
from luthier.model.weight_files import json_table

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MORE = ("additional_special_tokens", "extra_special_tokens")


class LightTokenizer:
    """What task/prompt.py's Renderer asks of a tokenizer. Raises ModelError for a folder without tokenizer.json."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        if not path.exists():
            raise ModelError(f"{folder}: there is no tokenizer.json; give --tokens instead of --task")
        try:
            self._raw = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises this type and no other
            raise ModelError(f"{path}: the tokenizer cannot be read ({str(error)[:200]}); fetch it again") from None
        self._raw.no_truncation()
        self._raw.no_padding()
        self._folder = folder
        self._keys = _keys_of(folder)

    @cached_property
    def chat_template(self) -> str | None:
        file = self._folder / "chat_template.jinja"
        if file.exists():
            return file.read_text(encoding="utf-8")
        template = self._keys.get("chat_template")
        return template if isinstance(template, str) else None

    @property
    def name_or_path(self) -> str:
        return str(self._folder)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Role -> text, as a chat template asks for them."""
        return {role: text for role in ROLES if (text := self._text(role))}

    @cached_property
    def added_tokens_decoder(self) -> dict[int, Any]:
        return dict(self._raw.get_added_tokens_decoder())

    @property
    def all_special_tokens(self) -> list[str]:
        return special_tokens(self._folder)

    @property
    def eos_token_id(self) -> int | None:
        text = self._text("eos_token")
        return self._raw.token_to_id(text) if text else None

    def convert_ids_to_tokens(self, id: int) -> str | None:
        token: str | None = self._raw.id_to_token(id)
        return token

    def __len__(self) -> int:
        return int(self._raw.get_vocab_size(with_added_tokens=True))

    def __call__(self, text: str, add_special_tokens: bool = True, verbose: bool = False) -> dict[str, list[int]]:
        return {"input_ids": self._raw.encode(text, add_special_tokens=add_special_tokens).ids}

    def _text(self, role: str) -> str | None:
        value = self._keys.get(role)
        return _content(value) if value else None


def special_tokens(folder: Path) -> list[str]:
    """The texts of a tokenizer's special tokens, from its configuration; none where there is no configuration."""
    keys = _keys_of(folder)
    more = [_content(one) for key in MORE for one in _as_list(keys.get(key))]
    return list(dict.fromkeys([_content(keys[role]) for role in ROLES if keys.get(role)] + more))


def _keys_of(folder: Path) -> dict[str, Any]:
    return _json(folder / "special_tokens_map.json") | _json(folder / "tokenizer_config.json")


def _content(value: Any) -> str:
    return str(value["content"]) if isinstance(value, dict) else str(value)


def _as_list(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value or [])


def _json(path: Path) -> dict[str, Any]:
    try:
        return json_table(path)
    except ModelError:
        return {}
