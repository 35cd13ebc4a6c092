"""How often a test set was looked at, counted in the user's cache over all studies and comparisons.

A look is one thing that was asked of one test set: what was compared, under which settings. Asking the same again,
after a kill or out of curiosity, in this folder or a copy of it, is the same look and gives the same numbers; another
arm, model, seed or margin is another look, since it may have been chosen for what the last one showed.
"""

from __future__ import annotations

from luthier.files import cache_folder, locked, read_json, write_json

FILE = "test-openings.json"


def count_look(test: str, asked: str) -> int:
    """Which look at the test set this is, the first being 1; counts it when it is new.

    test, asked: hashes of the test set and of what is asked of it. Raises FolderError when the cache cannot be written.
    """
    cache = cache_folder()
    with locked(cache, wait=True):
        path = cache / FILE
        known = read_json(path) if path.exists() else {}
        looks = known.setdefault(test, [])
        if asked not in looks:
            looks.append(asked)
            write_json(path, known)
    return int(looks.index(asked)) + 1


def next_look(test: str, asked: str | None = None) -> int:
    """Which look it would be, without counting it."""
    path = cache_folder() / FILE
    looks = read_json(path).get(test, []) if path.exists() else []
    return int(looks.index(asked) if asked in looks else len(looks)) + 1
