"""A finished study, and a real server for its arms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from luthier.results.folder import StudyFolder
from luthier.serving.engine import Engine
from luthier.serving.served import Served, load_served
from luthier.serving.server import serving
from luthier.studies.study import study
from tests.studies.test_study import make_task

ARMS = ("zero-shot", "few-shot-2", "lora-r4", "zero-shot+temperature=0.7+top_k=20")
GREEDY, SAMPLED = "lora-r4", "zero-shot+temperature=0.7+top_k=20"
TEST_ROWS = 60


@dataclass(frozen=True)
class Running:
    """A server that runs: its address, its engine, and the study that it serves."""

    url: str
    engine: Engine
    study: StudyFolder
    served: dict[str, Served]

    def chat(self, text: str, model: str = GREEDY, **more: Any) -> dict[str, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return self.post("/v1/chat/completions", body).raise_for_status().json()

    def post(self, path: str, body: Any, **how: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=120, **how)

    def get(self, path: str, **how: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **how)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder) -> Path:
    """A study in fp32, whose answers do not depend on who else asks."""
    task, out = make_task(tmp_path_factory.mktemp("task"), test=TEST_ROWS), tmp_path_factory.mktemp("study") / "out"
    defaults = {"epochs": 1, "evaluations": 1, "batch_size": 4}
    return study(
        task, model=str(tiny_folder("decoder-chat")), arms=list(ARMS), out=out, precision="fp32", defaults=defaults
    )


@pytest.fixture(scope="session")
def loaded(finished: Path) -> dict[str, Served]:
    return load_served([str(finished)], ARMS)


@pytest.fixture(scope="session")
def running(finished: Path, loaded: dict[str, Served]) -> Iterator[Running]:
    with serving(loaded) as (url, engine):
        yield Running(url, engine, StudyFolder(finished), loaded)
