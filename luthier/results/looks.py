"""How often a test set was looked at, counted in the user's cache over all studies and comparisons.

A look is one thing that was asked of one test set: what was compared, under which settings. Asking the same again,
after a kill or out of curiosity, in this folder or a copy of it, is the same look and gives the same numbers; another
arm, model, seed or margin is another look, since it may have been chosen for what the last one showed.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from luthier.files import cache_folder, locked
from luthier.results.record import Record


class Looks(Record):
    """Test set -> what was asked of it, in order, both as hashes. The file has no other keys than the test sets."""

    FILE: ClassVar[str] = "test-openings.json"
    REMEDY: ClassVar[str] = "remove the file, and looks are counted from 1 again"

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[str]]

    def at(self, test: str) -> list[str]:
        """What was asked of a test set."""
        return self.__pydantic_extra__.get(test, [])

    def with_one_more(self, test: str, asked: str) -> Looks:
        return Looks(**{**self.__pydantic_extra__, test: [*self.at(test), asked]})


def _known(cache: Path) -> Looks:
    return Looks.read_if_there(cache) or Looks()


def count_look(test: str, asked: str) -> int:
    """Which look at the test set this is, the first being 1; counts it when it is new.

    test, asked: hashes of the test set and of what is asked of it. Raises FolderError when the cache cannot be written.
    """
    cache = cache_folder()
    with locked(cache, wait=True):
        looks = _known(cache)
        if asked not in looks.at(test):
            looks = looks.with_one_more(test, asked)
            looks.write(cache)
    return looks.at(test).index(asked) + 1


def next_look(test: str, asked: str | None = None) -> int:
    """Which look it would be, without counting it."""
    looks = _known(cache_folder()).at(test)
    return (looks.index(asked) if asked in looks else len(looks)) + 1
