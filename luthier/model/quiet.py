"""Keeps libraries from printing while they load, and restores their settings. No torch when imported."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import import_module
from threading import Lock
from types import SimpleNamespace
from typing import Any

_LOCK = Lock()
_inside = 0  # threads that load or save
_before: tuple[int, bool, Any] = (0, False, None)  # transformers' verbosity, whether it shows bars, and GGUF's bar


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' own progress bars and warnings off the screen while it loads or saves.

    Its settings are the whole process's: the first thread inside changes them, and the last one puts them back.
    """
    from transformers.utils import logging as settings

    gguf: Any = _gguf_reader()
    global _inside, _before
    with _LOCK:
        if not _inside:
            _before = settings.get_verbosity(), settings.is_progress_bar_enabled(), getattr(gguf, "tqdm", None)
            settings.set_verbosity_error()
            settings.disable_progress_bar()
            gguf.tqdm = settings.tqdm  # reading GGUF has a bar of its own, which no setting reaches
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside:
                gguf.tqdm = _before[2]
                settings.set_verbosity(_before[0])
                if _before[1]:
                    settings.enable_progress_bar()


def _gguf_reader() -> Any:
    """transformers' module that reads GGUF files; where a version has it elsewhere, its bar is seen and no more."""
    try:
        return import_module("transformers.modeling_gguf_pytorch_utils")
    except ImportError:
        return SimpleNamespace()


@contextlib.contextmanager
def only_errors_while_importing(library: str) -> Iterator[None]:
    """Inside, the logger of `library` passes errors alone. For a library that prints during its import."""
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _OnlyErrorsOfOwnCalls(logging.Filter):
    """Drops the warnings of calls inside `only_errors_of`, and passes all other records."""

    inside: ContextVar[bool] = ContextVar("inside", default=False)

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or not self.inside.get()


_OWN_CALLS = _OnlyErrorsOfOwnCalls()


@contextlib.contextmanager
def only_errors_of(logger: str) -> Iterator[None]:
    """Inside, `logger` drops this thread's warnings. Other threads still get theirs."""
    logging.getLogger(logger).addFilter(_OWN_CALLS)  # adding it again changes nothing
    token = _OWN_CALLS.inside.set(True)
    try:
        yield
    finally:
        _OWN_CALLS.inside.reset(token)
