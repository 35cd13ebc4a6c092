"""Keeping libraries off the screen while they load, and nothing of it afterwards; without torch until it is asked."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from threading import Lock

_LOCK = Lock()
_inside = 0  # threads that load or save
_before = (0, False)  # transformers' verbosity and whether it shows bars, as they were before the first


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' own progress bars and warnings off the screen while it loads or saves.

    Its settings are the whole process's: the first thread inside changes them, and the last one puts them back.
    """
    from transformers.utils import logging as settings

    global _inside, _before
    with _LOCK:
        if not _inside:
            _before = settings.get_verbosity(), settings.is_progress_bar_enabled()
            settings.set_verbosity_error()
            settings.disable_progress_bar()
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside:
                settings.set_verbosity(_before[0])
                if _before[1]:
                    settings.enable_progress_bar()


@contextlib.contextmanager
def only_errors_while_importing(library: str) -> Iterator[None]:
    """Inside, the loggers of `library` hand on errors alone: for one that speaks while it is imported."""
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _OnlyErrorsOfOwnCalls(logging.Filter):
    """Lets everything through but the warnings of calls that are inside `only_errors_of`."""

    inside: ContextVar[bool] = ContextVar("inside", default=False)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or not self.inside.get()


_OWN_CALLS = _OnlyErrorsOfOwnCalls()


@contextlib.contextmanager
def only_errors_of(logger: str) -> Iterator[None]:
    """Inside, `logger` hands on only errors of what this thread does; others hear their own warnings still."""
    logging.getLogger(logger).addFilter(_OWN_CALLS)  # a second time it does nothing
    token = _OWN_CALLS.inside.set(True)
    try:
        yield
    finally:
        _OWN_CALLS.inside.reset(token)
