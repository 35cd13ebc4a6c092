"""Texts that trainings from nothing read in tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(40):
        words = " ".join(f"the {name} came home at {number + k}" for k, name in enumerate(["boat", "cat", "dog"] * 8))
        (folder / f"{number}.txt").write_text(words)
    return str(folder)
