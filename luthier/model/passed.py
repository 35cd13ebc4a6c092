"""What passed a check once, remembered in the user's cache by a hash of all that the check looked at.

Only what passed is remembered. What was refused is looked at again, because it may have been mended.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from luthier.errors import FolderError
from luthier.files import cache_folder, sha256_of_text, sweep, write_text


def has_passed(check: str, *looked_at: str) -> bool:
    """Whether `check` passed on exactly this before. Never for a user without a place for a cache."""
    try:
        return _place(check, looked_at).is_file()
    except FolderError:
        return False


def remember(check: str, *looked_at: str) -> None:
    """Remembers that `check` passed. A cache that cannot be written makes the next time slower, not wrong."""
    with contextlib.suppress(FolderError, OSError):
        place = _place(check, looked_at)
        sweep(place)  # what a kill left of it
        write_text(place, "passed\n")


def _place(check: str, looked_at: tuple[str, ...]) -> Path:
    return cache_folder() / "passed" / f"{check}-{sha256_of_text(*looked_at)[:32]}"
