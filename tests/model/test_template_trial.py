"""A chat template that hangs, swells or changes its mind ends in a sentence; a sound one is tried once."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import ModelError
from luthier.model import template_trial
from luthier.model.passed import has_passed, remember
from luthier.model.template_trial import refuse_unsafe
from luthier.task.chat_template import ChatTemplate
from tests.hostile.templates import SOUND_TEMPLATES, WHOLE

LOOP = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(source: str) -> ChatTemplate:
    return ChatTemplate(source, {"eos_token": "</s>"}, "m/chat_template.jinja", "2026-07-05")


@pytest.mark.parametrize("source, said", [
    (LOOP, "does not come to an end: with a few messages it was stopped after \\d+ seconds"),
    ("{% if messages[0].content | length > 300 %}{{ 'a' * 4000000000 }}{% endif %}" + WHOLE, "takes more than 512 MiB"),
    ("{% for i in range(30000) %}{{ 'a' * 90 }}{% endfor %}" + WHOLE, "makes 2,7..,... letters of 22"),
    ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "calls itself without an end"),
    ("{{ ['a', 'b'] | random }}" + WHOLE, "gives another prompt each time"),
])  # fmt: skip
def test_what_is_unsafe_is_a_sentence_and_is_not_remembered(source: str, said: str, cache: Path) -> None:
    before = signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # as a parent may leave it to this process
    try:
        with pytest.raises(ModelError, match=f"^m/chat_template.jinja: the chat template {said}"):
            refuse_unsafe(made(source))
    finally:
        signal.signal(signal.SIGXCPU, before)
    assert not cache.exists()


def test_a_system_without_a_signal_for_time_takes_no_good_end_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_trial, "_CPU_LIMIT", None)
    refuse_unsafe(made(WHOLE))


def test_what_passed_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    start = subprocess.Popen
    monkeypatch.setattr(template_trial.subprocess, "Popen", lambda *a, **k: started.append(a) or start(*a, **k))
    for _ in range(2):
        refuse_unsafe(made(WHOLE))
    assert len(started) == 1
    refuse_unsafe(made(WHOLE + " "))  # one letter more is another template
    assert len(started) == 2


def test_sound_templates_pass() -> None:
    for source in SOUND_TEMPLATES:
        assert template_trial.problem_of(made(source)) is None, source


def test_a_folder_called_luthier_where_the_user_stands_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "luthier" / "model"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    refuse_unsafe(made(WHOLE))
    assert not (tmp_path / "ran").exists()


def test_only_the_same_is_remembered(cache: Path) -> None:
    remember("a", "1", "2")
    assert has_passed("a", "1", "2")
    assert not has_passed("a", "12") and not has_passed("b", "1", "2") and not has_passed("a", "1", "3")
    cache.rename(cache.parent / "moved")
    cache.write_text("no folder")
    remember("a", "1", "2")  # a cache that cannot be written loses nothing
    assert not has_passed("a", "1", "2")


def test_a_user_without_a_place_for_a_cache_has_nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", "~no-such-user-of-this-machine/cache")
    remember("a", "1", "2")
    assert not has_passed("a", "1", "2")
