"""The items of the panel, each of one instrument. All were written or generated for luthier and are CC0."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from luthier.files import sha256_of_text


class Item(Protocol):
    """What every item has: a unique id, and the group that its row is shown in."""

    @property
    def id(self) -> str: ...
    @property
    def group(self) -> str: ...


@dataclass(frozen=True)
class Document:
    """A text to be predicted; `group` is its kind."""

    id: str
    group: str
    text: str


@dataclass(frozen=True)
class Pair:
    """A right and a wrong sentence; `group` is the phenomenon."""

    id: str
    group: str
    right: str
    wrong: str


@dataclass(frozen=True)
class Instruction:
    """A request, and what an answer has to obey: (requirement, its arguments), see requirements.py."""

    id: str
    group: str
    text: str
    requirements: tuple[tuple[str, tuple[Any, ...]], ...]


@dataclass(frozen=True)
class Plain:
    """A plain request, to see how far answers drift; `group` is what it asks for."""

    id: str
    group: str
    text: str


def sha256_of(items: Iterable[Any]) -> str:
    """One hash over all items: a panel of other items is another panel."""
    return sha256_of_text(*(json.dumps(asdict(item), ensure_ascii=False, sort_keys=True) for item in items))
