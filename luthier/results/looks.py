"""The number of looks at a test set, counted in the user's cache over all studies and comparisons.

A look is one comparison, under its settings, on one test set. Running the same comparison again, in this folder or a
copy of it, is the same look and gives the same numbers. Another arm, model, seed or margin is another look, since the
last look may have led to that choice.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from luthier.files import cache_folder, locked
from luthier.results.record import Record


class Looks(Record):
    """Test set -> its looks in order, both as hashes. The file has no other keys than the test sets."""

    FILE: ClassVar[str] = "test-openings.json"
    REMEDY: ClassVar[str] = "remove the file, and looks are counted from 1 again"

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[str]]

    def at(self, test: str) -> list[str]:
        """The looks at a test set, in order."""
        return self.__pydantic_extra__.get(test, [])

    def with_one_more(self, test: str, asked: str) -> Looks:
        return Looks(**{**self.__pydantic_extra__, test: [*self.at(test), asked]})


def _stored(cache: Path) -> Looks:
    return Looks.read_if_there(cache) or Looks()


def count_look(test: str, asked: str) -> int:
    """The number of this look at the test set, from 1; counts it when it is new.

    test, asked: hashes of the test set and of the comparison with its settings. Raises FolderError when the cache
    cannot be written.
    """
    cache = cache_folder()
    with locked(cache, wait=True):
        looks = _stored(cache)
        if asked not in looks.at(test):
            looks = looks.with_one_more(test, asked)
            looks.write(cache)
    return looks.at(test).index(asked) + 1


def next_look(test: str, asked: str | None = None) -> int:
    """The number that this look would have, without counting it."""
    looks = _stored(cache_folder()).at(test)
    return (looks.index(asked) if asked in looks else len(looks)) + 1
