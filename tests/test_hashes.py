"""A hash is that of the bytes which are there now, however often it was taken before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from luthier import hashes
from luthier.errors import FolderError
from luthier.files import sha256_of
from luthier.hashes import WORTH_REMEMBERING, first_other, sha256_of_files

LARGE = WORTH_REMEMBERING + 7
LONG_AGO = time.time_ns() - 10**12


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hashes"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been changed long ago."""
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", -1e9)


def test_a_large_file_is_hashed_once(tmp_path, cache, settled, monkeypatch) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(os.urandom(LARGE))
    first = sha256_of_files(*files)
    assert first == sha256_of(*files) and len(list(cache.iterdir())) == 1
    monkeypatch.setattr(hashes, "sha256_of", lambda *paths: pytest.fail("hashed again"))
    assert sha256_of_files(*files) == first
    (tmp_path / "link").symlink_to(files[0])  # the hub's cache is full of links
    assert sha256_of_files(tmp_path / "link", files[1]) == first


def test_a_change_is_seen_though_size_and_time_are_as_before(tmp_path, cache, settled) -> None:
    file = tmp_path / "a"
    file.write_bytes(bytes(LARGE))
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    first = sha256_of_files(file)
    time.sleep(0.02)  # a tick of the clock
    with open(file, "r+b") as opened:
        opened.write(b"x")
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    assert sha256_of_files(file) == sha256_of(file) != first


def test_what_changed_a_moment_ago_and_what_is_small_is_not_remembered(tmp_path, cache) -> None:
    for size in (LARGE, 10):
        (tmp_path / "a").write_bytes(bytes(size))
        assert sha256_of_files(tmp_path / "a") == sha256_of(tmp_path / "a")
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"files": [], "sha256": "00"}', "\0"])
def test_a_damaged_cache_is_not_believed(damage: str, tmp_path, cache, settled) -> None:
    (tmp_path / "a").write_bytes(bytes(LARGE))
    first = sha256_of_files(tmp_path / "a")
    (stored,) = cache.iterdir()
    stored.write_text(damage)
    assert sha256_of_files(tmp_path / "a") == first


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, settled) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "file"))
    (tmp_path / "a").write_bytes(bytes(LARGE))
    assert sha256_of_files(tmp_path / "a") == sha256_of(tmp_path / "a")


@pytest.mark.parametrize(
    ("here", "other"),
    [
        ({"a": "1", "b": "2"}, None),
        ({"b": "2"}, ("a", "missing")),
        ({"a": "1", "b": "3"}, ("b", "changed")),
        ({"a": "1", "b": "2", "c": "4"}, ("c", "added")),
        ({"a": "5", "c": "4"}, ("a", "changed")),  # the first in the order that was expected, then what is new
        ({}, ("a", "missing")),
    ],
)
def test_the_first_file_that_is_another_is_named(here: dict[str, str], other: tuple[str, str] | None) -> None:
    assert first_other({"a": "1", "b": "2"}, here) == other


def test_a_user_without_a_cache_gets_the_hash_all_the_same(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> Path:
        raise FolderError("this user has no home folder")

    monkeypatch.setattr(hashes, "cache_folder", nowhere)
    (tmp_path / "a").write_bytes(b"x" * LARGE)
    assert sha256_of_files(tmp_path / "a") == sha256_of(tmp_path / "a")


def test_a_clock_that_was_set_back_remembers_nothing_wrong(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * LARGE)
    monkeypatch.setattr(time, "time_ns", lambda: LONG_AGO)
    assert sha256_of_files(path) == sha256_of(path)
    assert not cache.exists(), "the file is younger than now, so it may change again within a tick"
