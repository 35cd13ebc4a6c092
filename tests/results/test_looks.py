"""Looks at a test set: asked again is not looked again, and what changed is counted."""

from __future__ import annotations

import pytest

from luthier.errors import FolderError
from luthier.results.looks import Looks, count_look, next_look


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))


def test_each_new_question_is_a_look_and_an_old_one_is_not():
    assert [count_look("test", asked) for asked in ("one", "two", "one", "three", "two")] == [1, 2, 1, 3, 2]
    assert count_look("another test", "two") == 1


def test_asking_which_look_it_would_be_counts_nothing():
    assert (next_look("test"), next_look("test"), next_look("test", "one")) == (1, 1, 1)
    count_look("test", "one")
    assert (next_look("test", "one"), next_look("test", "two"), next_look("test")) == (1, 2, 2)


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "cache").write_text("a file where the cache should be")
    with pytest.raises(FolderError):
        count_look("test", "one")


def test_counts_are_in_the_cache(tmp_path):
    count_look("test", "one")
    assert (tmp_path / "cache" / Looks.FILE).exists()
