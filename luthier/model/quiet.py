"""Keeps libraries from printing while they load, and restores their settings. No torch when imported."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from importlib import import_module
from threading import Lock
from types import SimpleNamespace
from typing import Any

Undo = Callable[[], None]


class _WhileAnyIsInside:
    """A change of the whole process: the first thread inside makes it, and the last one undoes it."""

    def __init__(self, change: Callable[[], Undo]) -> None:
        self._change, self._lock, self._threads = change, Lock(), 0
        self._undo: Undo = lambda: None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._threads:
                self._undo = self._change()
            self._threads += 1
        try:
            yield
        finally:
            with self._lock:
                self._threads -= 1
                if not self._threads:
                    self._undo()


@_WhileAnyIsInside
def _messages_off() -> Undo:
    from transformers.utils import logging as settings

    verbosity, has_bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity_error()
    settings.disable_progress_bar()

    def undo() -> None:
        settings.set_verbosity(verbosity)
        if has_bars:
            settings.enable_progress_bar()

    return undo


@_WhileAnyIsInside
def _gguf_bar_off() -> Undo:
    from transformers.utils import logging as settings

    reader = _gguf_reader()
    bar, reader.tqdm = getattr(reader, "tqdm", None), settings.tqdm  # which asks whether bars are shown

    def undo() -> None:
        reader.tqdm = bar

    return undo


def quiet() -> contextlib.AbstractContextManager[None]:
    """Keeps transformers' own progress bars and warnings off the screen while it loads or saves."""
    return _messages_off()


@contextlib.contextmanager
def quiet_gguf() -> Iterator[None]:
    """`quiet` while it reads a GGUF file, which has a bar of its own that no setting reaches."""
    with quiet(), _gguf_bar_off():
        yield


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
