"""Before it opens, a server can say how many measured answers it gives: all in fp32, and in bf16 it counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luthier.arms.ship import ship
from luthier.errors import ModelError
from luthier.results.folder import StudyFolder
from luthier.serving import server
from luthier.serving.agreement import agreement
from luthier.serving.engine import Engine
from luthier.serving.served import load_served
from luthier.studies.study import study
from tests.serving.conftest import ARMS, GREEDY, SAMPLED, TEST_ROWS
from tests.serving.labelled import labelled_study
from tests.studies.test_study import make_task


@pytest.fixture
def engine() -> Iterator[Engine]:
    with server._started(Engine()) as engine:
        yield engine


def test_in_fp32_every_answer_comes_again(loaded: Any, engine: Engine) -> None:
    for arm in (GREEDY, SAMPLED):
        found = agreement(loaded[arm], engine)
        assert (found.asked, found.same, found.precision) == (engine.streams, engine.streams, "fp32")
    assert engine.streams < TEST_ROWS
    assert agreement(loaded[f"{GREEDY}/raw"], engine) is None


def test_another_answer_is_counted(finished: Path, loaded: Any, engine: Engine, tmp_path: Path) -> None:
    arm = Path(shutil.copytree(StudyFolder(finished).arm(GREEDY), tmp_path / "arm"))
    rows = [json.loads(line) for line in (arm / "answers.jsonl").read_text().splitlines()]
    asked = {json.loads(line)["id"] for line in (arm / "prompts.jsonl").read_text().splitlines()[: engine.streams]}
    changed = sorted(asked)[:5]
    for row in rows:
        row["text"] += "!" if row["id"] in changed else ""
    (arm / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one = replace(loaded[GREEDY], arm=replace(loaded[GREEDY].arm, folder=arm))
    assert agreement(one, engine).same == engine.streams - len(changed)
    (arm / "answers.jsonl").unlink()
    assert agreement(one, engine) is None


def test_labels_come_again(tiny_folder: Callable[[str], Path], tmp_path: Path, engine: Engine) -> None:
    served = load_served([str(labelled_study(tiny_folder("decoder-chat"), "zero-shot", tmp_path))], ["zero-shot"])
    found = agreement(served["zero-shot"], engine)
    assert found.same == found.asked == 9


def test_an_engine_that_ends_is_a_sentence(loaded: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_step", lambda lane: 1 / 0)
    with pytest.raises(ModelError, match="the engine ended while it was asked the test again"):
        agreement(loaded[GREEDY], engine)


def test_the_command_says_it_before_it_opens(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a study and of a shipped folder."""

    original = server._Server.startup

    async def startup(self: Any, sockets: Any = None) -> None:
        await original(self, sockets)
        self.should_exit = True

    monkeypatch.setattr(server._Server, "startup", startup)
    ship(finished, tmp_path / "mine", arm=GREEDY)
    said: list[str] = []
    for sources, arms in (([str(finished)], ARMS[:1]), ([str(tmp_path / "mine")], ())):
        server.serve(sources, arms=arms, port=0, streams=8, verify=True, say=said.append)
    counted = "8 of 8 test answers, asked all at once, are those that were measured (fp32)."
    assert [said[0], said[2]] == [f"{ARMS[0]}: {counted}", f"mine: {counted}"]
    assert all(line.startswith("Serving ") for line in said[1::2])


@pytest.mark.slow
def test_in_bf16_the_agreement_is_counted_and_printed(
    smollm2: str, tmp_path: Path, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real model; see the printed line for how often its answers round otherwise among others."""
    (tmp_path / "task").mkdir()
    folder = study(
        make_task(tmp_path / "task", test=24), model=smollm2, arms=["zero-shot"], out=tmp_path / "out",
        precision="bf16",
    )  # fmt: skip
    found = agreement(load_served([str(folder)], ["zero-shot"])["zero-shot"], engine)
    assert found.asked == 24 and found.precision == "bf16" and found.same >= found.asked // 2
    with capsys.disabled():
        print(f"\n{found.sentence}")
