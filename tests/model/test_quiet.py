"""Libraries are kept off the screen while they load, and everything is as it was afterwards."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from transformers import modeling_gguf_pytorch_utils
from transformers.utils import logging as settings

from luthier.model.quiet import only_errors_of, only_errors_while_importing, quiet, quiet_gguf

ROOT = Path(__file__).parents[2]


def test_two_threads_that_load_leave_what_they_found() -> None:
    """The second would remember the first one's silence and put that back at the end."""
    found = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity(settings.INFO)
    settings.enable_progress_bar()
    first_in, second_in, first_out = Event(), Event(), Event()

    def first() -> None:
        with quiet():
            first_in.set()
            assert second_in.wait(30)
        first_out.set()

    def second() -> None:
        assert first_in.wait(30)
        with quiet():
            second_in.set()
            assert first_out.wait(30)
            assert settings.get_verbosity() == settings.ERROR and not settings.is_progress_bar_enabled()

    try:
        with ThreadPoolExecutor(2) as threads:
            for future in [threads.submit(first), threads.submit(second)]:
                future.result()
        assert settings.get_verbosity() == settings.INFO and settings.is_progress_bar_enabled()
        with pytest.raises(KeyboardInterrupt), quiet():
            raise KeyboardInterrupt
        assert settings.get_verbosity() == settings.INFO and settings.is_progress_bar_enabled()
    finally:
        settings.set_verbosity(found[0])
        if not found[1]:
            settings.disable_progress_bar()


def test_the_bar_of_reading_gguf_is_off_inside_and_back_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    before = modeling_gguf_pytorch_utils.tqdm
    with quiet():
        assert modeling_gguf_pytorch_utils.tqdm is before  # a load of other files leaves the module alone
    with quiet_gguf(), quiet_gguf():
        assert list(modeling_gguf_pytorch_utils.tqdm([1, 2], desc="a bar")) == [1, 2]
    assert capsys.readouterr().err == ""
    assert modeling_gguf_pytorch_utils.tqdm is before


def test_only_own_calls_are_kept_quiet(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("a.library")
    with only_errors_of("a.library"), ThreadPoolExecutor(1) as other:
        logger.warning("ours")
        logger.error("ours, an error")
        other.submit(logger.warning, "another thread's").result()
    logger.warning("afterwards")
    assert caplog.messages == ["ours, an error", "another thread's", "afterwards"]


def test_an_import_leaves_the_level_of_a_logger() -> None:
    logger = logging.getLogger("another.library")
    logger.setLevel(logging.INFO)
    with pytest.raises(ImportError), only_errors_while_importing("another.library"):
        assert not logger.isEnabledFor(logging.WARNING)
        raise ImportError
    assert logger.level == logging.INFO


def test_a_library_s_loggers_are_not_changed_and_its_import_says_nothing() -> None:
    code = "import logging, luthier.model.model, peft; print(logging.getLogger('bitsandbytes').level)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == str(logging.NOTSET) and "bitsandbytes" not in done.stderr
